"""GET /api/events/: who sees what, filters, pages that hold still while events arrive."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.authtoken.models import Token

from events import Actor, act_as, journal
from events.manager import unified_event_manager
from events.types import create_event
from tests.support.journal import forget, published

pytestmark = pytest.mark.django_db

URL = "/api/events/"


def caller(name: str, *permissions: str, staff: bool = False, superuser: bool = False, active: bool = True) -> Client:
    user = User.objects.create_user(name, is_staff=staff, is_superuser=superuser, is_active=active)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    token = Token.objects.create(user=user)
    forget()
    return Client(headers={"authorization": f"Token {token.key}"})


def user_id(name: str) -> str:
    return str(User.objects.get(username=name).pk)


def listed(client: Client, **query: Any) -> list[str]:
    response = client.get(URL, query)
    assert response.status_code == 200, response.content
    return [item["type"] for item in response.json()["results"]]


@pytest.fixture
def alice() -> Client:
    return caller("alice")


@pytest.fixture
def admin() -> Client:
    return caller("admin", staff=True, superuser=True)


def test_each_caller_sees_its_own_events_and_those_of_everybody_and_of_its_permissions(alice: Client) -> None:
    clients = {
        "alice": alice,
        "bob": caller("bob"),
        "auditor": caller("auditor", "view_audit_events", staff=True),
        "former": caller("former", "view_audit_events"),
        "admin": caller("admin", staff=True, superuser=True),
    }
    published("news.posted")
    published("mail.arrived", user_id=user_id("alice"))
    published("role.changed", category="audit", user_id=user_id("alice"))
    published("cpu.measured", category="monitoring")

    assert {name: sorted(listed(client)) for name, client in clients.items()} == {
        "alice": ["mail.arrived", "news.posted"],
        "bob": ["news.posted"],
        "auditor": ["news.posted", "role.changed"],
        "former": ["news.posted"],
        "admin": ["cpu.measured", "news.posted", "role.changed"],
    }


@pytest.mark.parametrize("path", ["", "stats/", "some-id/"])
def test_who_is_not_signed_in_is_told_so(path: str) -> None:
    response = Client().get(URL + path)

    assert response.status_code == 401
    assert response.json()["error"] == "unauthenticated"
    assert response["WWW-Authenticate"] == "Token"


def test_a_wrong_token_or_one_of_an_inactive_user_is_nobodys() -> None:
    assert Client(headers={"authorization": "Token wrong"}).get(URL).status_code == 401
    assert caller("gone", active=False).get(URL).status_code == 401


def test_a_session_signs_in_too(alice: Client) -> None:
    client = Client()
    client.force_login(User.objects.get(username="alice"))
    forget()
    published("news.posted")

    assert listed(client) == ["news.posted"]


def test_an_item_is_the_event_as_on_the_wire_with_its_cursor(alice: Client) -> None:
    with act_as(Actor("command", None, "fetchmail")):
        event = published(
            "mail.arrived",
            {"é": [1, None, "<b>"]},
            user_id=user_id("alice"),
            priority="high",
            correlation_id="c-1",
            source_system="imap",
            metadata={"ip_address": "203.0.113.9", "folder": "in"},
        )
    head = journal.read_head()

    item = alice.get(URL).json()["results"][0]

    assert item == {
        "metadata": {"folder": "in", "actor": {"type": "command", "id": None, "label": "fetchmail"}},
        "id": event.id,
        "type": "mail.arrived",
        "category": "realtime",
        "priority": "high",
        "data": {"é": [1, None, "<b>"]},
        "user_id": user_id("alice"),
        "session_id": None,
        "correlation_id": "c-1",
        "source_system": "imap",
        "timestamp": event.timestamp.isoformat(),
        "cursor": f"{head.epoch}:{head.position}",
    }
    assert alice.get(f"{URL}{event.id}/").json() == alice.get(URL).json()["results"][0]


def test_what_waits_in_the_outbox_is_not_listed(alice: Client) -> None:
    event = create_event("realtime", "news.posted")
    assert unified_event_manager.emit(event)

    assert listed(alice) == []
    assert alice.get(f"{URL}{event.id}/").status_code == 404


def test_the_event_of_another_is_not_found(alice: Client) -> None:
    theirs = published("mail.arrived", user_id="999999")
    audit = published("role.changed", category="audit", user_id=user_id("alice"))

    for unseen in (theirs.id, audit.id, "nonsense", "%00", "a%0Ab"):
        response = alice.get(f"{URL}{unseen}/")
        assert (response.status_code, response.json()["error"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["job.failed", "job.done", "job_done.x", "doc.up"]),
        ({"types": "job.*"}, ["job.failed", "job.done"]),
        ({"types": "job_*,*.up"}, ["job_done.x", "doc.up"]),
        ({"categories": "workflow"}, ["job.failed", "job.done"]),
        ({"categories": "workflow,realtime", "types": "*.done"}, ["job.done"]),
        ({"min_priority": "high"}, ["job.failed"]),
        ({"correlation_id": "run-1"}, ["job.failed", "doc.up"]),
        ({"correlation_id": "run-2"}, []),
        ({"user": "me"}, ["doc.up"]),
        ({"since": 2.5}, ["job.failed", "job.done"]),
        ({"until": 2.5}, ["job_done.x", "doc.up"]),
        ({"since": 1, "until": 2}, ["doc.up"]),
        ({"page_size": 2}, ["job.failed", "job.done"]),
    ],
    ids=str,
)
def test_filters_narrow_what_is_listed(alice: Client, query: dict[str, Any], expected: list[str]) -> None:
    begun = timezone.now() - timedelta(hours=1)

    def at(minute: float) -> Any:
        return begun + timedelta(minutes=minute)

    published("doc.up", user_id=user_id("alice"), correlation_id="run-1", timestamp=at(1))
    published("job_done.x", timestamp=at(2))
    published("job.done", category="workflow", timestamp=at(3))
    published("job.failed", category="workflow", priority="high", correlation_id="run-1", timestamp=at(4))
    query |= {name: at(query[name]).isoformat() for name in ("since", "until") if name in query}
    query |= {"user": user_id("alice")} if "user" in query else {}
    # The high event's derived realtime event comes on top of the unfiltered list.
    derived = [item for item in alice.get(URL).json()["results"] if "derived_from" in item["metadata"]]
    assert len(derived) == 1

    items = alice.get(URL, query | {"page_size": 1 + query.get("page_size", 50)}).json()["results"]

    assert [item["type"] for item in items if "derived_from" not in item["metadata"]] == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("types=A.b", "types"),
        ("types=a,,b", "types"),
        ("types=", "types"),
        ("types=" + ",".join(["a.b"] * 51), "types"),
        ("categories=nonsense", "categories"),
        ("min_priority=urgent", "min_priority"),
        ("since=yesterday", "since"),
        ("until=2026-13-01T00:00:00Z", "until"),
        ("since=0001-01-01T00:00:00%2B14:00", "since"),
        ("page_size=0", "page_size"),
        ("page_size=501", "page_size"),
        ("page_size=ten", "page_size"),
        ("page_size=" + "9" * 5000, "page_size"),
        ("correlation_id=%00", "correlation_id"),
        ("correlation_id=" + "x" * 129, "correlation_id"),
        ("user=%00", "user"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=cD1hYmM=", "cursor"),  # p=abc
        ("cursor=cD0tMQ==", "cursor"),  # p=-1
        ("cursor=cD05OTk5OTk5OTk5OTk5OTk5OTk5OQ==", "cursor"),  # p=99999999999999999999
        ("cursor=bz0tMQ==", "cursor"),  # o=-1
        ("cursor=", "cursor"),
        ("category=audit", "category"),
        ("types=a.b&types=c.d", "types"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_malformed_parameter_is_refused_by_its_name(admin: Client, query: str, field: str) -> None:
    response = admin.get(f"{URL}?{query}")

    assert response.status_code == 400
    body = response.json()
    assert (body["error"], body["field"]) == ("invalid", field)
    assert body["detail"]
    assert {"field": field, "detail": body["detail"]} in body["errors"]


def test_only_staff_may_ask_for_the_events_of_another_user(alice: Client, admin: Client) -> None:
    published("role.changed", category="audit", user_id=user_id("alice"))

    assert alice.get(URL, {"user": "1234"}).status_code == 403
    assert listed(admin, user=user_id("alice")) == ["role.changed"]


def test_pages_show_each_event_once_while_events_arrive(alice: Client) -> None:
    for number in range(10):
        published("tick.tock", {"number": number})

    seen, url = [], f"{URL}?page_size=3"
    while url:
        page = alice.get(url).json()
        seen += [item["data"]["number"] for item in page["results"]]
        published("late.comer", {"number": -1})
        url = page["next"]

    assert seen == list(reversed(range(10)))


def test_the_previous_page_has_what_arrived_meanwhile(alice: Client) -> None:
    for number in range(4):
        published("tick.tock", {"number": number})
    older = alice.get(alice.get(f"{URL}?page_size=2").json()["next"]).json()
    published("late.comer", {"number": 4})

    newer = alice.get(older["previous"]).json()

    assert [item["data"]["number"] for item in newer["results"]] == [3, 2]
    assert [item["data"]["number"] for item in alice.get(newer["previous"]).json()["results"]] == [4]


def test_the_links_of_a_page_keep_the_filters(alice: Client) -> None:
    for _ in range(3):
        published("job.done")
    link = alice.get(f"{URL}?{urlencode({'types': 'job.*', 'page_size': 2})}").json()["next"]

    assert parse_qs(urlsplit(link).query).items() >= {"types": ["job.*"], "page_size": ["2"]}.items()


def test_a_page_takes_a_fixed_number_of_queries(alice: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    auditor = caller("auditor", "view_audit_events", staff=True)
    for _ in range(30):
        published("job.done")

    listed(alice), listed(auditor)  # from where tokens are used is remembered
    with django_assert_num_queries(3):  # the token with its user, the journal's head, the events
        assert len(listed(alice)) == 30
    with django_assert_num_queries(5):  # and permissions: the user's, their groups'
        assert len(listed(auditor)) == 30


# Counters


def test_counters_are_for_staff(alice: Client, admin: Client) -> None:
    assert alice.get(f"{URL}stats/").status_code == 403
    assert caller("sam", staff=True).get(f"{URL}stats/").status_code == 200
    assert admin.get(f"{URL}stats/").status_code == 200


def test_counters_tell_of_this_process_and_of_the_journal(admin: Client) -> None:
    before = admin.get(f"{URL}stats/").json()
    published("job.done", timestamp=timezone.now() - timedelta(hours=25))
    published("job.failed", priority="critical")
    waiting = create_event("workflow", "flow.begun", priority="low")
    assert unified_event_manager.emit(waiting)

    after = admin.get(f"{URL}stats/").json()

    assert after["processed"] == before["processed"] + 3
    assert after["by_type"]["job.failed"] == 1
    assert after["by_priority"]["critical"] == before["by_priority"]["critical"] + 1
    assert after["by_category"]["workflow"] == 1
    assert {"connections", "errors", "dropped"} <= after.keys()
    head = journal.read_head()
    totals = after["journal"]
    assert (totals["epoch"], totals["position"], totals["outbox"]) == (head.epoch, head.position, 1)
    assert totals["oldest"] < (timezone.now() - timedelta(hours=24)).isoformat()
    recent = totals["last_24_hours"]
    assert recent["total"] == 2
    assert recent["by_type"] == {"job.failed": 1, "flow.begun": 1}
    assert recent["by_priority"] == {"low": 1, "normal": 0, "high": 0, "critical": 1}
    assert recent["by_category"]["workflow"] == 1


def test_counters_of_an_empty_journal_are_zero(admin: Client) -> None:
    totals = admin.get(f"{URL}stats/").json()["journal"]

    assert (totals["outbox"], totals["oldest"], totals["last_24_hours"]["total"]) == (0, None, 0)


def test_counters_take_a_fixed_number_of_queries(admin: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for number in range(20):
        published(f"job.number{number}")

    admin.get(f"{URL}stats/")  # from where a token is used is remembered
    with django_assert_num_queries(5):  # the token, the head, the oldest, the outbox, the last 24 hours
        admin.get(f"{URL}stats/")
