"""What is looked for in the log is found by an index, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet

from audit.models import AuditEntry
from audit.reading.paging import ORDER
from audit.reading.selection import Selection, searched
from audit.tracking.ids import id_at, period_of
from events.ids import new_id
from tests.support.auditing import START, entry

pytestmark = pytest.mark.django_db


def found(text: str) -> set[int]:
    return {row.pk for condition in searched(text) for row in AuditEntry.objects.filter(condition)}


def plan_of(rows: QuerySet[AuditEntry]) -> str:
    """How the database reads the newest page of these rows."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")  # nothing is quicker where there are few rows
            cursor.execute("SET LOCAL enable_bitmapscan = off")
    return rows.order_by(*ORDER)[:100].explain()


@pytest.mark.parametrize("microseconds", [0, 1, 999, 1_000, 999_999])
def test_a_change_is_found_by_its_id(microseconds: int) -> None:
    moment = START + timedelta(microseconds=microseconds)
    change = entry(timestamp=moment, source_category="change", event_id=id_at(moment))
    entry(timestamp=moment, source_category="change", event_id=id_at(moment))
    assert found(change.event_id) == {change.pk}


def test_an_event_is_found_by_its_id_whatever_its_moment() -> None:
    event = entry(timestamp=START - timedelta(days=900), event_id=id_at(START))
    assert found(event.event_id) == {event.pk}


@pytest.mark.parametrize(
    "text",
    ["", "42", new_id(), "ffffffff-ffff-7fff-8fff-ffffffffffff", "0198c4f0-0000-1000-8000-000000000000", "not-an-id"],
    ids=["empty", "number", "event", "latest", "other version", "text"],
)
def test_other_text_has_no_period(text: str) -> None:
    assert period_of(text) is None
    assert found(text) == set()


@pytest.mark.parametrize(
    ("selected", "index"),
    [
        ({"correlation": "c-1"}, "audit_correlation_time"),
        ({"user_id": "7"}, "audit_user_time"),
        ({"actor": "alice"}, "audit_actor_time"),
        ({"address": "203.0.113.9"}, "audit_address_time"),
        ({"resource_type": "shop.order", "resource_id": "7"}, "audit_resource_time"),
        ({"since": START}, "audit_time"),
        ({"outcome": "denied"}, "audit_time"),
    ],
)
def test_a_part_of_a_selection_has_its_index(selected: dict[str, Any], index: str) -> None:
    entry(correlation_id="c-1", user_id="7", actor_label="alice", ip_address="203.0.113.9", resource_id="7")
    assert index in plan_of(Selection(**selected).rows())


@pytest.mark.parametrize("text", [new_id(), id_at(START)], ids=["event", "change"])
def test_each_column_that_is_searched_has_its_index(text: str) -> None:
    entry()
    of_events, *others = (plan_of(AuditEntry.objects.filter(condition)) for condition in searched(text))
    assert "audit_event" in of_events
    columns = ["audit_correlation_time", "audit_user_time", "audit_actor_time", "audit_resource_time"]
    indexes = [*(["audit_time"] if period_of(text) else []), *columns]
    assert [index for index, plan in zip(indexes, others, strict=True) if index not in plan] == []
