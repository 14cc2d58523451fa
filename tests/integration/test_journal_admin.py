"""The journal in the admin: what it shows to whom, and that nobody may change it."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from events.manager import unified_event_manager
from events.models import JournalEntry
from events.types import create_event
from tests.support.journal import forget, published

pytestmark = pytest.mark.django_db

LIST = "/admin/events/journalentry/"
SCRIPT = "<script>alert('x')</script>"


def account(name: str, *permissions: str, superuser: bool = False) -> Client:
    user = User.objects.create_user(name, is_staff=True, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    forget()
    return client


def page(event_id: str) -> str:
    return reverse("admin:events_journalentry_change", args=[JournalEntry.objects.get(event_id=event_id).pk])


def shown(client: Client, **query: Any) -> list[str]:
    response = client.get(LIST, query)
    assert response.status_code == 200
    return [entry.event_type for entry in response.context["cl"].result_list]


@pytest.fixture
def admin() -> Client:
    return account("admin", superuser=True)


def test_staff_see_the_events_that_they_may_see_and_need_the_view_permission() -> None:
    clients = {
        "admin": account("admin", superuser=True),
        "viewer": account("viewer", "view_journalentry"),
        "auditor": account("auditor", "view_journalentry", "view_audit_events"),
    }
    nobody = account("nobody", "view_audit_events")
    published("news.posted")
    published("mail.arrived", user_id="999999")
    audit = published("role.changed", category="audit")

    assert {name: sorted(shown(client)) for name, client in clients.items()} == {
        "admin": ["news.posted", "role.changed"],
        "viewer": ["news.posted"],
        "auditor": ["news.posted", "role.changed"],
    }
    assert nobody.get(LIST).status_code == 403
    assert clients["viewer"].get(page(audit.id)).status_code == 302  # as if it did not exist
    assert clients["auditor"].get(page(audit.id)).status_code == 200


@pytest.mark.parametrize("address", ["add/", "{pk}/delete/", "{pk}/change/"])
def test_nobody_can_add_change_or_delete(admin: Client, address: str) -> None:
    event = published("news.posted", {"title": "old"})
    entry = JournalEntry.objects.get(event_id=event.id)

    response = admin.post(LIST + address.format(pk=entry.pk), {"post": "yes", "event_type": "b.c", "body": "{}"})

    assert response.status_code == 403
    kept = JournalEntry.objects.get(pk=entry.pk)
    assert (kept.event_type, kept.body) == (entry.event_type, entry.body)


def test_the_list_has_no_actions(admin: Client) -> None:
    published("news.posted")

    response = admin.post(LIST, {"action": "delete_selected", "_selected_action": JournalEntry.objects.get().pk, "post": "yes"})

    assert JournalEntry.objects.count() == 1
    assert b"delete_selected" not in response.content


def test_markup_in_an_event_is_shown_as_text(admin: Client) -> None:
    event = published(
        "news.posted", {SCRIPT: SCRIPT, "é": ["ü"]}, metadata={"note": SCRIPT}, correlation_id=SCRIPT, source_system=SCRIPT
    )

    for address in (LIST, page(event.id), f"{LIST}?q={SCRIPT}"):
        assert SCRIPT not in admin.get(address).content.decode()
    text = unescape(admin.get(page(event.id)).content.decode())
    assert f'"{SCRIPT}": "{SCRIPT}"' in text
    assert '"note": ' in text
    assert '"ü"' in text


def test_private_metadata_is_shown_with_staff_events_only(admin: Client) -> None:
    private = {"ip_address": "203.0.113.9"}
    news, audit = published("news.posted", metadata=private), published("role.changed", category="audit", metadata=private)

    assert "203.0.113.9" not in admin.get(page(news.id)).content.decode()
    assert "203.0.113.9" in admin.get(page(audit.id)).content.decode()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["job.failed", "job.done", "doc.up"]),
        ({"q": "run-1"}, ["job.failed", "doc.up"]),
        ({"q": "run"}, []),
        ({"q": "%' OR 1=1"}, []),
        ({"types": "job.*"}, ["job.failed", "job.done"]),
        ({"types": "JOB"}, []),
        ({"user": "999"}, []),
        ({"category__exact": "analytics"}, ["job.done"]),
        ({"priority__exact": "low"}, ["job.done"]),
        ({"timestamp_from_0": "2026-01-01", "timestamp_to_0": "2026-01-01"}, []),
    ],
    ids=str,
)
def test_the_list_is_filtered_and_searched(admin: Client, query: dict[str, str], expected: list[str]) -> None:
    published("doc.up", correlation_id="run-1")
    published("job.done", category="analytics")
    published("job.failed", correlation_id="run-1")

    assert shown(admin, **query) == expected


def test_an_event_is_found_by_its_id(admin: Client) -> None:
    published("doc.up")
    event = published("job.done")

    assert shown(admin, q=event.id) == ["job.done"]


def test_an_event_that_waits_in_the_outbox_is_shown_without_a_position(admin: Client) -> None:
    event = create_event("realtime", "news.posted")
    assert unified_event_manager.emit(event)

    assert shown(admin) == ["news.posted"]
    assert admin.get(page(event.id)).status_code == 200


@pytest.mark.parametrize(
    "address", ["%00/change/", "nonsense/change/", "99999999999999999999/change/", "?q=%00", "?user=%00", "?p=-1"]
)
def test_a_malformed_address_is_not_an_error_of_ours(admin: Client, address: str) -> None:
    assert admin.get(LIST + address).status_code in (200, 302)


def test_the_list_takes_a_fixed_number_of_queries(admin: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    def queries() -> int:
        with django_assert_num_queries(3):  # session, user, events
            return len(shown(admin))

    published("news.posted")
    assert queries() == 1
    for _ in range(20):
        published("news.posted")
    assert queries() == 21
