"""The event: its vocabulary, its grammar, its way to a dictionary and back."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.exceptions import EventsError, InvalidEvent
from events.types import (
    MAX_TYPE_LENGTH,
    RESERVED_METADATA,
    EventCategory,
    EventPriority,
    UnifiedEvent,
    check,
    check_type,
    create_analytics_event,
    create_audit_event,
    create_event,
    create_monitoring_event,
    create_realtime_event,
    create_security_event,
    create_streaming_event,
    create_workflow_event,
)

CREATORS = {
    EventCategory.REALTIME: create_realtime_event,
    EventCategory.SECURITY: create_security_event,
    EventCategory.AUDIT: create_audit_event,
    EventCategory.MONITORING: create_monitoring_event,
    EventCategory.STREAMING: create_streaming_event,
    EventCategory.ANALYTICS: create_analytics_event,
    EventCategory.WORKFLOW: create_workflow_event,
}

words = st.from_regex(r"[a-z0-9_]{1,12}", fullmatch=True)
type_names = st.builds(
    lambda first, rest: ".".join([first, *rest]),
    st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True),
    st.lists(words, min_size=1),
).filter(lambda name: len(name) <= MAX_TYPE_LENGTH)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=5)
labels = st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=40)
zones = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-12 * 60, 14 * 60))
events = st.builds(
    UnifiedEvent,
    category=st.sampled_from(EventCategory),
    event_type=type_names,
    timestamp=st.datetimes(datetime.fromisoformat("1970-01-02"), datetime.fromisoformat("2200-01-01"), timezones=zones),
    data=json_objects,
    metadata=json_objects,
    user_id=labels,
    session_id=labels,
    correlation_id=labels,
    priority=st.sampled_from(EventPriority),
    source_system=labels,
)


def error_of(action, *args, **kwargs) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        action(*args, **kwargs)
    return caught.value


@given(type_names)
def test_lower_case_words_joined_by_dots_are_a_type(name: str) -> None:
    check_type(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "document", ".uploaded", "document.", "document..uploaded", "Document.uploaded", "document.Uploaded",
        "1document.uploaded", "_document.uploaded", "document uploaded", "document-x.uploaded", "document.uploaded\n", "document.*", "dokument.größe",
        "document.uploaded;drop table", None, 7, b"document.uploaded", ["document.uploaded"],
    ],
)  # fmt: skip
def test_what_is_outside_the_grammar_is_no_type(name: object) -> None:
    assert error_of(check_type, name).field == "event_type"


def test_a_type_may_have_a_hundred_characters_and_no_more() -> None:
    check_type("a." + "b" * 98)
    assert "longer than 100" in error_of(check_type, "a." + "b" * 99).reason


@given(st.text())
def test_any_text_is_a_type_or_an_error_that_names_the_field(text: str) -> None:
    try:
        check_type(text)
    except InvalidEvent as error:
        outcome = error
    else:
        outcome = None
    if outcome is None:
        assert (text.lower(), text.isascii(), "." in text) == (text, True, True)
    else:
        assert outcome.field == "event_type"
        assert len(str(outcome)) < 300


@given(events)
def test_to_dict_and_from_dict_are_a_round_trip(event: UnifiedEvent) -> None:
    again = UnifiedEvent.from_dict(event.to_dict())
    assert again == event
    assert again.to_dict() == event.to_dict()
    assert again.timestamp.utcoffset() == event.timestamp.utcoffset()


def test_to_dict_has_the_fields_in_their_order_with_plain_text_for_enums_and_time() -> None:
    event = UnifiedEvent(
        EventCategory.AUDIT,
        "a.b",
        "id-1",
        datetime(2026, 1, 31, 12, tzinfo=UTC),
        {"k": 1},
        {"m": 2},
        "7",
        "s",
        "c",
        EventPriority.HIGH,
        "x",
    )
    assert event.to_dict() == {
        "category": "audit", "event_type": "a.b", "id": "id-1", "timestamp": "2026-01-31T12:00:00+00:00", "data": {"k": 1},
        "metadata": {"m": 2}, "user_id": "7", "session_id": "s", "correlation_id": "c", "priority": "high", "source_system": "x",
    }  # fmt: skip
    assert list(event.to_dict()) == [field.name for field in dataclasses.fields(UnifiedEvent)]
    assert type(event.to_dict()["category"]) is str


def test_the_dictionaries_of_to_dict_are_copies() -> None:
    event = UnifiedEvent(EventCategory.REALTIME, "a.b", data={"k": 1})
    event.to_dict()["data"]["k"] = 2
    assert event.data == {"k": 1}


def test_from_dict_takes_a_utc_time_written_with_z() -> None:
    event = UnifiedEvent.from_dict({"category": "audit", "event_type": "a.b", "timestamp": "2026-01-31T12:00:00Z"})
    assert event.timestamp == datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"event_type": "a.b"}, "category"),
        ({"category": "audit"}, "event_type"),
        ({"category": "gossip", "event_type": "a.b"}, "category"),
        ({"category": None, "event_type": "a.b"}, "category"),
        ({"category": "audit", "event_type": "a.b", "priority": "urgent"}, "priority"),
        ({"category": "audit", "event_type": "a.b", "priority": None}, "priority"),
        ({"category": "audit", "event_type": "a.b", "timestamp": "yesterday"}, "timestamp"),
        ({"category": "audit", "event_type": "a.b", "timestamp": "2026-01-31T12:00:00"}, "timestamp"),
        ({"category": "audit", "event_type": "a.b", "timestamp": 1_700_000_000}, "timestamp"),
        ({"category": "audit", "event_type": "a.b", "colour": "red"}, "colour"),
    ],
)
def test_from_dict_names_the_field_that_is_wrong(values: dict, field: str) -> None:
    assert error_of(UnifiedEvent.from_dict, values).field == field


def test_each_event_has_an_id_and_a_time_of_its_own() -> None:
    one, other = (UnifiedEvent(EventCategory.REALTIME, "a.b") for _ in range(2))
    assert uuid.UUID(one.id).version == 4
    assert one.id != other.id
    assert timedelta(0) <= datetime.now(UTC) - one.timestamp < timedelta(seconds=5)
    assert one.data is not other.data


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event_type": "Bad"}, "event_type"),
        ({"category": "realtime"}, "category"),
        ({"priority": "high"}, "priority"),
        ({"timestamp": datetime.fromisoformat("2026-01-01")}, "timestamp"),
        ({"timestamp": "2026-01-01"}, "timestamp"),
        ({"data": [1]}, "data"),
        ({"data": None}, "data"),
        ({"metadata": "x"}, "metadata"),
        ({"id": ""}, "id"),
        ({"id": None}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"id": "line\nbreak"}, "id"),
        ({"user_id": 7}, "user_id"),
        ({"user_id": "x" * 129}, "user_id"),
        ({"session_id": "\x00"}, "session_id"),
        ({"correlation_id": "\r\nX: y"}, "correlation_id"),
        ({"source_system": 1.5}, "source_system"),
        ({"user_id": "\ud800"}, "user_id"),
    ],
)
def test_check_names_the_field_that_is_wrong(change: dict, field: str) -> None:
    event = dataclasses.replace(UnifiedEvent(EventCategory.REALTIME, "a.b"), **change)
    error = error_of(check, event)
    assert error.field == field
    assert str(error).startswith(f"{field}: ")


@pytest.mark.parametrize("name", sorted(RESERVED_METADATA))
def test_an_event_may_not_claim_what_only_the_system_sets(name: str) -> None:
    error = error_of(check, UnifiedEvent(EventCategory.SECURITY, "a.b", metadata={name: "x"}))
    assert error.field == "metadata"
    assert name in error.reason


def test_invalid_event_is_a_value_error_and_an_events_error() -> None:
    assert issubclass(InvalidEvent, ValueError)
    assert issubclass(InvalidEvent, EventsError)


@pytest.mark.parametrize("category", EventCategory)
def test_there_is_a_creator_for_each_category(category: EventCategory) -> None:
    event = CREATORS[category]("a.b", {"k": 1}, user_id="7", correlation_id="c")
    assert (event.category, event.event_type, event.data, event.user_id, event.correlation_id) == (
        category,
        "a.b",
        {"k": 1},
        "7",
        "c",
    )
    check(event)


def test_analytics_are_of_low_priority_unless_said_otherwise() -> None:
    assert create_analytics_event("a.b").priority is EventPriority.LOW
    assert create_analytics_event("a.b", priority="high").priority is EventPriority.HIGH
    assert create_security_event("a.b").priority is EventPriority.NORMAL


def test_creating_takes_text_and_keys_and_copies_the_dictionaries() -> None:
    data, metadata, user = {"k": 1}, {"m": 1}, uuid.uuid4()
    event = create_event("workflow", "a.b", data, metadata=metadata, priority="critical", user_id=user)
    assert event.category is EventCategory.WORKFLOW
    assert event.priority is EventPriority.CRITICAL
    assert event.user_id == str(user)
    assert create_event("workflow", "a.b", user_id=7).user_id == "7"
    event.data["k"] = event.metadata["m"] = 2
    assert (data, metadata) == ({"k": 1}, {"m": 1})


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"category": "gossip"}, "category"),
        ({"priority": "urgent"}, "priority"),
        ({"priority": None}, "priority"),
        ({"data": [1]}, "data"),
        ({"data": "text"}, "data"),
        ({"metadata": [1]}, "metadata"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_creating_names_the_argument_that_is_wrong(arguments: dict, field: str) -> None:
    arguments = {"category": "realtime", "event_type": "a.b"} | arguments
    assert error_of(create_event, **arguments).field == field


def test_a_flag_is_not_an_id() -> None:
    assert error_of(check, create_event("realtime", "a.b", user_id=True)).field == "user_id"


def test_priorities_have_an_order_and_the_upper_two_are_urgent() -> None:
    assert [p.rank for p in EventPriority] == [0, 1, 2, 3]
    assert [p for p in EventPriority if p.is_urgent] == [EventPriority.HIGH, EventPriority.CRITICAL]
