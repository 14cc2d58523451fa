"""The filter on plain values, and the same filter in SQL: they must agree."""

from __future__ import annotations

import uuid

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.exceptions import InvalidFilter
from events.filters import MAX_PATTERNS, EventFilter
from events.models import JournalEntry
from events.types import EventCategory, EventPriority

# Few letters, so that patterns and types meet; both of LIKE's traps: `_`, and stars that would overlap.
TYPES = st.from_regex(r"[ab][ab_]{0,2}(\.[ab_]{1,2}){1,2}", fullmatch=True)
PATTERNS = st.from_regex(r"[ab_.]{0,3}\*[ab_.]{0,2}\*?[ab_.]{0,2}", fullmatch=True) | TYPES
FILTERS = st.builds(
    EventFilter,
    st.lists(PATTERNS, max_size=3).map(tuple),
    st.none() | st.frozensets(st.sampled_from(EventCategory)),
    st.sampled_from(EventPriority),
)
ROWS = st.lists(st.tuples(TYPES, st.sampled_from(EventCategory), st.sampled_from(EventPriority)), min_size=1, max_size=12)


def row(event_type: str, category: EventCategory, priority: EventPriority) -> JournalEntry:
    return JournalEntry(
        event_id=str(uuid.uuid4()),
        event_type=event_type,
        category=str(category),
        priority=str(priority),
        audience="all",
        timestamp=timezone.now(),
        body="{}",
    )


@pytest.mark.django_db
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILTERS, ROWS)
def test_the_database_and_matches_agree_on_every_pattern_and_type(
    event_filter: EventFilter, rows: list[tuple[str, EventCategory, EventPriority]]
) -> None:
    JournalEntry.objects.all().delete()
    stored = JournalEntry.objects.bulk_create([row(*values) for values in rows])

    found = set(event_filter.restrict(JournalEntry.objects.all()).values_list("id", flat=True))

    assert found == {entry.pk for entry in stored if event_filter.matches(entry.event_type, entry.category, entry.priority)}


@pytest.mark.django_db
def test_an_underscore_of_a_pattern_is_an_underscore_and_no_wildcard() -> None:
    JournalEntry.objects.bulk_create(
        [row(t, EventCategory.REALTIME, EventPriority.LOW) for t in ("job.a_b", "job.axb", "job.a_bc")]
    )
    wanted = EventFilter.from_query("*a_b*")

    assert set(wanted.restrict(JournalEntry.objects.all()).values_list("event_type", flat=True)) == {"job.a_b", "job.a_bc"}
    assert not wanted.matches("job.axb", "realtime", "low")


def test_a_query_without_filters_lets_everything_through() -> None:
    event_filter = EventFilter.from_query(None, None, None)

    assert event_filter.is_open
    assert all(event_filter.matches("a.b", category, priority) for category in EventCategory for priority in EventPriority)


@pytest.mark.parametrize(
    ("query", "event", "wanted"),
    [
        (("document.*", None, None), ("document.uploaded", "realtime", "low"), True),
        (("document.*", None, None), ("documents.uploaded", "realtime", "low"), False),
        (("job.started, *.failed", None, None), ("job.started", "realtime", "low"), True),
        (("job.started,*.failed", None, None), ("backup.failed", "realtime", "low"), True),
        (("job.started,*.failed", None, None), ("job.started.twice", "realtime", "low"), False),
        (("ab*ba", None, None), ("aba.x", "realtime", "low"), False),
        ((None, "security,audit", None), ("a.b", "audit", "low"), True),
        ((None, "security,audit", None), ("a.b", "realtime", "low"), False),
        ((None, None, "high"), ("a.b", "realtime", "critical"), True),
        ((None, None, "high"), ("a.b", "realtime", "high"), True),
        ((None, None, "high"), ("a.b", "realtime", "normal"), False),
        (("*", "realtime", "low"), ("a.b", "realtime", "low"), True),
    ],
)
def test_an_event_passes_if_every_part_wants_it(
    query: tuple[str | None, str | None, str | None], event: tuple[str, str, str], wanted: bool
) -> None:
    assert EventFilter.from_query(*query).matches(*event) is wanted


def test_equal_queries_give_equal_filters_whatever_their_order() -> None:
    one = EventFilter.from_query("b.*,a.*,a.*", "audit,security", "high")
    other = EventFilter.from_query("a.*, b.*", "security,audit", "high")

    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (("", None, None), "types"),
        (("a.b,,c.d", None, None), "types"),
        (("a.b,", None, None), "types"),
        (("Document.*", None, None), "types"),
        (("a*b*c*", None, None), "types"),
        (("%", None, None), "types"),
        (("a.b\n", "realtime", "LOW"), "min_priority"),
        (("a\0b", None, None), "types"),
        (("x" * 101, None, None), "types"),
        ((",".join(f"a.b{n}" for n in range(MAX_PATTERNS + 1)), None, None), "types"),
        ((None, "", None), "categories"),
        ((None, "realtime,nonsense", None), "categories"),
        ((None, "realtime,,audit", None), "categories"),
        ((None, "REALTIME", None), "categories"),
        ((None, None, ""), "min_priority"),
        ((None, None, "urgent"), "min_priority"),
        ((None, None, "low,high"), "min_priority"),
    ],
)
def test_a_malformed_filter_is_refused_by_the_name_of_its_field(
    query: tuple[str | None, str | None, str | None], field: str
) -> None:
    with pytest.raises(InvalidFilter) as refused:
        EventFilter.from_query(*query)

    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")


def test_fifty_patterns_are_allowed() -> None:
    event_filter = EventFilter.from_query(",".join(f"a.b{n}*" for n in range(MAX_PATTERNS)))

    assert event_filter.matches("a.b49x", "realtime", "low")
    assert not event_filter.matches("a.c", "realtime", "low")
