"""How an event gets into the journal: in the caller's transaction where there is one, else through the publisher."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from functools import partial

from asgiref.sync import AsyncToSync, async_to_sync, sync_to_async
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from events import journal
from events.conf import settings
from events.exceptions import EmitterFailed
from events.journal import Entry, Record, record_of
from events.publisher import Publisher, Ticket
from events.stats import stats
from events.types import EventCategory, UnifiedEvent

logger = logging.getLogger("events.writer")

Write = Callable[[Sequence[UnifiedEvent]], None]


class Writer:
    """The outlet of the event router (`events.router.Outlet`). `write_to_emitters` stores the events of categories that have tables
    of their own."""

    def __init__(self, write_to_emitters: Write) -> None:
        self._write_to_emitters = write_to_emitters
        self.publisher = Publisher(self._store)
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._handler_pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="events-handlers")
        self._handling: set[concurrent.futures.Future[None]] = set()

    def prepare(self, events: Sequence[UnifiedEvent]) -> list[Entry]:
        """The events encoded. Raises InvalidEvent."""
        return [Entry(event, record_of(event)) for event in events]

    def write(self, entries: Sequence[Entry], committed: Callable[[], None]) -> bool:
        """Write entries; `committed` is called once they are. False if they are not known to be stored.

        Inside a transaction they commit or vanish with it, except security events: a failed login is often followed by a
        rollback. Those are written by the publisher, on SQLite after the transaction ends, and nobody waits for it.
        """
        connection = connections[settings().DATABASE]
        ephemeral, durable = _split(entries)
        if ephemeral:
            self._on_commit(partial(self.publisher.broadcast, ephemeral))
        if not durable:
            self._on_commit(committed)
            return True
        if connection.in_atomic_block and (_belongs_to_test(connection) or not _is_independent(durable)):
            return self._write_here(connection, durable, committed)
        future: concurrent.futures.Future[bool] = concurrent.futures.Future()
        if not self.publisher.submit(Ticket(durable, future)):
            return False
        if connection.in_atomic_block:
            self._commit_later(future, committed)
            return True
        return self._await_written(future, committed)

    async def awrite(self, entries: Sequence[Entry], committed: Callable[[], Awaitable[None]]) -> bool:
        """As `write`, where an event loop runs. Asynchronous code has no transactions of its own, but the synchronous code that
        called it (`async_to_sync`) may be in one."""
        if await _callers_transaction_is_open():
            return await sync_to_async(self.write)(entries, async_to_sync(committed))
        ephemeral, durable = _split(entries)
        if ephemeral:
            self.publisher.broadcast(ephemeral)
        if durable and not await self._submit(durable):
            return False
        await committed()
        return True

    def republish(self, records: Sequence[Record]) -> None:
        """Put rows into the outbox and have them published, past rules, handlers and emitters. Raises DatabaseError."""
        connection = connections[settings().DATABASE]
        with transaction.atomic(using=connection.alias):
            journal.insert(records)
            self._on_commit(partial(self._published_with_transaction, connection, lambda: None))

    def stop(self) -> None:
        """Write what was handed in, let the handlers that wait for it finish, and end the threads."""
        self.publisher.stop()
        if concurrent.futures.wait(list(self._handling), settings().WRITE_TIMEOUT).done:
            self.publisher.stop()  # for what those handlers emitted

    def _write_here(
        self,
        connection: BaseDatabaseWrapper,
        entries: Sequence[Entry],
        committed: Callable[[], None],
    ) -> bool:
        try:
            with transaction.atomic(using=connection.alias):
                self._store(entries)
        except (DatabaseError, EmitterFailed):
            stats.count("write_errors", len(entries))
            logger.exception(
                "%s %s could not be written",
                entries[0].event.event_type,
                entries[0].event.id,
            )
            return False
        self._on_commit(partial(self._published_with_transaction, connection, committed))
        return True

    def _published_with_transaction(self, connection: BaseDatabaseWrapper, committed: Callable[[], None]) -> None:
        if not connection.in_atomic_block:  # a test that runs the callbacks of a transaction that it will roll back
            self.publisher.publish_outbox()
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

    def _commit_later(self, future: concurrent.futures.Future[bool], committed: Callable[[], None]) -> None:
        run = partial(copy_context().run, _run_and_release, committed)
        future.add_done_callback(partial(self._handle_later, run))

    def _handle_later(self, run: Callable[[], None], written: concurrent.futures.Future[bool]) -> None:
        if written.result():
            handling = self._handler_pool.submit(run)
            self._handling.add(handling)
            handling.add_done_callback(self._handling.discard)

    async def _submit(self, entries: Sequence[Entry]) -> bool:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        if not self.publisher.submit(Ticket(entries, future)):
            return False
        timer = loop.call_later(settings().WRITE_TIMEOUT, _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()

    def _store(self, entries: Sequence[Entry]) -> None:
        journal.insert(entry.record for entry in entries)
        self._write_to_emitters([entry.event for entry in entries])


def _split(entries: Sequence[Entry]) -> tuple[list[Record], Sequence[Entry]]:
    """What is not journaled, and what is."""
    ephemeral = [entry.record for entry in entries if entry.event.category is EventCategory.STREAMING]
    if not ephemeral:
        return ephemeral, entries
    return ephemeral, [entry for entry in entries if entry.event.category is not EventCategory.STREAMING]


def _is_independent(entries: Sequence[Entry]) -> bool:
    return entries[0].event.category is EventCategory.SECURITY


def _belongs_to_test(connection: BaseDatabaseWrapper) -> bool:
    """Whether a TestCase keeps a transaction open that it will roll back: then nothing may be written beside it."""
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


async def _callers_transaction_is_open() -> bool:
    """Whether a thread waits in `async_to_sync` for the code that runs here, within a transaction."""
    waiting = getattr(AsyncToSync.executors, "current", None)
    if waiting is None and asyncio.get_running_loop() not in AsyncToSync.loop_thread_executors:
        return False
    try:
        return await sync_to_async(_in_transaction)()
    except RuntimeError:  # the thread waits no longer: this task outlived the call that began it
        return False


def _in_transaction() -> bool:
    return connections[settings().DATABASE].in_atomic_block


def _run_and_release(action: Callable[[], None]) -> None:
    try:
        action()
    finally:
        connections.close_all()  # the thread may have nothing to do for days


def _give_up(future: asyncio.Future[bool]) -> None:
    if not future.done():
        stats.count("write_errors")
        future.set_result(False)
