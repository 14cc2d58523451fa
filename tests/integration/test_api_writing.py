"""POST /api/events/: who may, what is refused, all or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.authtoken.models import Token

from audit.models import AuditEntry
from events.api.writing import MAX_EVENTS
from events.manager import event_router
from events.models import JournalEntry
from events.testing import Captured
from events.types import UnifiedEvent
from tests.support.journal import forget, inserts
from tests.support.server import Servers

pytestmark = pytest.mark.django_db

URL = "/api/events/"


DEEP = "[" * 1_000 + "1" + "]" * 1_000


def parses(text: str) -> bool:
    """Whether this Python's parser goes so deep: 3.12's goes deeper than 3.11's."""
    try:
        json.loads(text)
    except RecursionError:
        return False
    return True


def caller(name: str, *permissions: str, staff: bool = False, superuser: bool = False) -> Client:
    user = User.objects.create_user(name, is_staff=staff, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    token = Token.objects.create(user=user)
    forget()
    return Client(headers={"authorization": f"Token {token.key}", "user-agent": "tests/1"})


def post(client: Client, body: Any, **options: Any) -> Any:
    content = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return client.post(URL, content, content_type=options.pop("content_type", "application/json"), **options)


@pytest.fixture
def admin() -> Client:
    return caller("admin", staff=True, superuser=True)


@pytest.mark.parametrize(
    ("account", "status"),
    [
        ({"superuser": True, "staff": True}, 201),
        ({"staff": True}, 201),
        ({"superuser": True}, 403),
        ({}, 403),
    ],
    ids=str,
)
def test_staff_may_emit(account: dict[str, Any], status: int) -> None:
    client = caller("someone", **account)

    response = post(client, {"type": "news.posted"})

    assert response.status_code == status
    assert JournalEntry.objects.filter(event_type="news.posted").count() == (status == 201)


def test_who_is_not_signed_in_may_not_emit() -> None:
    assert post(Client(), {"type": "news.posted"}).status_code == 401


def test_a_session_needs_the_csrf_token() -> None:
    caller("admin", staff=True, superuser=True)
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="admin"))
    forget()

    assert post(client, {"type": "news.posted"}).status_code == 403
    assert not JournalEntry.objects.filter(event_type="news.posted").exists()


def test_an_event_is_stored_with_what_the_server_saw(admin: Client) -> None:
    body = {
        "type": "news.posted",
        "category": "workflow",
        "priority": "high",
        "data": {"title": "é"},
        "metadata": {"tags": ["a"]},
        "user_id": "7",
        "correlation_id": "c-1",
        "source_system": "cms",
    }

    response = post(admin, body, headers={"X-Request-ID": "r-1"})

    assert response.status_code == 201
    [event_id] = response.json()["ids"]
    event = JournalEntry.objects.get(event_id=event_id).event
    admin_id = str(User.objects.get(username="admin").pk)
    assert event.metadata == {
        "tags": ["a"],
        "via": "api",
        "actor": {"type": "token", "id": admin_id, "label": "admin"},
        "request_id": "r-1",
        "ip_address": "127.0.0.1",
        "user_agent": "tests/1",
    }
    assert (event.event_type, event.category, event.priority) == ("news.posted", "workflow", "high")
    assert (event.data, event.user_id, event.correlation_id, event.source_system) == ({"title": "é"}, "7", "c-1", "cms")


def test_an_event_from_the_api_goes_the_way_of_every_event(admin: Client, captured_events: Captured) -> None:
    handled: list[UnifiedEvent] = []
    event_router.add_type_handler("auth.*", handled.append)

    [event_id] = post(admin, {"type": "auth.odd", "category": "security", "priority": "critical"}).json()["ids"]

    assert [event.id for event in handled] == [event_id]
    assert captured_events.one("auth.odd").id == event_id
    assert AuditEntry.objects.filter(event_type="auth.odd").count() == 1
    assert sorted(JournalEntry.objects.values_list("category", flat=True)) == ["audit", "realtime", "security"]


def test_a_list_is_answered_with_the_ids_in_its_order(admin: Client) -> None:
    body = [{"type": "tick.tock", "data": {"number": number}} for number in range(MAX_EVENTS)]
    admin.get(URL)  # from where a token is used is remembered

    with CaptureQueriesContext(connection) as queries:
        response = post(admin, body)

    assert response.status_code == 201
    numbers = {entry.event_id: entry.event.data["number"] for entry in JournalEntry.objects.filter(event_type="tick.tock")}
    assert [numbers[event_id] for event_id in response.json()["ids"]] == list(range(MAX_EVENTS))
    # One statement for all rows, however many there are.
    assert len(inserts(queries)) == 1


def test_streaming_events_are_taken_and_not_stored(admin: Client) -> None:
    response = post(admin, [{"type": "a.b"}, {"type": "chat.token", "category": "streaming"}, {"type": "c.d"}])

    assert len(response.json()["ids"]) == 3
    assert sorted(JournalEntry.objects.values_list("event_type", flat=True)) == ["a.b", "c.d"]


def test_a_list_with_a_bad_event_stores_nothing_and_each_bad_one_is_named(admin: Client, captured_events: Captured) -> None:
    response = post(admin, [{"type": "a.b"}, {"type": "A.b"}, {"type": "a.b", "priority": "urgent"}, {"type": "c.d"}, 5])

    assert response.status_code == 400
    body = response.json()
    assert (body["error"], body["field"]) == ("invalid", "type")
    assert [(problem["index"], problem["field"]) for problem in body["errors"]] == [(1, "type"), (2, "priority"), (4, "body")]
    assert not JournalEntry.objects.exists()
    assert captured_events == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "a.b", "data": {"n": 123456789012345678901234567890}}, "data"),
        ({}, "type"),
        ({"type": None}, "type"),
        ({"type": 5}, "type"),
        ({"type": "Uploaded"}, "type"),
        ({"type": "a.b\n"}, "type"),
        ({"type": "a." + "b" * 100}, "type"),
        ({"type": "a.b", "category": "nonsense"}, "category"),
        ({"type": "a.b", "category": None}, "category"),
        ({"type": "a.b", "category": ["audit"]}, "category"),
        ({"type": "a.b", "priority": {"rank": 1}}, "priority"),
        ({"type": "a.b", "data": []}, "data"),
        ({"type": "a.b", "data": None}, "data"),
        ({"type": "a.b", "data": "{}"}, "data"),
        ({"type": "a.b", "data": {"x": "\0"}}, "data"),
        ({"type": "a.b", "data": {"x": "y" * 70_000}}, "data"),
        ({"type": "a.b", "metadata": []}, "metadata"),
        ({"type": "a.b", "metadata": {"actor": {"type": "user", "id": "1", "label": "root"}}}, "metadata"),
        ({"type": "a.b", "metadata": {"ip_address": "1.1.1.1"}}, "metadata"),
        ({"type": "a.b", "metadata": {"user_agent": "x"}}, "metadata"),
        ({"type": "a.b", "metadata": {"request_id": "x"}}, "metadata"),
        ({"type": "a.b", "metadata": {"via": "code"}}, "metadata"),
        ({"type": "audit_log.verified", "category": "audit"}, "type"),
        ({"type": "audit_log.recorded", "category": "monitoring"}, "type"),
        ({"type": "a.verified", "category": "security", "data": {"resource_type": "audit_log"}}, "data"),
        ({"type": "a.b", "metadata": {"derived_from": "x"}}, "metadata"),
        ({"type": "a.b", "metadata": {"source_category": "realtime"}}, "metadata"),
        ({"type": "a.b", "metadata": {"replayed": True}}, "metadata"),
        ({"type": "a.b", "user_id": 5}, "user_id"),
        ({"type": "a.b", "user_id": True}, "user_id"),
        ({"type": "a.b", "user_id": "x" * 129}, "user_id"),
        ({"type": "a.b", "correlation_id": "a\nb"}, "correlation_id"),
        ({"type": "a.b", "source_system": []}, "source_system"),
        ({"type": "a.b", "id": "mine"}, "id"),
        ({"type": "a.b", "timestamp": "2020-01-01T00:00:00Z"}, "timestamp"),
        ({"type": "a.b", "session_id": "x"}, "session_id"),
        ({"type": "a.b", "event_type": "c.d"}, "event_type"),
        ([], "body"),
        ([{"type": "a.b"}] * (MAX_EVENTS + 1), "body"),
        (5, "body"),
        ("null", "body"),
        ('"text"', "body"),
        ("", "type"),
        ("{", "body"),
        ("NaN", "body"),
        ('{"type": "a.b", "data": {"x": Infinity}}', "body"),
        ("[" * 100_000, "body"),
        ('{"type": ' + DEEP + "}", "type"),
        ('{"type": "a.b", "category": ' + DEEP + "}", "category"),
        ('{"type": "a.b", "priority": ' + DEEP + "}", "priority"),
        ('{"type": "a.b", "data": {"x": ' + DEEP.replace("1", "1" * 19) + "}}", "data" if parses(DEEP) else "body"),
        (b'{"type": "\xff"}', "body"),
        ('{"type": "a.b", "data": {"\\ud800": 1}}', "body"),
    ],
    ids=lambda value: (value if isinstance(value, str) else repr(value))[:60].replace("\0", "NUL"),
)
def test_a_bad_body_is_refused_by_the_name_of_the_field(admin: Client, body: Any, field: str) -> None:
    response = post(admin, body)

    assert response.status_code == 400
    answer = response.json()
    assert (answer["error"], answer["field"]) == ("invalid", field)
    assert answer["detail"]
    assert not JournalEntry.objects.exists()


def test_a_body_that_comes_in_chunks_is_taken(serve: Servers) -> None:
    server = serve()
    with server.client(headers={"Authorization": f"Token {server.accounts['admin'].token}"}) as client:
        chunks = iter([b'{"type": ', b'"news.posted"}'])
        answer = client.post(URL, content=chunks, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201


def test_a_body_over_the_limit_is_413(admin: Client, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000

    assert post(admin, {"type": "a.b", "data": {"x": "y" * 1_000}}).status_code == 413
    assert post(admin, {"type": "a.b", "data": {"x": "y" * 900}}).status_code == 201
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
    assert post(admin, {"type": "a.b", "data": {"x": "y" * 5_000}}).status_code == 201


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_another_media_type_is_415(admin: Client, content_type: str) -> None:
    assert post(admin, '{"type": "a.b"}', content_type=content_type).status_code == 415


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_events_can_not_be_changed(admin: Client, method: str) -> None:
    assert getattr(admin, method)(URL).status_code == 405


def test_what_can_not_be_stored_is_503_and_the_client_may_try_again(admin: Client, settings: Settings) -> None:
    settings.EVENTS = {"UNIFIED_EVENTS_ENABLED": False}

    response = post(admin, {"type": "a.b"})

    assert response.status_code == 503
    assert response.json()["error"] == "unavailable"
    assert response["Retry-After"] == "1"
