"""Who may do what with the audit log: the whole matrix."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.authtoken.models import Token

from audit.models import AuditEntry
from events.exceptions import InvalidEvent
from events.manager import aemit, emit
from tests.support.auditing import account, entry, readings

pytestmark = pytest.mark.django_db

ADMIN, API = "/admin/audit/auditentry/", "/api/audit/"
VIEW, EXPORT, VERIFY = "view_auditentry", "export_auditentry", "verify_auditentry"
PAGES = {
    "list": ADMIN,
    "entry": ADMIN + "{pk}/change/",
    "timeline": ADMIN + "timeline/?correlation=c",
    "chart": ADMIN + "chart/",
    "export": ADMIN + "export/?as=jsonl",
    "add": ADMIN + "add/",
    "delete": ADMIN + "{pk}/delete/",
    "api list": API,
    "api entry": API + "{pk}/",
    "api export": API + "export/?as=csv",
}
READ = {"list", "entry", "timeline", "chart", "api list", "api entry"}
EXPORTS = {"export", "api export"}
# Who: permissions, staff, superuser; and the pages that they get.
WHO = {
    "no staff, all permissions": ((VIEW, EXPORT, VERIFY), False, False, set()),
    "staff without a permission": ((), True, False, set()),
    "staff who may only export": ((EXPORT,), True, False, set()),
    "staff who may only verify": ((VERIFY,), True, False, set()),
    "staff who may view": ((VIEW,), True, False, READ),
    "staff who may view and verify": ((VIEW, VERIFY), True, False, READ),
    "staff who may view and export": ((VIEW, EXPORT), True, False, READ | EXPORTS),
    "superuser": ((), True, True, READ | EXPORTS),
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("who", WHO)
def test_a_page_is_for_who_may_see_it(who: str, page: str) -> None:
    permissions, staff, superuser, allowed = WHO[who]
    client = account("someone", *permissions, staff=staff, superuser=superuser)
    address = PAGES[page].format(pk=entry(correlation_id="c").pk)

    response = client.get(address)

    assert response.status_code == (200 if page in allowed else 302 if not staff and address.startswith(ADMIN) else 403)
    if page in EXPORTS & allowed:
        assert b"".join(response)
    assert bool(readings()) == (page in allowed)


@pytest.mark.parametrize("page", PAGES)
def test_nobody_gets_a_page_without_signing_in(page: str) -> None:
    address = PAGES[page].format(pk=entry().pk)
    assert Client().get(address).status_code == (302 if address.startswith(ADMIN) else 401)


@pytest.mark.parametrize(("permissions", "offered"), [((VIEW,), False), ((VIEW, EXPORT), True)])
def test_an_export_is_offered_to_who_may_export(permissions: tuple[str, ...], offered: bool) -> None:
    client = account("someone", *permissions)
    assert (b"JSON Lines" in client.get(ADMIN).content) == offered


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
@pytest.mark.parametrize("address", [API, API + "{pk}/", API + "export/"])
def test_the_api_changes_nothing(address: str, method: str) -> None:
    account("root", superuser=True)
    token = Token.objects.create(user=User.objects.get(username="root"))
    client = Client(headers={"authorization": f"Token {token.key}"})
    assert getattr(client, method)(address.format(pk=entry().pk), {}).status_code == 405


@pytest.mark.parametrize(("permissions", "linked"), [((), False), ((VIEW,), True)])
def test_the_timeline_of_an_object_is_linked_for_who_may_view_the_log(permissions: tuple[str, ...], linked: bool) -> None:
    client = account("someone", "view_user", *permissions)
    user = User.objects.get(username="someone")
    page = client.get(f"/admin/auth/user/{user.pk}/change/").content.decode()
    assert (f"timeline/?resource_type=auth.user&amp;resource_id={user.pk}" in page) == linked


FORGED = {
    "a verification": {
        "type": "audit_log.verified",
        "data": {
            "action": "verified",
            "resource_type": "audit_log",
            "resource_id": "seals",
            "rows": 9,
            "seal": 9,
            "is_end": True,
        },
    },
    "an export": {"type": "audit_log.exported", "data": {"action": "exported"}},
    "another type": {
        "type": "seals.verified",
        "data": {"action": "verified", "resource_type": "audit_log", "resource_id": "seals"},
    },
}


@pytest.mark.parametrize("category", ["audit", "security", "realtime"])
@pytest.mark.parametrize("what", FORGED)
def test_nobody_but_the_log_tells_what_was_done_with_it(what: str, category: str, settings: Any) -> None:
    body = FORGED[what] | {"category": category}
    client = account("someone", superuser=True)
    assert client.post("/api/events/", body, content_type="application/json").status_code == 400
    settings.EVENTS = settings.EVENTS | {"RAISE_INVALID": True}
    event_type = body["type"]
    with pytest.raises(InvalidEvent):
        emit(event_type, body["data"], category=category)
    with pytest.raises(InvalidEvent):
        async_to_sync(aemit)(event_type, body["data"], category=category)
    with pytest.raises(CommandError):
        call_command("emit_event", event_type, data=json.dumps(body["data"]), category=category)
    assert readings() == []
    assert not AuditEntry.objects.exists()


def test_what_staff_emit_over_the_api_is_theirs_and_says_so() -> None:
    client = account("someone")
    body = {"type": "auth.user.deleted", "category": "audit", "user_id": "777", "data": {"action": "deleted"}}
    assert client.post("/api/events/", body, content_type="application/json").status_code == 201
    made = AuditEntry.objects.get()
    user = User.objects.get(username="someone")
    assert (made.actor_type, made.actor_id, made.actor_label) == ("user", str(user.pk), "someone")
    assert (made.user_id, made.metadata["via"]) == ("777", "api")
