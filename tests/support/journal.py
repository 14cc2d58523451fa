"""The journal in tests that run in one transaction: where there is no commit, nobody publishes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from events import journal
from events.manager import unified_event_manager
from events.models import JournalEntry
from events.types import EventCategory, UnifiedEvent, create_event


def publish() -> None:
    """Give positions to what waits in the outbox, as the publisher does after a commit."""
    with transaction.atomic():
        journal.sequence_outbox(10_000)


def published(event_type: str, data: dict[str, Any] | None = None, **fields: Any) -> UnifiedEvent:
    """An event that was emitted and published, with those that rules derive from it."""
    event = create_event(fields.pop("category", EventCategory.REALTIME), event_type, data, **fields)
    assert unified_event_manager.emit(event)
    publish()
    return event


def forget() -> None:
    """Empty the journal: what making the accounts of a test told is not what the test is about."""
    JournalEntry.objects.all().delete()


def inserts(queries: Iterable[dict[str, str]]) -> list[str]:
    """Those of the captured statements that write rows: PostgreSQL's way for many is COPY."""
    return [query["sql"] for query in queries if "INSERT INTO" in query["sql"] or query["sql"].startswith("COPY ")]
