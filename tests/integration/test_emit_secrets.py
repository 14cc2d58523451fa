"""Secrets in events that are kept: nobody gets to see them, neither handlers nor the journal nor what is derived."""

from __future__ import annotations

from typing import Any

import pytest

from events import EventPriority, UnifiedEvent, emit, event_router
from events.exceptions import InvalidEvent
from events.models import JournalEntry
from events.redaction import REDACTED

SECRET = "s3cr3t-hunter2"
DATA = {"password": SECRET, "nested": [{"api_key": SECRET, "note": f"password={SECRET}"}, ("x", {"Token": SECRET})]}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("category", ["audit", "security"])
def test_neither_handlers_nor_the_journal_get_a_secret(category: str) -> None:
    seen: list[UnifiedEvent] = []
    with event_router.isolated():
        event_router.add_global_handler(seen.append)
        event_router.add_category_handler("realtime", seen.append)
        given: dict[str, Any] = {"metadata": {"cookie": SECRET}, "priority": EventPriority.CRITICAL}
        assert emit("report.read", dict(DATA), category=category, **given)
    rows = list(JournalEntry.objects.all())
    assert {row.category for row in rows} >= {category, "realtime"}
    assert [row for row in rows if SECRET in row.body + row.private] == []
    assert {str(event.category) for event in seen} == {category, "realtime"}
    assert SECRET not in repr(seen)
    assert all(event.data["password"] == event.metadata["cookie"] == REDACTED for event in seen)


def test_the_callers_data_stay_as_they_are() -> None:
    data = {"password": SECRET, "list": [SECRET]}
    assert emit("report.read", data, category="audit")
    assert data == {"password": SECRET, "list": [SECRET]}


def test_other_events_bring_to_a_page_what_they_are_given() -> None:
    assert emit("upload.ready", {"token": SECRET}, category="realtime")
    assert SECRET in JournalEntry.objects.get().body


def test_data_of_an_audit_event_that_are_nested_too_deeply_are_refused_by_name(settings: Any) -> None:
    settings.EVENTS = settings.EVENTS | {"RAISE_INVALID": True}
    data: dict[str, Any] = {}
    for _ in range(100_000):
        data = {"a": data}
    with pytest.raises(InvalidEvent, match="data"):
        emit("report.read", data, category="audit")
