"""Accounts, passwords, permissions, tokens and sessions: what changes is told, whichever way it is done, and by whom."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, Permission, User
from django.contrib.auth.signals import user_logged_in
from django.core import mail
from django.db import connection, transaction
from django.test import AsyncClient, Client
from django.urls import reverse
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework.authtoken.models import Token, TokenProxy

from audit.models import AuditEntry
from events.context import Actor, act_as
from events.manager import unified_event_manager
from events.models import JournalEntry
from events.stats import stats
from events.testing import Captured, captured_events, wait_published
from events.types import utcnow
from security.accounts import find_account, username_hash
from security.memory import LIMITS, Kind, memory, seen_proxies, values_of
from security.models import Remembered
from security.sources import sessions, tokens

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery staple"


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", "alice@example.org", PASSWORD)


def told(events: Captured) -> list[str]:
    return [event.event_type for event in events if event.event_type.split(".")[0] in ("account", "group", "token", "session")]


# Accounts


def test_an_account_that_is_made_and_deleted_is_told() -> None:
    with captured_events() as events:
        user = User.objects.create_superuser("root")
        pk = str(user.pk)
        user.delete()
    assert told(events) == ["account.created", "account.deleted"]
    made = events.one("account.created")
    assert (made.user_id, made.data) == (pk, {"username": "root", "staff": True, "superuser": True})
    assert made.metadata["owasp"] == f"user_created:{pk},staff,superuser"
    assert events.one("account.deleted").user_id == pk


def test_usernames_may_be_numbers(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(User, "USERNAME_FIELD", "id")
    with captured_events() as events:
        alice.is_active = False
        alice.save()
        user_logged_in.send(sender=User, request=None, user=alice)
    assert told(events) == ["account.deactivated"]
    assert [event.data["username"] for event in events] == [str(alice.pk)] * 2
    assert find_account(alice.pk) == find_account(str(alice.pk)) == alice
    assert find_account("alice") is find_account(["alice"]) is find_account("9" * 30) is None


@pytest.mark.parametrize("in_transaction", [False, True])
def test_trouble_in_telling_stops_no_save(alice: User, monkeypatch: pytest.MonkeyPatch, in_transaction: bool) -> None:
    monkeypatch.setattr(User, "get_username", lambda self: 1 // 0)
    alice.is_active = False
    errors = stats.snapshot()["handler_errors"]
    with transaction.atomic() if in_transaction else nullcontext():
        alice.save()
    assert not User.objects.get(pk=alice.pk).is_active
    assert stats.snapshot()["handler_errors"] == errors + 1


def test_an_account_that_is_deactivated_and_comes_back_is_told_and_by_whom(alice: User) -> None:
    with captured_events() as events, act_as(Actor("user", "99", "root")):
        for active in (False, True):
            alice.is_active = active
            alice.save()
    assert told(events) == ["account.deactivated", "account.reactivated"]
    assert events[0].metadata["actor"]["label"] == "root"
    assert events[0].priority == "high"


def test_an_email_address_that_changes_is_told(alice: User) -> None:
    alice.email = "mallory@example.org"
    with captured_events() as events:
        alice.save(update_fields=["email"])
    assert events.one("account.email_changed").data["email"] == ["alice@example.org", "mallory@example.org"]


def test_a_save_of_what_nobody_asks_about_costs_no_query_and_tells_nothing(alice: User, django_assert_num_queries: Any) -> None:
    alice.first_name = "Alice"
    with captured_events() as events, django_assert_num_queries(1):
        alice.save(update_fields=["first_name"])
    assert not events


def test_a_change_that_is_rolled_back_is_not_told(alice: User) -> None:
    JournalEntry.objects.all().delete()
    with transaction.atomic():
        alice.is_superuser = True
        alice.save()
        alice.groups.add(Group.objects.create(name="editors"))
        Token.objects.create(user=alice)
        transaction.set_rollback(True)
    wait_published()
    assert not JournalEntry.objects.exists()


def test_a_change_and_what_tells_it_commit_together(alice: User) -> None:
    with transaction.atomic():
        alice.is_superuser = True
        alice.save()
        assert AuditEntry.objects.filter(event_type="account.permissions_changed").exists(), "in the same transaction"


# Passwords


def test_a_password_that_is_changed_is_told_and_by_whom(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    admin = User.objects.create_superuser("admin", password="admin")
    wait_published()  # the monitor tells of a new superuser
    with captured_events() as events:
        with act_as(Actor("user", str(alice.pk), "alice")):
            alice.set_password("new one of alice")
            alice.save()
        with act_as(Actor("user", str(admin.pk), "admin")):
            alice.set_password("new one of admin")
            alice.save()
    assert [event.data["by"] for event in events] == ["self", "other"]
    assert "new one" not in str(list(events))


def test_a_password_that_is_hashed_anew_at_a_login_is_no_change(alice: User, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS]
    before = alice.password
    with captured_events() as events:
        assert authenticate(username="alice", password=PASSWORD) is not None
    alice.refresh_from_db()
    assert alice.password != before
    assert not told(events)


@pytest.mark.urls("tests.support.refusing")
def test_a_reset_by_a_link_is_told_when_it_is_asked_for_and_when_it_is_done(alice: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    client = Client()
    with captured_events() as events:
        assert client.post("/reset/", {"email": "Alice@example.org"}).status_code == 302
        link = re.search(r"/reset/\S+/\S+/", str(mail.outbox[-1].body))
        assert link is not None
        form = client.get(link[0]).headers["Location"]
        assert client.post(form, {"new_password1": "a new one 4 me", "new_password2": "a new one 4 me"}).status_code == 302
    assert told(events) == ["account.password_reset_requested", "account.password_changed"]
    assert events[0].user_id == events[1].user_id == str(alice.pk)
    assert events[1].data["by"] == "reset"


@pytest.mark.urls("tests.support.refusing")
async def test_a_reset_for_nobody_is_told_with_a_hash(settings: Any) -> None:
    with captured_events() as events:
        assert (await AsyncClient().post("/reset/", {"email": "hunter2@example.org"})).status_code == 302
    event = events.one("account.password_reset_requested")
    assert (event.user_id, event.data) == (None, {"username_hash": username_hash("hunter2@example.org")})


# Permissions, from both sides


def permission(codename: str) -> Permission:
    return Permission.objects.get(codename=codename, content_type__app_label="auth")


def editors(*users: User) -> Group:
    group = Group.objects.create(name="editors")
    group.permissions.add(permission("add_user"))
    group.user_set.add(*users)
    return group


CHANGES: dict[str, tuple[Callable[[User, Group], Any], list[str], list[str]]] = {
    "user.groups.add": (lambda user, group: user.groups.add(group), ["group editors"], []),
    "group.user_set.add": (lambda user, group: group.user_set.add(user), ["group editors"], []),
    "user.groups.set": (lambda user, group: user.groups.set([group]), ["group editors"], []),
    "group.user_set.set": (lambda user, group: group.user_set.set([user]), ["group editors"], []),
    "user.user_permissions.add": (lambda user, group: user.user_permissions.add(permission("add_group")), ["auth.add_group"], []),
    "permission.user_set.add": (lambda user, group: permission("add_group").user_set.add(user), ["auth.add_group"], []),
}
UNDONE: dict[str, tuple[Callable[[User, Group], Any], list[str]]] = {
    "user.groups.remove": (lambda user, group: user.groups.remove(group), ["group editors"]),
    "group.user_set.remove": (lambda user, group: group.user_set.remove(user), ["group editors"]),
    "user.groups.clear": (lambda user, group: user.groups.clear(), ["group editors"]),
    "group.user_set.clear": (lambda user, group: group.user_set.clear(), ["group editors"]),
    "user.groups.set": (lambda user, group: user.groups.set([]), ["group editors"]),
    "user.user_permissions.clear": (lambda user, group: user.user_permissions.clear(), ["auth.add_group"]),
    "permission.user_set.clear": (lambda user, group: permission("add_group").user_set.clear(), ["auth.add_group"]),
    "permission.user_set.remove": (lambda user, group: permission("add_group").user_set.remove(user), ["auth.add_group"]),
}


@pytest.mark.parametrize("way", CHANGES)
def test_what_a_user_is_granted_is_told_whichever_side_it_is_done_from(alice: User, way: str) -> None:
    act, granted, revoked = CHANGES[way]
    group = editors()
    with captured_events() as events:
        act(alice, group)
        act(alice, group)  # nothing more
    event = events.one("account.permissions_changed")
    assert event.user_id == str(alice.pk)
    assert event.data == {"username": "alice", "granted": granted, "revoked": revoked}
    assert event.metadata["owasp"] == f"authz_change:{alice.pk},,{granted[0]}"


@pytest.mark.parametrize("way", UNDONE)
def test_what_a_user_loses_is_told_whichever_side_it_is_done_from(alice: User, way: str) -> None:
    act, revoked = UNDONE[way]
    group = editors(alice)
    alice.user_permissions.add(permission("add_group"))
    with captured_events() as events:
        act(alice, group)
        act(alice, group)
    assert events.one("account.permissions_changed").data == {"username": "alice", "granted": [], "revoked": revoked}


def test_each_user_whom_one_change_concerns_is_named(alice: User) -> None:
    bob, group = User.objects.create_user("bob"), editors()
    with captured_events() as events:
        group.user_set.set([alice, bob])
        group.user_set.set([bob])
    changes = [event.data for event in events if event.event_type == "account.permissions_changed"]
    assert sorted((data["username"], len(data["granted"])) for data in changes) == [
        ("alice", 0), ("alice", 1), ("bob", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("side", ["group", "permission"])
def test_what_a_group_is_granted_is_told_with_how_many_it_concerns(alice: User, side: str) -> None:
    group = editors(alice)
    with captured_events() as events:
        if side == "group":
            group.permissions.add(permission("add_group"))
        else:
            permission("add_group").group_set.add(group)
        permission("add_group").group_set.clear()
    first, second = (event for event in events if event.event_type.startswith("group."))
    assert first.event_type == second.event_type == "group.permissions_changed"
    assert first.data == {"group": "editors", "members": 1, "granted": ["auth.add_group"], "revoked": []}
    assert second.data["revoked"] == ["auth.add_group"]


def test_a_group_that_is_deleted_is_told_with_how_many_it_concerns(alice: User) -> None:
    group = editors(alice)
    with captured_events() as events:
        group.delete()
    assert events.one("group.deleted").data == {"group": "editors", "members": 1, "granted": [], "revoked": ["auth.add_user"]}


def test_flags_are_told_with_old_and_new_value(alice: User) -> None:
    alice.is_staff = alice.is_superuser = True
    with captured_events() as events:
        alice.save()
    assert events.one("account.permissions_changed").data == {
        "username": "alice", "granted": [], "revoked": [], "staff": [False, True], "superuser": [False, True],
    }  # fmt: skip


def test_a_thousand_permissions_are_told_in_parts_that_fit(alice: User) -> None:
    kind = permission("add_user").content_type
    made = Permission.objects.bulk_create(Permission(codename=f"do_{n:04}", name="x", content_type=kind) for n in range(250))
    with captured_events() as events:
        alice.user_permissions.add(*made)
    assert [len(event.data["granted"]) for event in events] == [100, 100, 50]
    assert stats.snapshot()["errors"] == 0


def test_changes_in_the_admin_say_who_made_them(alice: User) -> None:
    admin, group = User.objects.create_superuser("admin", password="admin"), editors()
    client = Client()
    client.force_login(admin)
    form = {"username": "alice", "is_active": "on", "is_staff": "on", "groups": [group.pk]}
    form |= {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00", "initial-date_joined_0": "", "email": "a@example.org"}
    with captured_events() as events:
        assert client.post(reverse("admin:auth_user_change", args=[alice.pk]), form).status_code == 302
    changes = [event for event in events if event.event_type.startswith("account.")]
    assert {event.event_type for event in changes} == {"account.permissions_changed", "account.email_changed"}
    assert {event.metadata["actor"]["label"] for event in changes} == {"admin"}
    assert len({event.correlation_id for event in changes}) == 1


# Tokens


def use(key: str, address: str = "203.0.113.9") -> int:
    status = Client(REMOTE_ADDR=address).get("/api/fine/", HTTP_AUTHORIZATION=f"Token {key}").status_code
    unified_event_manager.shutdown()  # what is done in the background is done
    return status


@pytest.mark.urls("tests.support.refusing")
def test_a_token_is_told_when_it_is_made_revoked_and_used_after_that(alice: User) -> None:
    with captured_events() as events:
        token = Token.objects.create(user=alice)
        key, label = token.key, tokens.token_id(token.key)
        TokenProxy.objects.get(pk=key).delete()
        assert use(key) == 401
    assert told(events) == ["token.created", "token.revoked", "token.reused"]
    assert {event.user_id for event in events} == {str(alice.pk)}
    assert {event.data["token_id"] for event in events if event.event_type.startswith("token.")} == {label}
    assert events[2].metadata["owasp"] == f"authn_token_reuse:{alice.pk},{label}"
    stored = f"{list(JournalEntry.objects.values())}{list(AuditEntry.objects.values())}{list(Remembered.objects.values())}"
    assert key not in stored


@pytest.mark.urls("tests.support.refusing")
def test_a_wrong_token_is_an_access_that_is_denied(alice: User) -> None:
    with captured_events() as events:
        assert use("f" * 40) == 401
    assert events.one("access.denied").data["reason"] == "authentication_failed"


@pytest.mark.urls("tests.support.refusing")
def test_a_token_that_is_used_from_a_second_network_is_told_once(alice: User) -> None:
    key = Token.objects.create(user=alice).key
    with captured_events() as events:
        for address in ("203.0.113.9", "203.0.113.9", "2001:db8::1", "2001:db8::2", "203.0.113.9"):
            assert use(key, address) == 200
    event = events.one("token.new_address")
    assert (event.user_id, event.data["network"]) == (str(alice.pk), "2001:db8::/64")


@pytest.mark.urls("tests.support.refusing")
async def test_a_token_from_a_new_address_is_told_in_an_asynchronous_server(alice: User, settings: Any) -> None:
    settings.EVENTS = {"TRUSTED_PROXIES": ["127.0.0.1/32"]}
    key = (await Token.objects.acreate(user=alice)).key
    with captured_events() as events:
        for address in ("203.0.113.9", "203.0.113.10"):
            await AsyncClient().get("/api/fine/", headers={"Authorization": f"Token {key}", "X-Forwarded-For": address})
            await sync_to_async(unified_event_manager.shutdown)()
    assert told(events) == ["token.new_address"]


@pytest.mark.urls("tests.support.refusing")
def test_a_token_that_is_known_costs_no_query(alice: User, django_assert_num_queries: Any) -> None:
    key = Token.objects.create(user=alice).key
    use(key)
    with django_assert_num_queries(1):  # the token itself
        use(key)


# Sessions and devices


def sign_in(agent: str, address: str = "203.0.113.9") -> None:
    client = Client(REMOTE_ADDR=address, HTTP_USER_AGENT=agent)
    assert client.post(reverse("login"), {"username": "alice", "password": PASSWORD}).status_code == 302
    unified_event_manager.shutdown()  # what is done in the background is done


def test_a_session_from_a_new_device_is_told_and_a_new_version_is_none(alice: User) -> None:
    with captured_events() as events:
        sign_in("Firefox/144.0")
        sign_in("Firefox/145.0", "203.0.200.9")
        sign_in("curl/8.1")
        sign_in("Firefox/145.0", "198.51.100.1")
        sign_in("curl/8.1")
    found = [event for event in events if event.event_type == "session.new_device"]
    assert [event.metadata["user_agent"] for event in found] == ["curl/8.1", "Firefox/145.0"]
    assert {event.user_id for event in found} == {str(alice.pk)}


def test_a_session_that_is_no_longer_there_is_told(alice: User) -> None:
    client = Client()
    client.cookies["sessionid"] = "nosuchsessionnosuchsessionnosuch"
    with captured_events() as events:
        client.get("/")
    assert events.one("session.expired").priority == "low"
    assert "nosuchsession" not in str(list(events))


def test_signing_in_and_out_is_no_session_that_is_gone(alice: User) -> None:
    client = Client()
    with captured_events() as events:
        client.post(reverse("login"), {"username": "alice", "password": PASSWORD})
        client.get("/")
        client.post(reverse("logout"))
        client.get("/")
    assert "session.expired" not in events.types


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    limit = LIMITS[Kind.DEVICE].of_subject
    for n in range(limit + 5):
        memory.add(Kind.DEVICE, "7", f"device-{n}")
    assert values_of(Kind.DEVICE, "7") == [f"device-{n}" for n in range(limit + 4, 4, -1)]


def test_what_two_add_at_once_is_new_for_one() -> None:
    memory.add(Kind.DEVICE, "7", "first")
    memory.forget_cached()
    assert [memory.add(Kind.DEVICE, "7", "second") for _ in range(2)] == [True, False]


def test_a_device_is_no_browsers_version_and_no_address_of_the_same_provider() -> None:
    assert sessions.device("Firefox/1.0", "203.0.113.9") == sessions.device("Firefox/2.1", "203.0.1.1")
    assert sessions.device("Firefox/1.0", "203.0.113.9") != sessions.device("Firefox/1.0", "203.1.113.9")
    assert sessions.device(None, None) is None


# Proxies


def test_a_proxy_that_is_not_declared_is_remembered_and_what_anybody_claims_pushes_it_out_not() -> None:
    Client(REMOTE_ADDR="10.0.0.1").get("/", HTTP_X_FORWARDED_FOR="203.0.113.9")
    for n in range(30):
        Client(REMOTE_ADDR=f"8.8.8.{n}").get("/", HTTP_X_FORWARDED_FOR="1.2.3.4")
    unified_event_manager.shutdown()
    assert "10.0.0.1" in seen_proxies()
    assert len(seen_proxies()) == 21


def test_a_declared_proxy_is_nothing_to_remember(settings: Any) -> None:
    settings.EVENTS = {"TRUSTED_PROXIES": ["10.0.0.0/8"]}
    Client(REMOTE_ADDR="10.0.0.1").get("/", HTTP_X_FORWARDED_FOR="203.0.113.9")
    Client(REMOTE_ADDR="203.0.113.9").get("/")
    assert not seen_proxies()


def test_a_proxy_that_is_not_seen_any_more_is_warned_of_for_a_week_and_again_when_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> None:
        Client(REMOTE_ADDR="8.8.8.8").get("/", HTTP_X_FORWARDED_FOR="1.2.3.4")
        unified_event_manager.shutdown()

    ask()
    for age, warned in ((timedelta(days=6), ["8.8.8.8"]), (timedelta(days=8), [])):
        Remembered.objects.update(seen_at=utcnow() - age)
        ask()  # the process knows it, and writes nothing
        assert seen_proxies() == warned
    monkeypatch.setattr("security.memory.FRESH", timedelta(0))  # as a day later
    ask()
    assert seen_proxies() == ["8.8.8.8"]


# What is hostile


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=150), email=st.text(max_size=200))
def test_hostile_names_of_accounts_and_groups_are_told_or_refused_by_the_database(name: str, email: str, settings: Any) -> None:
    settings.EVENTS = {"RAISE_INVALID": True}
    if "\0" in name + email:
        return  # no database takes it
    with transaction.atomic():
        user = User(username=name[:150], email=email[:200])
        user.save()
        user.email = "x@example.org"
        user.save()
        user.groups.add(Group.objects.create(name=f"g{name}"[:150]))
        user.delete()
        transaction.set_rollback(True)
    assert stats.snapshot()["errors"] == stats.snapshot()["handler_errors"] == 0
    assert connection.is_usable()
