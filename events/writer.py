"""How an event gets into the journal: in the caller's transaction where there is one, else through the publisher."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

from asgiref.sync import AsyncToSync, sync_to_async
from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from events import journal
from events.background import Background, Job, running_loop
from events.conf import WriteMode, settings
from events.exceptions import EmitterFailed
from events.handlers import call_isolated
from events.journal import Record, record_of
from events.publisher import Publisher, Ticket
from events.stats import stats
from events.types import EventCategory, UnifiedEvent

logger = logging.getLogger("events.writer")

# Seconds that the threads may take for what is begun; and when a process forks, which they hold up.
STOP_TIMEOUT = 10.0
FORK_TIMEOUT = 5.0
MAX_LATER = 1_000
_usual_mode: ContextVar[WriteMode | None] = ContextVar("events_usual_mode", default=None)


@contextmanager
def usual_mode(mode: WriteMode) -> Iterator[None]:
    """How events that are emitted in the block are written, unless `EVENTS["WRITE_MODES"]` says otherwise of their category: those of
    security that tell of a change, not of an attempt, are to vanish with it."""
    token = _usual_mode.set(mode)
    try:
        yield
    finally:
        _usual_mode.reset(token)


class Writer:
    """The outlet of the event router (`events.router.Outlet`). `write_to_emitters` stores the events of categories that have tables
    of their own."""

    def __init__(self, write_to_emitters: Callable[[Sequence[Record]], None]) -> None:
        self._write_to_emitters = write_to_emitters
        self.publisher = Publisher(self._store)
        self._background = Background()
        self._finishing: set[asyncio.Task[None]] = set()
        # No thread may have the database open when a process forks, nor one begin after it was looked whether one has.
        os.register_at_fork(before=partial(self.stop, FORK_TIMEOUT))

    def prepare(self, events: Sequence[UnifiedEvent]) -> list[Record]:
        """The events encoded. Raises InvalidEvent."""
        return [record_of(event) for event in events]

    def write(self, records: Sequence[Record], committed: Callable[[], None]) -> bool:
        """Write records; `committed` is called once they are. False if they are not known to be stored.

        Inside a transaction they commit or vanish with it, unless `EVENTS["WRITE_MODES"]` says otherwise of the first one's category,
        as it does of security events: a failed login is often followed by a rollback. Those are written by the publisher, on SQLite
        after the transaction ends, and nobody waits for it.
        Raises DatabaseError where the connection was lost, and the caller's transaction with it.
        """
        connection = connections[settings().DATABASE]
        ephemeral, durable = _split(records)
        if ephemeral:
            self._on_commit(partial(self.publisher.broadcast, ephemeral))
        if not durable:
            self._on_commit(committed)
            return True
        mode = _mode_of(durable)
        if connection.in_atomic_block and (_belongs_to_test(connection) or mode is WriteMode.WITH_CHANGE):
            return self._write_here(connection, durable, committed)
        future: concurrent.futures.Future[bool] = concurrent.futures.Future()
        if connection.in_atomic_block or mode is WriteMode.BEST_EFFORT:
            future.add_done_callback(partial(self._handle_later, self._background.prepare(committed)))
            return self.publisher.submit(Ticket(durable, future))
        return self.publisher.submit(Ticket(durable, future)) and self._await_written(future, committed)

    async def awrite(self, records: Sequence[Record], committed: Callable[[], Awaitable[None]]) -> bool:
        """As `write`, where an event loop runs, outside of any transaction."""
        ephemeral, durable = _split(records)
        if ephemeral:
            self.publisher.broadcast(ephemeral)
        if durable and _mode_of(durable) is WriteMode.BEST_EFFORT:
            return self._submit_only(durable, committed)
        if durable and not await self._submit(durable, committed):
            return False
        await committed()
        return True

    async def callers_transaction_is_open(self) -> bool:
        """Whether the synchronous code that called this asynchronous code waits for it in a transaction: a thread that waits in
        `async_to_sync`."""
        waiting = getattr(AsyncToSync.executors, "current", None)
        if waiting is None and asyncio.get_running_loop() not in AsyncToSync.loop_thread_executors:
            return False
        try:
            return await sync_to_async(_in_transaction)()
        except RuntimeError:  # the thread waits no longer: this task outlived the call that began it
            return False

    def republish(self, records: Sequence[Record]) -> None:
        """Put rows into the outbox and have them published, past rules, handlers and emitters. Raises DatabaseError."""
        connection = connections[settings().DATABASE]
        with transaction.atomic(using=connection.alias):
            journal.insert(records)
            self._on_commit(partial(self._published_with_transaction, connection, lambda: None))

    def later(self, action: Callable[[], object]) -> None:
        """Do it in the thread of the handlers that wait for a commit, after them, in the context that is in force here. `stop` waits for
        it. What it raises is logged and counted as a handler's error. Where MAX_LATER wait already, it is done at once, unless an event loop
        runs here: who brings more than can be done is held up by it, and nothing is dropped."""
        job = self._background.prepare(partial(call_isolated, action))
        if self._background.waiting < MAX_LATER or running_loop() is not None:
            self._background.run(job)
        else:
            job.context.run(job.action)

    def drain(self, timeout: float = STOP_TIMEOUT) -> None:
        """Write what was handed in, and let the handlers that wait for it finish, as far as that takes no longer than `timeout` seconds."""
        until = time.monotonic() + timeout
        self.publisher.drain(timeout)
        self._background.drain(_left(until))

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """As `drain`, and end the threads, within `timeout` seconds. What is left then is logged."""
        until = time.monotonic() + timeout
        self.drain(timeout / 2)  # a publisher that is told to stop no longer waits for a database that is away
        self._background.stop(_left(until) / 2)
        self.publisher.stop(_left(until))  # with what those handlers emitted
        self._background.stop(_left(until))  # with what is called once that is written
        if self._background.waiting:
            logger.error("%d handlers of events are not done: they are not if the process ends now", self._background.waiting)

    def _write_here(self, connection: BaseDatabaseWrapper, records: Sequence[Record], committed: Callable[[], None]) -> bool:
        try:
            with transaction.atomic(using=connection.alias):
                self._store(records)
        except (Error, EmitterFailed):
            stats.count("write_errors", len(records))
            stats.lost(record.category for record in records)
            logger.exception("%s %s could not be written", records[0].event_type, records[0].event_id)
            if connection.closed_in_transaction or not connection.is_usable():
                raise  # the connection was lost: without an exception the caller's block would end as if it had been committed
            return False
        self._on_commit(partial(self._published_with_transaction, connection, committed))
        return True

    def _published_with_transaction(self, connection: BaseDatabaseWrapper, committed: Callable[[], None]) -> None:
        if not connection.in_atomic_block:  # a test that runs the callbacks of a transaction that it will roll back
            self.publisher.publish_outbox()
        if self.publisher.is_this_thread():  # an emitter emitted: a handler that emits would wait for the thread that it is in
            self._background.run(self._background.prepare(committed))
        else:
            committed()

    def _on_commit(self, action: Callable[[], None]) -> None:
        transaction.on_commit(action, using=settings().DATABASE, robust=True)

    def _await_written(self, future: concurrent.futures.Future[bool], committed: Callable[[], None]) -> bool:
        try:
            if not future.result(settings().WRITE_TIMEOUT):
                return False
        except TimeoutError:
            stats.count("write_errors")
            return False
        committed()
        return True

    def _handle_later(self, job: Job, written: concurrent.futures.Future[bool]) -> None:
        if written.result():
            self._background.run(job)

    def _submit_only(self, records: Sequence[Record], committed: Callable[[], Awaitable[None]]) -> bool:
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        self._finish_later(written, committed)
        if self.publisher.submit(Ticket(records, written)):
            return True
        written.set_result(False)
        return False

    def _finish_later(self, written: asyncio.Future[bool], committed: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.get_running_loop().create_task(_finish(written, committed))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _submit(self, records: Sequence[Record], committed: Callable[[], Awaitable[None]]) -> bool:
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        ticket = Ticket(records, written)
        if not self.publisher.submit(ticket):
            return False
        timer = loop.call_later(settings().WRITE_TIMEOUT, _give_up, written)
        try:
            return await written
        except asyncio.CancelledError:  # the caller goes; the event is stored all the same, so its handlers are called
            ticket.future = written = loop.create_future()
            if ticket.stored is not None:  # meanwhile
                written.set_result(ticket.stored)
            self._finish_later(written, committed)
            raise
        finally:
            timer.cancel()

    def _store(self, records: Sequence[Record]) -> None:
        journal.insert(records)
        self._write_to_emitters(records)


def _split(records: Sequence[Record]) -> tuple[list[Record], Sequence[Record]]:
    """What is not journaled, and what is."""
    ephemeral = [record for record in records if record.category == EventCategory.STREAMING]
    return ephemeral, [record for record in records if record.category != EventCategory.STREAMING] if ephemeral else records


def _mode_of(records: Sequence[Record]) -> WriteMode:
    category = records[0].category
    usual = _usual_mode.get() or (WriteMode.INDEPENDENT if category == EventCategory.SECURITY else WriteMode.WITH_CHANGE)
    return settings().WRITE_MODES.get(category, usual)


async def _finish(written: asyncio.Future[bool], committed: Callable[[], Awaitable[None]]) -> None:
    if await written:
        await committed()


def _belongs_to_test(connection: BaseDatabaseWrapper) -> bool:
    """Whether a TestCase keeps a transaction open that it will roll back: then nothing may be written beside it."""
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())


def _in_transaction() -> bool:
    return connections[settings().DATABASE].in_atomic_block


def _give_up(future: asyncio.Future[bool]) -> None:
    if not future.done():
        stats.count("write_errors")
        future.set_result(False)
