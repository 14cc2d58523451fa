"""The specialised API: known types, their payloads, the service and its helpers."""

from __future__ import annotations

import copy
import inspect
import logging
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chatter.services.sse_events
import events.sse
from events import emit, get_event_stats
from events.exceptions import InvalidEvent
from events.models import JournalEntry
from events.sse import EventType, sse_service, validate_event_data
from events.sse.catalogue import PAYLOADS, PRIORITIES, priority_of
from events.testing import Captured
from events.types import EventCategory, EventPriority, check_type

pytestmark = pytest.mark.once

# For each known type: the least that its data must hold, and data with everything that its payload names.
LEAST = {
    EventType.BACKUP_STARTED: {"backup_id": "b1"},
    EventType.BACKUP_COMPLETED: {"backup_id": "b1"},
    EventType.BACKUP_FAILED: {"backup_id": "b1", "error": "disk full"},
    EventType.BACKUP_PROGRESS: {"backup_id": "b1", "progress": 50},
    EventType.JOB_STARTED: {"job_id": "j1"},
    EventType.JOB_COMPLETED: {"job_id": "j1"},
    EventType.JOB_FAILED: {"job_id": "j1", "error": "no memory"},
    EventType.JOB_PROGRESS: {"job_id": "j1", "progress": 0},
    EventType.TOOL_SERVER_STARTED: {"server_id": "t1"},
    EventType.TOOL_SERVER_STOPPED: {"server_id": "t1"},
    EventType.TOOL_SERVER_HEALTH_CHANGED: {"server_id": "t1", "health_status": "unhealthy"},
    EventType.DOCUMENT_UPLOADED: {"document_id": "d1"},
    EventType.DOCUMENT_PROCESSING_STARTED: {"document_id": "d1"},
    EventType.DOCUMENT_PROCESSING_PROGRESS: {"document_id": "d1", "progress": 99.5},
    EventType.DOCUMENT_PROCESSING_COMPLETED: {"document_id": "d1"},
    EventType.DOCUMENT_PROCESSING_FAILED: {"document_id": "d1", "error": "not text"},
    EventType.SYSTEM_ALERT: {"message": "disk almost full"},
}

HELPERS = [
    ("trigger_backup_started", ("b1",), {}, {"backup_id": "b1"}),
    ("trigger_backup_completed", ("b1", "/backups/b1"), {}, {"backup_id": "b1", "backup_path": "/backups/b1"}),
    ("trigger_backup_failed", ("b1", "disk full"), {}, {"backup_id": "b1", "error": "disk full"}),
    ("trigger_backup_progress", ("b1", 12.5, "copying"), {}, {"backup_id": "b1", "progress": 12.5, "status": "copying"}),
    ("trigger_job_started", ("j1", "index"), {}, {"job_id": "j1", "job_name": "index"}),
    ("trigger_job_completed", ("j1", "index", {"rows": 3}), {}, {"job_id": "j1", "job_name": "index", "result": {"rows": 3}}),
    ("trigger_job_failed", ("j1", "index", "no memory"), {}, {"job_id": "j1", "job_name": "index", "error": "no memory"}),
    ("trigger_job_progress", ("j1", "index", 100), {}, {"job_id": "j1", "job_name": "index", "progress": 100.0}),
    ("trigger_tool_server_started", ("t1", "search"), {}, {"server_id": "t1", "server_name": "search"}),
    ("trigger_tool_server_stopped", ("t1", "search"), {}, {"server_id": "t1", "server_name": "search"}),
    (
        "trigger_tool_server_health_changed", ("t1", "search", "unhealthy", {"errors": 3}), {},
        {"server_id": "t1", "server_name": "search", "health_status": "unhealthy", "details": {"errors": 3}},
    ),
    ("trigger_document_uploaded", ("d1", "file.pdf", "7"), {}, {"document_id": "d1", "filename": "file.pdf"}),
    ("trigger_document_processing_started", ("d1",), {"user_id": "7"}, {"document_id": "d1"}),
    ("trigger_document_processing_progress", ("d1", 40), {"user_id": 7}, {"document_id": "d1", "progress": 40.0}),
    (
        "trigger_document_processing_completed", ("d1", {"chunks_created": 25, "processing_time": 5.2}, "7"), {},
        {"document_id": "d1", "chunks_created": 25, "processing_time": 5.2},
    ),
    ("trigger_document_processing_failed", ("d1", "not text", "7"), {}, {"document_id": "d1", "error": "not text"}),
]  # fmt: skip


def error_of(event_type: EventType | str, data: object) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        validate_event_data(event_type, data)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("known", EventType)
def test_each_known_type_is_in_the_grammar_and_has_a_payload(known: EventType) -> None:
    check_type(str(known))
    assert known in PAYLOADS
    assert known in LEAST


@pytest.mark.parametrize("known", EventType)
def test_the_least_data_passes_and_loses_nothing(known: EventType) -> None:
    assert validate_event_data(known, LEAST[known]) == LEAST[known]
    assert validate_event_data(str(known), LEAST[known]) == LEAST[known]


@pytest.mark.parametrize(("known", "key"), [(known, key) for known, data in LEAST.items() for key in data])
def test_a_missing_key_is_named(known: EventType, key: str) -> None:
    data = {name: value for name, value in LEAST[known].items() if name != key}
    error = error_of(known, data)
    assert error.field == f"data.{key}"
    assert "required" in error.reason


@pytest.mark.parametrize(("known", "key"), [(known, key) for known, data in LEAST.items() for key in data])
@pytest.mark.parametrize("value", ["", None, [], {}, True, b"x"], ids=repr)
def test_a_value_of_the_wrong_kind_is_named(known: EventType, key: str, value: object) -> None:
    assert error_of(known, LEAST[known] | {key: value}).field == f"data.{key}"


@pytest.mark.parametrize("progress", [-0.1, 100.1, float("nan"), float("inf"), "50"])
@pytest.mark.parametrize("known", [known for known in EventType if known.endswith("progress")])
def test_progress_is_a_number_from_0_to_100(known: EventType, progress: object) -> None:
    assert error_of(known, LEAST[known] | {"progress": progress}).field == "data.progress"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"chunks_created": -1}, "data.chunks_created"),
        ({"chunks_created": 2.5}, "data.chunks_created"),
        ({"processing_time": -1}, "data.processing_time"),
        ({"processing_time": float("nan")}, "data.processing_time"),
        ({"processing_time": "5.2"}, "data.processing_time"),
    ],
)
def test_an_optional_value_is_checked_where_it_is_given(change: dict, field: str) -> None:
    assert error_of(EventType.DOCUMENT_PROCESSING_COMPLETED, {"document_id": "d1"} | change).field == field


def test_further_keys_are_kept() -> None:
    data = {"document_id": "d1", "colour": "red", "nested": {"a": [1]}}
    assert validate_event_data(EventType.DOCUMENT_UPLOADED, data) == data


def test_a_key_that_is_no_text_is_named() -> None:
    assert error_of(EventType.DOCUMENT_UPLOADED, {"document_id": "d1", 7: "x"}).field.startswith("data.7")


@pytest.mark.parametrize("data", [None, [], "text", 7])
def test_data_that_is_no_dictionary_is_refused(data: object) -> None:
    assert error_of(EventType.DOCUMENT_UPLOADED, data).field == "data"


def test_an_unknown_type_is_refused_with_a_way_out() -> None:
    error = error_of("document.eaten", {})
    assert error.field == "event_type"
    assert "emit_realtime_event" in error.reason


def test_primary_keys_become_text() -> None:
    key = uuid.uuid4()
    assert validate_event_data(EventType.DOCUMENT_UPLOADED, {"document_id": 7}) == {"document_id": "7"}
    assert validate_event_data(EventType.JOB_STARTED, {"job_id": key}) == {"job_id": str(key)}


@given(
    st.sampled_from(EventType), st.dictionaries(st.text() | st.integers(), st.none() | st.integers() | st.text() | st.floats())
)
def test_any_data_passes_unchanged_or_is_an_error_that_names_a_field(known: EventType, extra: dict) -> None:
    data = LEAST[known] | extra
    before = copy.deepcopy(list(data.items()))
    try:
        checked = validate_event_data(known, data)
    except InvalidEvent as error:
        field = error.field
    else:
        field = "data."
        assert checked is not data
        assert checked.keys() == data.keys()
    assert field.startswith("data.")
    assert repr(list(data.items())) == repr(before)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("name", "args", "kwargs", "data"), HELPERS, ids=[helper[0] for helper in HELPERS])
async def test_a_helper_emits_its_event(name: str, args: tuple, kwargs: dict, data: dict, captured_events: Captured) -> None:
    before = copy.deepcopy((args, kwargs))
    assert await getattr(events.sse, name)(*args, **kwargs) is True
    assert (args, kwargs) == before

    known = next(known for known in EventType if known.replace(".", "_") == name.removeprefix("trigger_"))
    event = captured_events.one(known)
    assert event.category is EventCategory.REALTIME
    assert event.priority is priority_of(known)
    assert event.data == data
    user = "7" if "7" in args or kwargs else None
    entry = await JournalEntry.objects.aget(event_type=str(known))
    assert (entry.event.data, entry.user_id, entry.audience) == (data, user, "user:7" if user else "all")


def test_there_is_a_helper_for_each_known_type_and_a_test_for_each_helper() -> None:
    helpers = {name for name in vars(events.sse) if name.startswith("trigger_")}
    assert helpers == {helper[0] for helper in HELPERS}
    assert {f"trigger_{known.replace('.', '_')}" for known in EventType if known is not EventType.SYSTEM_ALERT} == helpers
    for name in helpers:
        assert inspect.iscoroutinefunction(getattr(events.sse, name))
        assert getattr(chatter.services.sse_events, name) is getattr(events.sse, name)


@pytest.mark.django_db(transaction=True)
async def test_the_service_emits_and_changes_none_of_the_callers_dictionaries(captured_events: Captured) -> None:
    data, metadata = {"document_id": 7, "tags": ["a"]}, {"source": "test"}
    assert await sse_service.trigger_event(EventType.DOCUMENT_UPLOADED, data, user_id="7", metadata=metadata) is True
    assert (data, metadata) == ({"document_id": 7, "tags": ["a"]}, {"source": "test"})
    event = captured_events.one("document.uploaded")
    assert event.data == {"document_id": "7", "tags": ["a"]}
    assert event.metadata["source"] == "test"
    assert event.user_id == "7"
    assert type(event.event_type) is str


@pytest.mark.django_db(transaction=True)
async def test_a_priority_that_is_given_goes_before_the_types_own(captured_events: Captured) -> None:
    await sse_service.trigger_event(EventType.BACKUP_FAILED, LEAST[EventType.BACKUP_FAILED], priority="critical")
    await sse_service.trigger_event(EventType.BACKUP_FAILED, LEAST[EventType.BACKUP_FAILED])
    assert [event.priority for event in captured_events] == [EventPriority.CRITICAL, EventPriority.HIGH]


def test_progress_is_low_and_what_concerns_the_system_high() -> None:
    assert {known for known, priority in PRIORITIES.items() if priority is EventPriority.LOW} == {
        known for known in EventType if known.endswith("progress")
    }
    assert priority_of(EventType.DOCUMENT_PROCESSING_FAILED) is EventPriority.NORMAL


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("event_type", "data", "field"),
    [("document.eaten", {}, "event_type"), ("document.uploaded", {"document_id": None}, "data.document_id")],
)
async def test_a_wrong_payload_raises_or_is_logged_and_counted(event_type, data, field, settings, caplog) -> None:
    settings.EVENTS = {"RAISE_INVALID": True}
    with pytest.raises(InvalidEvent, match=field):
        await sse_service.trigger_event(event_type, data)

    settings.EVENTS = {"RAISE_INVALID": False}
    with caplog.at_level(logging.ERROR, "events"):
        assert await sse_service.trigger_event(event_type, data) is False
    assert field in caplog.text
    assert get_event_stats()["invalid"] == 1
    assert await JournalEntry.objects.acount() == 0


@pytest.mark.django_db(transaction=True)
async def test_the_services_counters_know_every_known_type() -> None:
    await sse_service.trigger_event(EventType.JOB_STARTED, {"job_id": "j1"})
    counted = sse_service.get_stats()
    assert counted["by_type"] == dict.fromkeys(map(str, EventType), 0) | {"job.started": 1}
    assert counted["processed"] == 1


@pytest.mark.django_db
def test_synchronous_code_emits_a_known_type_with_emit() -> None:
    data = validate_event_data(EventType.DOCUMENT_UPLOADED, {"document_id": 7})
    assert emit(EventType.DOCUMENT_UPLOADED, data, user_id=7)
    assert JournalEntry.objects.get().event_type == "document.uploaded"
