"""Writes events, gives them their positions in commit order and tells the hubs. One thread a process does it.

The thread writes whatever has come in since it last looked in one transaction: one event when idle, hundreds when busy. Rows
that were written in a caller's transaction wait in the outbox; the thread gives them their positions after the commit.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from django.db import Error, InterfaceError, OperationalError, connections, transaction

from events import journal
from events.batch import Batch, Published
from events.conf import settings
from events.doorbell import Doorbell
from events.journal import Record
from events.stats import stats
from events.types import EventPriority

logger = logging.getLogger("events.publisher")

BATCH_SIZE = 500
RETRY_DELAY = 0.05
RETRY_FOR = 60.0
# Serialization failure, deadlock, lock not available, and a server that is being stopped or started.
PASSING_STATES = {"40001", "40P01", "55P03", "57P01", "57P02", "57P03"}

Result = TypeVar("Result")


@dataclass(slots=True)
class Ticket:
    """Records that were handed in together, and the future that tells whether they are stored. `stored` says it too, to an event loop
    whose future was cancelled."""

    records: Sequence[Record]
    future: asyncio.Future[bool] | concurrent.futures.Future[bool]
    stored: bool | None = None


class Publisher:
    """The publishing thread of a process, started by its first work. `store` writes records on the thread's connection."""

    def __init__(self, store: Callable[[Sequence[Record]], None]) -> None:
        self._store = store
        self._listeners: list[Callable[[Batch], None]] = []
        self._doorbell = Doorbell()
        self._reset()
        # Threads are not copied when a process forks: work goes on in both once there is some.
        os.register_at_fork(after_in_parent=self._resume, after_in_child=self._reset)

    def _reset(self) -> None:
        self._queue: deque[Ticket] = deque()
        self._waiting = 0
        self._busy = False
        self._tried: Sequence[Record] | None = None
        self._changed = threading.Condition()
        self._outbox_committed = False
        self._thread: threading.Thread | None = None
        self._stopping = False

    def listen(self, listener: Callable[[Batch], None]) -> None:
        """Call `listener` with each batch that this process publishes, in the publishing thread."""
        self._listeners.append(listener)
        self._wake()

    def unlisten(self, listener: Callable[[Batch], None]) -> None:
        """No longer."""
        self._listeners.remove(listener)

    def submit(self, ticket: Ticket) -> bool:
        """Hand in records to be written. False if they are shed: LOW ones while many wait, NORMAL ones while twice as many do."""
        room = settings().WRITE_QUEUE_MAXSIZE
        with self._changed:
            if self._waiting >= room and _sheddable(ticket, self._waiting >= 2 * room):
                stats.count("dropped", len(ticket.records))
                stats.lost(record.category for record in ticket.records)
                return False
            self._queue.append(ticket)
            self._waiting += len(ticket.records)
            self._wake_locked()
        return True

    def publish_outbox(self) -> None:
        """A transaction with rows in the outbox was committed: give them their positions."""
        with self._changed:
            self._outbox_committed = True
            self._wake_locked()

    def broadcast(self, records: Iterable[Record]) -> None:
        """Send ephemeral events to the hubs, past the journal."""
        self._announce(Batch("", 0, [_published(record) for record in records]))

    def is_this_thread(self) -> bool:
        """Whether it is the publishing thread that asks."""
        return threading.current_thread() is self._thread

    def drain(self, timeout: float) -> None:
        """Return when all that was handed in is written and published, or after `timeout` seconds."""
        if self.is_this_thread():
            return
        with self._changed:
            self._changed.wait_for(lambda: not (self._queue or self._outbox_committed or self._busy), timeout)

    def stop(self, timeout: float) -> None:
        """Write what was handed in, ring the doorbell for it, end the thread; wait `timeout` seconds for it. It starts again with the next
        work."""
        with self._changed:
            thread, self._stopping = self._thread, True
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        self._doorbell.stop()
        self._stopping = False

    def _resume(self) -> None:
        if self._listeners or self._outbox_committed:
            self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._wake_locked()

    def _wake_locked(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="events-publisher", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        next_poll = 0.0
        while True:
            tickets, committed, stopping = self._next_work(next_poll)
            if committed or time.monotonic() >= next_poll:
                self._publish_waiting()
                next_poll = time.monotonic() + settings().POLL_INTERVAL
            self._write(tickets)
            if stopping and not self._queue:
                break
        connections.close_all()
        with self._changed:
            self._thread = None
            self._busy = False
            self._changed.notify_all()
            if self._queue or self._outbox_committed:
                self._wake_locked()

    def _next_work(self, next_poll: float) -> tuple[list[Ticket], bool, bool]:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            if not (self._queue or self._outbox_committed or self._stopping):
                self._changed.wait(max(0.0, next_poll - time.monotonic()))
            tickets = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_SIZE))]
            self._waiting -= sum(len(ticket.records) for ticket in tickets)
            committed, self._outbox_committed = self._outbox_committed, False
            self._busy = True
            return tickets, committed, self._stopping

    def _write(self, tickets: Sequence[Ticket]) -> None:
        if not tickets:
            return
        try:
            batch = self._write_after_outbox([record for ticket in tickets for record in ticket.records])
        except Exception as error:  # the boundary: whatever an event or an emitter does, the thread goes on with the next
            if len(tickets) > 1 and not self._passes(error):
                for ticket in tickets:  # one of them is at fault: the others must not go down with it
                    self._write([ticket])
            else:
                stats.count("write_errors", sum(len(ticket.records) for ticket in tickets))
                stats.lost(record.category for ticket in tickets for record in ticket.records)
                logger.exception("The events of %d callers could not be written", len(tickets))
                _resolve(tickets, False)
        else:
            _resolve(tickets, True)
            self._announce(batch)

    def _publish_waiting(self) -> None:
        """Publish the outbox: what this process committed, and what a process left that died before it could."""
        with _isolated("The outbox can't be published now; the next poll tries again"):
            while self._attempt(journal.outbox_waits):
                batch = self._attempt(self._sequence_waiting)
                self._announce(batch)
                if len(batch.events) < BATCH_SIZE:  # what comes in meanwhile does not hold up the rest
                    return

    def _write_after_outbox(self, records: Sequence[Record]) -> Batch:
        """Write events: what any process committed before they were handed in gets its positions before theirs."""
        self._tried = None
        batch = self._attempt(partial(self._write_sequenced, records))
        if batch is None:
            self._publish_waiting()
            batch = self._attempt(partial(self._write_sequenced, records, whatever_waits=True))
            assert batch is not None
        return batch

    def _write_sequenced(self, records: Sequence[Record], whatever_waits: bool = False) -> Batch | None:
        """Write events with their positions. None if nothing was written because rows wait in the outbox."""
        alias = settings().DATABASE
        with transaction.atomic(using=alias):
            head, sequenced, outbox_waits = journal.sequence(records)
            if self._tried and journal.holds(self._tried[-1]):  # the commit was done, its answer did not come
                transaction.set_rollback(True, using=alias)
                return _batch(head.epoch, self._tried)
            if outbox_waits and not whatever_waits:
                transaction.set_rollback(True, using=alias)
                return None
            self._tried = sequenced
            self._store(sequenced)
        return _batch(head.epoch, sequenced)

    def _sequence_waiting(self) -> Batch:
        with transaction.atomic(using=settings().DATABASE):
            head, published = journal.sequence_outbox(BATCH_SIZE)
        return Batch(head.epoch, head.position + len(published), published)

    def _attempt(self, work: Callable[[], Result]) -> Result:
        """Do the work; again, on a new connection, while the database is busy or away.

        Longer than a caller waits: what it gave up waiting for is better stored late than not at all.
        """
        deadline = time.monotonic() + RETRY_FOR
        while True:
            try:
                return work()
            except Error as error:
                if not self._passes(error):
                    raise
                connections[settings().DATABASE].close()
                if time.monotonic() > deadline or self._stopping:
                    raise
                time.sleep(RETRY_DELAY)

    def _passes(self, error: Exception) -> bool:
        """Whether it is the database's trouble that passes, and not an event's or an emitter's."""
        connection = connections[settings().DATABASE]
        if not isinstance(error, (OperationalError, InterfaceError)):
            return False
        if connection.vendor == "sqlite":  # the same exception says that there is no such table
            return "locked" in str(error)
        state = getattr(error.__cause__, "sqlstate", "")  # None where the server says nothing: the connection was lost
        return state is None or state in PASSING_STATES or not connection.is_usable()

    def _announce(self, batch: Batch) -> None:
        if batch.events:
            for tell in (*self._listeners, self._doorbell.ring):
                with _isolated("Published events could not be announced; hubs read the journal"):
                    tell(batch)


@contextmanager
def _isolated(message: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        stats.count("write_errors")
        logger.exception(message)


def _sheddable(ticket: Ticket, normal_too: bool) -> bool:
    limit = EventPriority.NORMAL.rank if normal_too else EventPriority.LOW.rank
    return all(EventPriority(record.priority).rank <= limit for record in ticket.records)


def _batch(epoch: str, records: Sequence[Record]) -> Batch:
    return Batch(epoch, records[-1].position or 0, [_published(record) for record in records])


def _published(record: Record) -> Published:
    return Published(record.position or 0, record.event_type, record.category, record.priority, record.audience, record.body)


def _resolve(tickets: Sequence[Ticket], stored: bool) -> None:
    """Tell the callers; those in one event loop together, because waking a loop costs more than the rest."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Ticket]] = {}
    for ticket in tickets:
        if isinstance(ticket.future, asyncio.Future):
            by_loop.setdefault(ticket.future.get_loop(), []).append(ticket)
        elif not ticket.future.done():
            ticket.future.set_result(stored)
    for loop, waiting in by_loop.items():
        with suppress(RuntimeError):  # it was closed meanwhile
            loop.call_soon_threadsafe(_resolve_in_loop, waiting, stored)


def _resolve_in_loop(tickets: Sequence[Ticket], stored: bool) -> None:
    for ticket in tickets:
        ticket.stored = stored
        if not ticket.future.done():
            ticket.future.set_result(stored)
