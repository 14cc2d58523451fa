"""Positions: gap-free and in publication order, whoever emits at once and in whatever order transactions commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections, transaction

from events import aemit, emit
from events.batch import Batch
from events.models import JournalEntry, JournalHead
from tests.support.sent import Sent
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def run_all(*works: Callable[[], object]) -> None:
    """Run each in a thread of its own that lets go of the database at its end. Raises what they raise."""

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(run, work) for work in works]:
            future.result(60)


def wait_for_positions(number: int) -> list[JournalEntry]:
    wait_for(lambda: JournalEntry.objects.filter(position__isnull=False).count() == number, f"{number} positions", 20)
    return list(JournalEntry.objects.order_by("position"))


def assert_sent_in_order(batches: list[Batch], number: int) -> None:
    assert [event.position for batch in batches for event in batch.events] == list(range(1, number + 1))
    assert [batch.last for batch in batches] == [batch.events[-1].position for batch in batches]
    assert len({batch.epoch for batch in batches}) == 1
    head = JournalHead.objects.get()
    assert (head.position, head.epoch) == (number, batches[0].epoch)


def test_positions_of_eight_threads_and_four_with_transactions_are_gap_free_and_in_order(sent: Sent) -> None:
    def emits(thread: int) -> None:
        for n in range(50):
            assert emit("thread.emitted", {"thread": thread, "n": n}) is True

    def commits(thread: int) -> None:
        for n in range(10):
            with transaction.atomic():
                for part in range(3):
                    assert emit("transaction.emitted", {"thread": thread, "n": n * 3 + part}) is True
                if n % 5 == 4:
                    transaction.set_rollback(True)

    run_all(*[lambda t=t: emits(t) for t in range(8)], *[lambda t=t: commits(t) for t in range(8, 12)])
    total = 8 * 50 + 4 * 8 * 3
    rows = wait_for_positions(total)
    assert [row.position for row in rows] == list(range(1, total + 1))
    assert_sent_in_order(sent.batches, total)
    for thread in range(12):
        own = [row.event.data["n"] for row in rows if row.event.data["thread"] == thread]
        assert own == sorted(own), "each thread's events are in the order of its emission"


async def test_positions_of_five_hundred_tasks_are_gap_free(sent: Sent) -> None:
    assert all(await asyncio.gather(*(aemit("task.emitted", {"n": n}) for n in range(500))))
    rows = [row async for row in JournalEntry.objects.order_by("position")]
    assert [row.position for row in rows] == list(range(1, 501))
    assert [row.event.data["n"] for row in rows] == list(range(500))
    assert len(sent.batches) < 100, "what waits is written in groups"


def test_positions_follow_the_commits_and_not_the_inserts(sent: Sent) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time: transactions commit in the order in which they write")
    inserted, committed = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            emit("transaction.slow")
            inserted.set()
            assert committed.wait(10)

    def fast() -> None:
        assert inserted.wait(10)
        with transaction.atomic():
            emit("transaction.fast")
        emit("thread.emitted")
        wait_for(lambda: JournalEntry.objects.filter(position__isnull=False).count() == 2)
        committed.set()

    run_all(slow, fast)
    rows = wait_for_positions(3)
    assert rows[2].event_type == "transaction.slow"
    assert rows[2].id < max(rows[0].id, rows[1].id), "it was inserted before what is before it"
    assert_sent_in_order(sent.batches, 3)


def test_a_transaction_that_stays_open_holds_up_nobody_else(sent: Sent) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    with transaction.atomic():
        emit("transaction.slow")
        run_all(lambda: [emit("thread.emitted") for _ in range(10)])
        assert [position for position, _ in sent.events] == list(range(1, 11))
    assert wait_for_positions(11)[-1].event_type == "transaction.slow"
