"""Users that are not Django's: a UUID for a primary key, an e-mail address for a name, no staff and no permissions, or one flag for all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.databases import Databases, base_environment
from tests.support.members.names import ADDRESS, EMAIL, OTHER
from tests.support.remote import DjangoProcess

ACTING = "tests.support.members.acting"
MODELS = ("members.Member", "members.Keeper")
# What each act is told as, in order.
TOLD: dict[str, list[str]] = {
    "create": ["account.created"],
    "sign in": ["auth.login_success"],
    "sign in without a request": ["auth.login_success"],
    "sign in from two devices": ["auth.login_success", "auth.login_success", "session.new_device"],
    "sign out": ["auth.login_success", "auth.logout"],
    "fail": ["auth.login_failure"],
    "fail without a request": ["auth.login_failure"],
    "fail by the field's name": ["auth.login_failure"],
    "fail as nobody": ["auth.login_failure"],
    "set the password": ["account.password_changed"],
    "reset the password": ["account.password_reset_requested", "account.password_changed"],
    "reset the password of nobody": ["account.password_reset_requested"],
    "change the address": ["account.email_changed", "account.email_changed"],
    "lock": ["account.locked"],
    "unlock": ["account.unlocked"],
    "make a token": ["token.created"],
    "use the token from two places": ["token.new_address"],
    "revoke the token": ["token.revoked"],
    "use it after that": ["token.reused"],
    "ask for what is refused": ["auth.login_success", "access.denied"],
    "make and delete a group": ["group.deleted"],
    "deactivate": ["account.deactivated"],
    "reactivate": ["account.reactivated"],
    "delete": ["account.deleted"],
}
NOBODYS = {"fail as nobody", "reset the password of nobody", "make and delete a group"}
BY_REQUEST = {"sign in", "sign out", "fail", "fail as nobody", "reset the password", "ask for what is refused"}
keepers = pytest.mark.parametrize("process", ["members.Keeper"], indirect=True)


@pytest.fixture(params=MODELS, scope="module")
def process(request: pytest.FixtureRequest, databases: Databases) -> Iterator[DjangoProcess]:
    """The project's process, on a database of its own that is migrated."""
    url = databases.empty()
    env = base_environment() | {"DATABASE_URL": url, "MEMBERS_USER": request.param}
    with DjangoProcess(env | {"DJANGO_SETTINGS_MODULE": "tests.support.members.settings"}) as process:
        assert ask(process, "prepare")["checks"] == []
        yield process
    databases.drop(url)


@pytest.fixture
def site(process: DjangoProcess) -> Iterator[DjangoProcess]:
    """The same, with nobody in it."""
    ask(process, "begin")
    yield process
    assert ask(process, "errors") == 0


def ask(process: DjangoProcess, function: str, *arguments: Any) -> Any:
    return process.call(f"{ACTING}.{function}", *arguments)


def test_what_happens_to_accounts_is_told_of_any_model_of_users(site: DjangoProcess) -> None:
    found = {act: ask(site, "told", act) for act in TOLD}
    assert {act: [event["type"] for event in events] for act, events in found.items()} == TOLD
    pk = found["create"][0]["user_id"]
    assert str(uuid.UUID(pk)) == pk
    for act, events in found.items():
        assert {event["user_id"] for event in events} == {None if act in NOBODYS else pk}
        names = [event["data"].get("username") for event in events if event["type"].startswith(("auth.", "account."))]
        assert names == [None if act in NOBODYS else OTHER if name == OTHER else EMAIL for name in names]
        assert all(event["metadata"].get("ip_address") == ADDRESS for event in events[-1:] if act in BY_REQUEST)
    assert found["reset the password"][1]["data"]["by"] == "reset"
    assert found["fail as nobody"][0]["data"].keys() == {"username_hash"}
    recorded = ask(site, "recorded", pk)
    assert (recorded[0], recorded[-1], {*recorded[1:-1]}) == ("created", "deleted", {"updated"})


def test_attempts_are_refused_for_any_model_of_users(site: DjangoProcess) -> None:
    (made,) = ask(site, "told", "create")
    assert ask(site, "enforce") == {
        "refused": [False, False, False, True],
        "right": 200,
        "elsewhere": 302,
        "account": made["user_id"],
        "released": True,
    }


def test_streams_and_their_api_are_open_to_any_model_of_users(site: DjangoProcess) -> None:
    ask(site, "told", "create")
    assert ask(site, "streams") == {"sse": 200, "websocket": "open", "wrong sse": 401, "wrong websocket": "refused"}
    assert ask(site, "sign_in_asynchronously") == ["auth.login_success"]


def test_who_is_no_staff_is_refused_and_is_no_error(site: DjangoProcess) -> None:
    ask(site, "told", "create")
    statuses = ask(site, "statuses")
    open_to_all = {"page", "events", "own events"}
    of_the_api = {"others' events", "counters", "emit", "audit", "audit entry", "audit export"}
    assert {name for name, status in statuses.items() if status == 200} == open_to_all
    assert {name for name, status in statuses.items() if status == 403} == of_the_api
    assert {status for name, status in statuses.items() if name not in open_to_all | of_the_api} <= {302}, "the admin's"


@keepers
def test_the_pages_are_open_to_who_is_staff_by_a_property(site: DjangoProcess) -> None:
    ask(site, "told", "create")
    (event,) = ask(site, "told", "promote")
    assert (event["type"], event["data"]["staff"]) == ("account.permissions_changed", [False, True])
    statuses = ask(site, "statuses")
    assert statuses == dict.fromkeys(statuses, 200) | {"emit": 201}
    worked = ask(site, "work_on_the_incident")
    assert worked["state"] == "closed"
    assert worked["author"]
    assert worked["actors"] == [[event["user_id"], EMAIL]]
    assert ask(site, "told", "demote")[0]["data"]["staff"] == [True, False]


@keepers
def test_streams_are_looked_at_again_when_what_makes_somebody_staff_is_saved(site: DjangoProcess) -> None:
    ask(site, "told", "create")
    assert [ask(site, "access_changes", *saved) for saved in (("is_admin", True), ("last_login", None))] == [1, 0]
