"""The publisher and the writer outlive what emitters, handlers and callers do wrong, and go on storing everybody else's events."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Group
from django.db import InterfaceError, OperationalError, connection, transaction

from audit.models import AuditEntry
from events import aemit, emit, event_router, get_event_stats, journal, unified_event_manager
from events.exceptions import InvalidEvent
from events.models import JournalEntry
from events.publisher import Ticket
from events.signals import event_routed
from events.testing import wait_published
from events.types import EventCategory, UnifiedEvent
from tests.support.databases import Databases, base_environment
from tests.support.paths import ROOT
from tests.support.remote import DjangoProcess
from tests.support.waiting import await_for, wait_for

TIMESTAMPS_THAT_UTC_HAS_NOT = [
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
    datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-5))),
]
real_transactions = pytest.mark.django_db(transaction=True)
HOW = {
    "emit": emit,
    "aemit": async_to_sync(aemit),
    "emit in a transaction": transaction.atomic(emit),
    "aemit in a transaction": transaction.atomic(async_to_sync(aemit)),
}
out_of_range = pytest.mark.parametrize("timestamp", TIMESTAMPS_THAT_UTC_HAS_NOT, ids=["year 1", "year 9999"])


@pytest.fixture(autouse=True)
def events_settings(settings) -> None:
    """Who waits for a publisher that is stuck is told soon; nobody waits as long for one that is not."""
    settings.EVENTS = {"RAISE_INVALID": True, "WRITE_TIMEOUT": 4}


@pytest.fixture
def held_publisher() -> Iterator[HeldEmitter]:
    """The publisher writes an event `publisher.held` until it is released: what is emitted meanwhile waits, and is written together."""
    event_router.register_emitter("monitoring", emitter := HeldEmitter())
    yield emitter
    emitter.released.set()


class HeldEmitter:
    """Takes as long to write as the test wants; then fails where it has an error."""

    def __init__(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def write(self, events: Sequence[UnifiedEvent]) -> None:
        self.entered.set()
        assert self.released.wait(10)
        if self.error:
            raise self.error

    async def hold(self) -> asyncio.Task[bool]:
        """Emit what holds the publisher, and wait until it does."""
        task = asyncio.create_task(aemit("publisher.held", category="monitoring"))
        await asyncio.to_thread(self.entered.wait, 10)
        return task


def published_types() -> list[str]:
    return list(JournalEntry.objects.filter(position__isnull=False).order_by("position").values_list("event_type", flat=True))


def assert_emit_works() -> None:
    assert emit("document.after") is True
    assert published_types()[-1] == "document.after"


# Events that no database takes


@real_transactions
@out_of_range
@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_a_timestamp_that_utc_does_not_have_is_refused(timestamp: datetime, how: Callable[[UnifiedEvent], bool]) -> None:
    with pytest.raises(InvalidEvent) as caught:
        how(UnifiedEvent(EventCategory.REALTIME, "document.dated", timestamp=timestamp))
    assert caught.value.field == "timestamp"
    assert_emit_works()
    assert published_types() == ["document.after"]


@real_transactions
@pytest.mark.parametrize(
    "timestamp",
    [
        datetime(2, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9998, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12))),
    ],
    ids=["year 2", "year 9998"],
)
def test_the_first_and_the_last_year_that_every_time_zone_has_are_stored(timestamp: datetime) -> None:
    assert emit(UnifiedEvent(EventCategory.REALTIME, "document.dated", timestamp=timestamp)) is True
    assert JournalEntry.objects.get().timestamp == timestamp


# Emitters that fail


def from_nowhere() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


def too_slowly() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '10ms'")
        cursor.execute("SELECT pg_sleep(5)")


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


FAILURES = [
    raising(RuntimeError("broken emitter")),
    raising(OperationalError("disk I/O error")),
    raising(InterfaceError("connection already closed")),
    from_nowhere,
    pytest.param(too_slowly, marks=pytest.mark.skipif("sqlite" in connection.vendor, reason="SQLite has no statement_timeout")),
]


class FailingEmitter:
    """Fails to write, each time."""

    def __init__(self, fail: Callable[[], None]) -> None:
        self.fail = fail

    def write(self, events: Sequence[UnifiedEvent]) -> None:
        self.fail()


@real_transactions
@pytest.mark.parametrize("fail", FAILURES, ids=["runtime", "disk", "interface", "no table", "timeout"])
async def test_an_emitter_that_fails_takes_no_other_event_with_it(fail: Callable[[], None], held_publisher: HeldEmitter) -> None:
    event_router.register_emitter("workflow", FailingEmitter(fail))
    holding = await held_publisher.hold()
    innocent = [aemit("document.innocent", {"n": n}) for n in range(40)]
    together = asyncio.gather(*innocent[:20], aemit("step.guilty", category="workflow"), *innocent[20:])
    await await_for(lambda: get_event_stats()["processed"] == 42, "all to wait for the publisher")
    held_publisher.released.set()
    stored = await together
    assert await holding is True
    assert [number for number, ok in enumerate(stored) if not ok] == [20]
    await sync_to_async(assert_emit_works)()
    assert await sync_to_async(published_types)() == ["publisher.held", *["document.innocent"] * 40, "document.after"]


def lose_the_connection() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@real_transactions
@pytest.mark.skipif("sqlite" in connection.vendor, reason="SQLite has no connection to lose")
def test_a_transaction_whose_connection_is_lost_does_not_end_as_if_it_were_committed() -> None:
    event_router.register_emitter("workflow", FailingEmitter(lose_the_connection))
    with pytest.raises(OperationalError), transaction.atomic():
        Group.objects.create(name="vanishes")
        emit("step.vanishes", category="workflow")
    assert not Group.objects.exists()
    assert_emit_works()


@real_transactions
@pytest.mark.parametrize("fail", [FAILURES[0], from_nowhere], ids=["runtime", "no table"])
def test_an_emitter_that_fails_leaves_the_callers_transaction_usable(fail: Callable[[], None]) -> None:
    event_router.register_emitter("workflow", FailingEmitter(fail))
    with transaction.atomic():
        assert emit("document.innocent") is True
        assert emit("step.guilty", category="workflow") is False
        assert emit("document.after") is True
    wait_published()
    assert published_types() == ["document.innocent", "document.after"]


class EmittingEmitter:
    """Emits while it writes."""

    def write(self, events: Sequence[UnifiedEvent]) -> None:
        assert emit("second.emitted") is True


@real_transactions
def test_an_emitter_that_emits_and_a_handler_that_does_so_after_the_commit_hold_nobody_up() -> None:
    answers: list[bool] = []
    event_router.register_emitter("workflow", EmittingEmitter())
    event_router.add_type_handler("second.emitted", lambda event: answers.append(emit("third.emitted")), after_commit=True)
    started = time.monotonic()
    assert emit("first.emitted", category="workflow") is True
    wait_for(lambda: answers, "the handler to emit")
    assert answers == [True]
    assert emit("document.after") is True
    assert time.monotonic() - started < 2
    wait_for(lambda: len(published_types()) == 4, "all to be published")
    assert set(published_types()) == {"first.emitted", "second.emitted", "third.emitted", "document.after"}


# Callers that go away


@real_transactions
@pytest.mark.parametrize("is_async", [False, True], ids=["handler", "async handler"])
async def test_an_event_that_is_stored_has_its_handlers_called_though_its_caller_was_cancelled(
    is_async: bool, held_publisher: HeldEmitter
) -> None:
    heard: list[str] = []

    async def hear(event: UnifiedEvent) -> None:
        heard.append(event.event_type)

    event_router.add_global_handler(hear if is_async else (lambda event: heard.append(event.event_type)), after_commit=True)
    holding = await held_publisher.hold()
    holding.cancel()
    held_publisher.released.set()
    await asyncio.wait([holding])
    await await_for(lambda: heard, "the handler to be called")
    assert heard == ["publisher.held"]
    assert await sync_to_async(published_types)() == ["publisher.held"]


@real_transactions
async def test_a_cancelled_callers_event_that_is_not_stored_has_no_handlers_called(held_publisher: HeldEmitter) -> None:
    heard: list[str] = []
    event_router.add_global_handler(lambda event: heard.append(event.event_type), after_commit=True)
    held_publisher.error = RuntimeError("broken emitter")
    holding = await held_publisher.hold()
    holding.cancel()
    held_publisher.released.set()
    await asyncio.wait([holding])
    assert await aemit("document.after") is True
    await sync_to_async(wait_published)()
    assert heard == ["document.after"]


END_AT_ONCE = """
import django
django.setup()
import events
from django.db import transaction
with transaction.atomic():
    for _ in range(6):
        events.emit("auth.login_failure", {"ip": "192.0.2.9"}, category="security")
"""
COUNTED = """
from events.models import JournalEntry
from security.models import Incident
types = ["auth.login_failure", "suspicious.brute_force"]
published = JournalEntry.objects.filter(position__isnull=False, category="security", event_type__in=types).order_by("position")
result = {
    "counted": list(Incident.objects.filter(kind="brute_force").values_list("events", flat=True)),
    "published": list(published.values_list("event_type", flat=True)),
}
"""


def test_failed_logins_are_counted_though_the_process_ends_right_after_them(databases: Databases, tmp_path: Path) -> None:
    database = databases.create()
    env = base_environment() | {
        "DATABASE_URL": database,
        "VAR_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "chatter_site.settings",
    }
    ended = subprocess.run(
        [sys.executable, "-c", END_AT_ONCE], cwd=ROOT, env=env, timeout=60, check=True, capture_output=True, text=True
    )
    with DjangoProcess(env) as other:
        found = other.run(COUNTED)
    databases.drop(database)
    assert found["counted"] == [6]
    assert found["published"] == ["auth.login_failure"] * 6 + ["suspicious.brute_force"]
    assert "cannot schedule new futures" not in ended.stderr
    assert "Traceback" not in ended.stderr


# Handlers that fail, or meddle


def fails_in_sql(event: UnifiedEvent, **kwargs: object) -> None:
    from_nowhere()


async def fails_in_sql_later(event: UnifiedEvent) -> None:
    await sync_to_async(from_nowhere)()


def write_after(answer: bool) -> None:
    """What the caller's transaction does next."""
    assert answer is True
    Group.objects.create(name="the caller's own")


@real_transactions
@pytest.mark.parametrize("how", list(HOW.values())[:2], ids=list(HOW)[:2])
def test_a_receiver_whose_sql_fails_does_not_doom_the_callers_transaction(how: Callable[[str], bool]) -> None:
    event_routed.connect(fails_in_sql)
    try:
        with transaction.atomic():
            write_after(how("document.uploaded"))
    finally:
        event_routed.disconnect(fails_in_sql)
    wait_published()
    assert published_types() == ["document.uploaded"]
    assert Group.objects.filter(name="the caller's own").exists()


@real_transactions
@pytest.mark.parametrize("handler", [fails_in_sql, fails_in_sql_later], ids=["handler", "async handler"])
@pytest.mark.parametrize("how", list(HOW.values())[:2], ids=list(HOW)[:2])
def test_a_handler_whose_sql_fails_does_not_doom_the_callers_transaction(how: Callable[[str], bool], handler) -> None:
    event_router.add_global_handler(handler)
    with transaction.atomic():
        write_after(how("document.uploaded"))
    wait_published()
    assert published_types() == ["document.uploaded"]
    assert Group.objects.filter(name="the caller's own").exists()
    assert get_event_stats()["handler_errors"] == 1


@real_transactions
@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_a_handler_that_changes_an_event_changes_neither_journal_nor_audit_log(how: Callable[[UnifiedEvent], bool]) -> None:
    def meddle(event: UnifiedEvent) -> None:
        event.data["who"].append("mallory")
        event.data["bad"] = "\0"
        event.metadata["forged"] = True

    event_router.add_global_handler(meddle)
    assert how(UnifiedEvent(EventCategory.AUDIT, "document.shared", data={"who": ["alice"]})) is True
    wait_published()
    kept = JournalEntry.objects.get(category="audit").event
    audited = AuditEntry.objects.get(event_type="document.shared")
    assert kept.data == audited.data == {"who": ["alice"]}
    assert "forged" not in kept.metadata
    assert "forged" not in audited.metadata


@real_transactions
def test_an_event_loop_that_closes_while_its_callers_are_told_does_not_end_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = unified_event_manager.writer.publisher
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    loop.close()
    monkeypatch.setattr(loop, "is_closed", lambda: False)  # as it was a moment ago
    with publisher._changed:  # the thread comes to it afterwards
        publisher.submit(Ticket([journal.record_of(UnifiedEvent(EventCategory.REALTIME, "document.told"))], future))
        thread = publisher._thread
    assert emit("document.uploaded") is True
    assert publisher._thread is thread
    assert thread is not None
    assert thread.is_alive()
