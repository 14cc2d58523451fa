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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)

from events import journal
from events.batch import Batch, Published
from events.conf import settings
from events.doorbell import Doorbell
from events.exceptions import EmitterFailed
from events.journal import Entry, Head, Record
from events.stats import stats
from events.types import EventPriority

logger = logging.getLogger("events.publisher")

BATCH_SIZE = 500
RETRY_DELAY = 0.05
RETRY_FOR = 60.0
STOP_TIMEOUT = 5.0

Result = TypeVar("Result")


@dataclass(slots=True)
class Ticket:
    """Entries that were handed in together, and the future that tells whether they are stored."""

    entries: Sequence[Entry]
    future: asyncio.Future[bool] | concurrent.futures.Future[bool]


class Publisher:
    """The publishing thread of a process, started by its first work. `store` writes entries on the thread's connection."""

    def __init__(self, store: Callable[[Sequence[Entry]], None]) -> None:
        self._store = store
        self._listeners: list[Callable[[Batch], None]] = []
        self._doorbell = Doorbell()
        self._reset()
        # SQLite must not be open when a process forks, and threads are not copied: work goes on in both once there is some.
        os.register_at_fork(before=self.stop, after_in_parent=self._resume, after_in_child=self._reset)

    def _reset(self) -> None:
        self._queue: deque[Ticket] = deque()
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
        """Hand in entries to be written. False if they are shed: LOW ones while many wait, NORMAL ones while twice as many do."""
        room = settings().WRITE_QUEUE_MAXSIZE
        with self._changed:
            waiting = len(self._queue)
            if waiting >= room and _sheddable(ticket, waiting >= 2 * room):
                stats.count("dropped", len(ticket.entries))
                return False
            self._queue.append(ticket)
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

    def stop(self) -> None:
        """Write what was handed in, ring the doorbell for it, end the thread. It starts again with the next work."""
        with self._changed:
            thread, self._stopping = self._thread, True
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_TIMEOUT)
        self._doorbell.stop()
        self._stopping = False

    def _resume(self) -> None:
        if self._listeners or self._outbox_committed:
            self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._wake_locked()

    def _wake_locked(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="events-publisher", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        next_poll = 0.0
        while True:
            tickets, committed, stopping = self._next_work(next_poll)
            if tickets:
                self._write(tickets)
            if committed or time.monotonic() >= next_poll:
                self._publish_waiting()
                next_poll = time.monotonic() + settings().POLL_INTERVAL
            if stopping and not self._queue:
                break
        connections.close_all()
        with self._changed:
            self._thread = None
            if self._queue or self._outbox_committed:
                self._wake_locked()

    def _next_work(self, next_poll: float) -> tuple[list[Ticket], bool, bool]:
        with self._changed:
            if not (self._queue or self._outbox_committed or self._stopping):
                self._changed.wait(max(0.0, next_poll - time.monotonic()))
            tickets = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_SIZE))]
            committed, self._outbox_committed = self._outbox_committed, False
            return tickets, committed, self._stopping

    def _write(self, tickets: Sequence[Ticket]) -> None:
        entries = [entry for ticket in tickets for entry in ticket.entries]
        try:
            head, records = self._attempt(lambda: self._write_sequenced(entries))
        except (OperationalError, InterfaceError):
            self._fail(tickets)
        except (DatabaseError, EmitterFailed):
            if len(tickets) == 1:
                self._fail(tickets)
            else:  # one of them is at fault: the others must not go down with it
                for ticket in tickets:
                    self._write([ticket])
        else:
            self._announce(_batch(head, records))
            _resolve(tickets, True)

    def _write_sequenced(self, entries: Sequence[Entry]) -> tuple[Head, list[Record]]:
        with transaction.atomic(using=settings().DATABASE):
            head, records = journal.sequence([entry.record for entry in entries])
            self._store([entry._replace(record=record) for entry, record in zip(entries, records, strict=True)])
        return head, records

    def _publish_waiting(self) -> None:
        """Publish the outbox: what this process committed, and what a process left that died before it could."""
        try:
            while self._attempt(journal.outbox_waits):
                head, records = self._attempt(self._sequence_waiting)
                if records:
                    self._announce(_batch(head, records))
        except DatabaseError:
            stats.count("write_errors")
            logger.exception(
                "The outbox can't be published now; trying again within %s s",
                settings().POLL_INTERVAL,
            )

    def _sequence_waiting(self) -> tuple[Head, list[Record]]:
        with transaction.atomic(using=settings().DATABASE):
            return journal.sequence_outbox(BATCH_SIZE)

    def _attempt(self, work: Callable[[], Result]) -> Result:
        """Do the work; again, on a new connection, while the database is busy or away.

        Longer than a caller waits: what it gave up waiting for is better stored late than not at all.
        """
        connection = connections[settings().DATABASE]
        deadline = time.monotonic() + RETRY_FOR
        while True:
            try:
                return work()
            except (OperationalError, InterfaceError) as error:
                connection.close()
                if not _passes(error, connection.vendor) or time.monotonic() > deadline or self._stopping:
                    raise
                time.sleep(RETRY_DELAY)

    def _announce(self, batch: Batch) -> None:
        for listener in list(self._listeners):
            listener(batch)
        self._doorbell.ring(batch)

    def _fail(self, tickets: Sequence[Ticket]) -> None:
        stats.count("write_errors", sum(len(ticket.entries) for ticket in tickets))
        logger.exception("%d events could not be written", len(tickets))
        _resolve(tickets, False)


def _passes(error: Exception, vendor: str) -> bool:
    """Whether trying again may help. SQLite says with one exception that it is locked and that there is no such table."""
    return vendor != "sqlite" or "locked" in str(error)


def _sheddable(ticket: Ticket, normal_too: bool) -> bool:
    limit = EventPriority.NORMAL.rank if normal_too else EventPriority.LOW.rank
    return all(entry.event.priority.rank <= limit for entry in ticket.entries)


def _published(record: Record) -> Published:
    return Published(
        record.position or 0,
        record.event_type,
        record.category,
        record.priority,
        record.audience,
        record.body,
    )


def _batch(head: Head, records: Sequence[Record]) -> Batch:
    return Batch(
        head.epoch,
        head.position + len(records),
        [_published(record) for record in records],
    )


def _resolve(tickets: Sequence[Ticket], stored: bool) -> None:
    """Tell the callers; those in one event loop together, because waking a loop costs more than the rest."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[bool]]] = {}
    for ticket in tickets:
        if isinstance(ticket.future, asyncio.Future):
            by_loop.setdefault(ticket.future.get_loop(), []).append(ticket.future)
        else:
            ticket.future.set_result(stored)
    for loop, futures in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve_in_loop, futures, stored)


def _resolve_in_loop(futures: Sequence[asyncio.Future[bool]], stored: bool) -> None:
    for future in futures:
        if not future.done():
            future.set_result(stored)
