"""Emitting: what is stored, what is answered, what is refused."""

from __future__ import annotations

import asyncio
import copy
import logging
from contextlib import suppress

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, connections, transaction
from django.test import TestCase

import events
from events import aemit, emit, event_router, get_event_stats, journal, unified_event_manager
from events.exceptions import InvalidEvent
from events.models import JournalEntry
from events.publisher import BATCH_SIZE
from events.testing import Captured, wait_published
from events.types import EventCategory, EventPriority, UnifiedEvent
from tests.support.sent import Sent

EMITTERS = {
    EventCategory.REALTIME: events.emit_realtime_event,
    EventCategory.SECURITY: events.emit_security_event,
    EventCategory.AUDIT: events.emit_audit_event,
    EventCategory.MONITORING: events.emit_monitoring_event,
    EventCategory.STREAMING: events.emit_streaming_event,
    EventCategory.ANALYTICS: events.emit_analytics_event,
    EventCategory.WORKFLOW: events.emit_workflow_event,
}
MALFORMED = [
    (("Document.uploaded",), {}, "event_type"),
    (("document",), {}, "event_type"),
    ((None,), {}, "event_type"),
    (("document.uploaded", {"k": {1}}), {}, "data"),
    (("document.uploaded", {"k": float("nan")}), {}, "data"),
    (("document.uploaded", {"k": "\0"}), {}, "data"),
    (("document.uploaded", {"k": "x" * 70_000}), {}, "data"),
    (("document.uploaded", [1]), {}, "data"),
    (("document.uploaded",), {"metadata": {"k": {1}}}, "metadata"),
    (("document.uploaded",), {"metadata": {"replayed": True}}, "metadata"),
    (("document.uploaded",), {"category": "gossip"}, "category"),
    (("document.uploaded",), {"priority": "urgent"}, "priority"),
    (("document.uploaded",), {"user_id": 1.5}, "user_id"),
    (("document.uploaded",), {"colour": "red"}, "colour"),
    ((UnifiedEvent("realtime", "document.uploaded"),), {}, "category"),  # type: ignore[arg-type]
]
real_transactions = pytest.mark.django_db(transaction=True)
in_a_test_transaction = pytest.mark.django_db


def stored() -> list[tuple[int | None, str]]:
    return list(JournalEntry.objects.order_by("position").values_list("position", "event_type"))


# Transactions


@real_transactions
def test_an_event_outside_of_a_transaction_has_its_position_when_emit_returns(sent: Sent) -> None:
    assert emit("document.uploaded", {"n": 1}) is True
    assert stored() == [(1, "document.uploaded")]
    assert sent.events == [(1, "document.uploaded")]


@real_transactions
def test_an_event_in_a_transaction_is_published_once_that_commits(sent: Sent) -> None:
    with transaction.atomic():
        assert emit("document.uploaded") is True
        assert stored() == [(None, "document.uploaded")]
        assert sent.events == []
    assert sent.events == stored() == [(1, "document.uploaded")]


@real_transactions
def test_a_transaction_that_is_rolled_back_leaves_nothing_and_sends_nothing(sent: Sent) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        for number in range(3):
            assert emit("document.undone", {"n": number}, priority="critical", category="workflow") is True
        raise ZeroDivisionError
    emit("document.uploaded")
    assert sent.events == stored() == [(1, "document.uploaded")]


@real_transactions
def test_a_savepoint_that_is_rolled_back_takes_its_events_with_it(sent: Sent) -> None:
    with transaction.atomic():
        emit("document.before")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            emit("document.undone")
            raise ZeroDivisionError
        with transaction.atomic():
            emit("document.after")
    assert sent.events == stored() == [(1, "document.before"), (2, "document.after")]


@real_transactions
def test_an_event_in_a_transaction_that_can_only_be_rolled_back_is_answered_with_false(sent: Sent) -> None:
    with transaction.atomic():
        with suppress(ZeroDivisionError), transaction.atomic(savepoint=False):
            raise ZeroDivisionError
        assert emit("document.undone") is False
    assert sent.events == stored() == []


@real_transactions
def test_events_keep_the_order_of_their_emission_within_a_transaction(sent: Sent) -> None:
    with transaction.atomic():
        for number in range(20):
            emit(f"document.n{number}")
    assert sent.events == stored() == [(number + 1, f"document.n{number}") for number in range(20)]


@real_transactions
def test_what_another_process_committed_before_an_event_was_emitted_is_published_before_it(sent: Sent) -> None:
    waiting = [UnifiedEvent(EventCategory.REALTIME, f"document.n{number}") for number in range(2 * BATCH_SIZE + 1)]
    journal.insert([journal.record_of(event) for event in waiting])
    emit("document.last")
    in_order = [*(event.event_type for event in waiting), "document.last"]
    assert sent.events == stored() == list(enumerate(in_order, 1))


@real_transactions
@pytest.mark.parametrize("priority", ["normal", "critical"])
def test_a_security_event_survives_the_rollback_of_the_transaction_it_was_emitted_in(priority: str) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        emit("document.undone")
        assert emit("auth.login_failure", {"ip": "192.0.2.1"}, category="security", priority=priority) is True
        raise ZeroDivisionError
    wait_published()
    kept = set(JournalEntry.objects.filter(position__isnull=False).values_list("category", "event_type"))
    expected = {("security", "auth.login_failure"), ("audit", "auth.login_failure")}
    assert kept == (expected | {("realtime", "auth.login_failure")} if priority == "critical" else expected)


@real_transactions
async def test_asynchronous_code_needs_no_transaction(sent: Sent) -> None:
    assert await aemit("document.uploaded", {"n": 1}) is True
    assert [p async for p in JournalEntry.objects.values_list("position", flat=True)] == [1]
    assert sent.events == [(1, "document.uploaded")]


@real_transactions
def test_asynchronous_code_that_a_transaction_waits_for_joins_it(sent: Sent) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert async_to_sync(aemit)("document.undone") is True
        assert stored() == [(None, "document.undone")]
        raise ZeroDivisionError
    with transaction.atomic():
        assert async_to_sync(events.emit_workflow_event)("step.done") is True
    assert sent.events == stored() == [(1, "step.done")]


@real_transactions
async def test_a_task_that_outlives_the_sync_code_that_began_it_emits_too() -> None:
    tasks: list[asyncio.Task[bool]] = []
    proceed = asyncio.Event()

    async def later() -> bool:
        await proceed.wait()
        return await aemit("task.ended")

    async def begin() -> None:
        tasks.append(asyncio.create_task(later()))

    await sync_to_async(async_to_sync(begin))()
    proceed.set()
    assert await tasks[0] is True


# Tests of users' own: what a TestCase does vanishes with it


def seen_from_beside() -> int:
    """What another connection sees of the journal."""
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM events_journal")
            return cursor.fetchone()[0]
    finally:
        other.close()


class CaseWithTransaction(TestCase):
    """Django's own TestCase, with synchronous and asynchronous tests. Twice each: the second sees nothing of the first."""

    def check(self) -> None:
        assert seen_from_beside() == 0
        assert set(JournalEntry.objects.values_list("category", "position")) == {("security", None), ("audit", None)}

    def emit_security(self) -> None:
        assert emit("auth.login_failure", category="security")
        self.check()

    test_that_a_test_emits_in_its_own_transaction = test_that_the_next_one_sees_nothing_of_it = emit_security

    async def aemit_security(self) -> None:
        assert await aemit("auth.login_failure", category="security")
        await sync_to_async(self.check)()

    test_that_an_async_test_emits_in_its_own_transaction = test_that_the_next_async_one_sees_nothing_of_it = aemit_security

    def test_that_callbacks_run_when_the_test_captures_them(self) -> None:
        heard: list[UnifiedEvent] = []
        event_router.add_global_handler(heard.append, after_commit=True)
        with self.captureOnCommitCallbacks(execute=True):
            emit("document.uploaded")
            assert heard == []
        assert [event.event_type for event in heard] == ["document.uploaded"]
        assert seen_from_beside() == 0


@in_a_test_transaction
@pytest.mark.parametrize("run", [1, 2])
def test_a_pytest_with_the_db_fixture_is_isolated_too(run: int) -> None:
    assert emit("auth.login_failure", category="security") is True
    assert emit("document.uploaded") is True
    assert JournalEntry.objects.count() == 3
    assert seen_from_beside() == 0


# What is answered


@real_transactions
@pytest.mark.parametrize("category", EventCategory)
async def test_there_is_an_emit_coroutine_for_each_category(category: EventCategory, captured_events: Captured) -> None:
    data = {"n": 1}
    assert await EMITTERS[category]("some.thing", data, user_id=7, correlation_id="c", metadata={"m": 1}) is True
    event = captured_events.one("some.thing")
    assert (event.category, event.data, event.user_id, event.correlation_id) == (category, {"n": 1}, "7", "c")
    assert data == {"n": 1}
    rows = [entry async for entry in JournalEntry.objects.filter(category=category)]
    assert [row.event.data for row in rows] == ([] if category is EventCategory.STREAMING else [data])


@real_transactions
async def test_an_event_may_be_emitted_as_a_whole_and_stays_as_it_was(captured_events: Captured) -> None:
    event = UnifiedEvent(EventCategory.WORKFLOW, "step.done", data={"k": [1]}, metadata={"m": {"x": 1}}, user_id="7")
    before = copy.deepcopy(event)
    assert await events.emit_event(event) is True
    assert event == before
    entry = await JournalEntry.objects.aget()
    assert (entry.event_id, entry.event.timestamp, entry.event.data) == (before.id, before.timestamp, before.data)


def test_an_event_and_parts_of_one_together_are_a_mistake() -> None:
    with pytest.raises(TypeError, match="either an event or its parts"):
        emit(UnifiedEvent(EventCategory.REALTIME, "a.b"), {"k": 1})


@real_transactions
def test_a_streaming_event_is_sent_and_not_journaled(sent: Sent) -> None:
    assert emit("token.generated", {"text": "Hel"}, category="streaming") is True
    assert sent.events == [(0, "token.generated")]
    with transaction.atomic():
        emit("token.generated", category="streaming")
        assert len(sent.events) == 1
    assert len(sent.events) == 2
    with transaction.atomic():
        emit("token.undone", category="streaming")
        transaction.set_rollback(True)
    assert len(sent.events) == 2
    assert stored() == []


@in_a_test_transaction
@pytest.mark.parametrize(("args", "kwargs", "field"), MALFORMED, ids=[f"{m[2]}-{n}" for n, m in enumerate(MALFORMED)])
def test_a_malformed_event_raises_or_is_logged_and_counted_and_answered_with_false(args, kwargs, field, settings, caplog) -> None:
    event_router.add_global_handler(lambda event: pytest.fail("a handler was called"))
    settings.EVENTS = {"RAISE_INVALID": True}
    with pytest.raises(InvalidEvent) as caught:
        emit(*args, **kwargs)
    assert caught.value.field == field
    with pytest.raises(InvalidEvent):
        async_to_sync(aemit)(*args, **kwargs)
    assert get_event_stats()["invalid"] == 0

    settings.EVENTS = {"RAISE_INVALID": False}
    with caplog.at_level(logging.ERROR, "events"):
        assert emit(*args, **kwargs) is False
        assert async_to_sync(aemit)(*args, **kwargs) is False
    assert [record.getMessage().startswith(f"Event refused: {field}:") for record in caplog.records] == [True, True]
    counted = get_event_stats()
    assert (counted["invalid"], counted["errors"], counted["processed"]) == (2, 2, 0)
    assert JournalEntry.objects.count() == 0


@pytest.mark.parametrize("debug", [True, False])
def test_malformed_events_raise_where_debug_is_on_unless_said_otherwise(debug: bool, settings, caplog) -> None:
    settings.EVENTS = {}
    settings.DEBUG = debug
    with caplog.at_level(logging.CRITICAL, "events"):
        if debug:
            with pytest.raises(InvalidEvent):
                emit("Bad")
        else:
            assert emit("Bad") is False


async def test_emit_where_an_event_loop_runs_points_to_aemit() -> None:
    with pytest.raises(SynchronousOnlyOperation, match=r"await events\.aemit"):
        emit("document.uploaded")


@in_a_test_transaction
def test_switched_off_nothing_is_emitted(settings, captured_events: Captured) -> None:
    settings.EVENTS = {"UNIFIED_EVENTS_ENABLED": False}
    assert emit("document.uploaded") is False
    assert async_to_sync(aemit)("document.uploaded") is False
    assert captured_events == []
    assert JournalEntry.objects.count() == 0
    assert get_event_stats()["processed"] == 0


@real_transactions
@pytest.mark.parametrize(
    ("severity", "priority"),
    [("low", "low"), ("normal", "normal"), ("high", "high"), ("critical", "critical"), ("debug", "low"), ("info", "normal"),
     ("warning", "high"), ("error", "high")],
)  # fmt: skip
async def test_a_system_alert_is_a_monitoring_event_as_urgent_as_its_severity(severity, priority, captured_events) -> None:
    assert await events.emit_system_alert("disk almost full", severity) is True
    event = captured_events.one("system.alert")
    assert event.category is EventCategory.MONITORING
    assert event.priority is EventPriority(priority)
    assert event.data == {"message": "disk almost full", "severity": severity}


async def test_a_severity_that_is_none_is_refused(settings) -> None:
    settings.EVENTS = {"RAISE_INVALID": True}
    with pytest.raises(InvalidEvent) as caught:
        await events.emit_system_alert("disk almost full", "apocalyptic")
    assert caught.value.field == "severity"


@in_a_test_transaction
def test_the_counters_tell_what_was_emitted() -> None:
    emit("document.uploaded")
    emit("auth.login_failure", category="security", priority="high")
    counted = get_event_stats()
    assert (counted["processed"], counted["derived"]) == (2, 2)
    assert counted["by_category"] == dict.fromkeys(map(str, EventCategory), 0) | {"realtime": 1, "security": 1}
    assert counted["by_priority"] == {"low": 0, "normal": 1, "high": 1, "critical": 0}
    assert counted["by_type"] == {"document.uploaded": 1, "auth.login_failure": 1}
    assert (counted["errors"], counted["dropped"]) == (0, 0)
    assert unified_event_manager.get_stats() == counted


@real_transactions
async def test_initialising_twice_and_shutting_down_twice_is_harmless() -> None:
    assert unified_event_manager.is_initialized(), "the app has done it"
    await events.initialize_event_system()
    await events.initialize_event_system()
    assert await aemit("document.one") is True
    await events.shutdown_event_system()
    await events.shutdown_event_system()
    assert await aemit("document.two") is True, "emitting starts it again"
    assert await JournalEntry.objects.acount() == 2


# What it costs


def statements(queries: list[dict[str, str]]) -> list[str]:
    """The first word of each: Django logs a statement for several rows as `2 times: INSERT …`."""
    return [query["sql"].rpartition(" times: ")[2].split()[0] for query in queries]


def writing() -> str:
    """What writes rows."""
    return "COPY" if connection.vendor == "postgresql" else "INSERT"


@in_a_test_transaction
def test_emitting_in_a_transaction_takes_one_insert_in_a_savepoint(django_assert_num_queries) -> None:
    with django_assert_num_queries(3) as captured:
        emit("document.uploaded", {"n": 1}, user_id=7)
    assert statements(captured.captured_queries) == ["SAVEPOINT", writing(), "RELEASE"]


@in_a_test_transaction
def test_derived_events_are_written_with_the_same_insert(django_assert_num_queries) -> None:
    with django_assert_num_queries(3) as captured:
        emit("step.failed", category="workflow", priority="critical")
    assert statements(captured.captured_queries) == ["SAVEPOINT", writing(), "RELEASE"]
    assert JournalEntry.objects.count() == 2


@real_transactions
def test_emitting_outside_of_a_transaction_takes_none_of_the_callers_queries(django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        emit("document.uploaded")
