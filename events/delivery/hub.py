"""Brings published events to the clients of one server process.

Batches come from the process's own publisher and over the doorbell. What they do not bring (a ring that was lost, another
process with no channel layer between) is read from the journal: at once where a batch leaves a gap, else within a poll interval.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any

from redis.exceptions import RedisError

from events import journal
from events.access import HUBS
from events.batch import PROCESS, Batch, Published
from events.conf import settings
from events.cursor import Cursor
from events.delivery.authentication import Credential, Identity
from events.delivery.client import Client
from events.delivery.frames import Message
from events.delivery.history import History, read_end
from events.delivery.index import ClientIndex
from events.delivery.places import Places
from events.delivery.threads import DatabaseThreads
from events.delivery.watch import AccessWatch
from events.doorbell import GROUP, shared_layer
from events.manager import unified_event_manager
from events.stats import stats

logger = logging.getLogger("events.hub")

PAGE = 100
HEARTBEAT_TICK = 1.0
# Streams that may wait for the database while they open or resume; further ones are told to come again.
MAX_WAITING = 1_000
# How often it is looked up whose a stream is, where that goes on changing meanwhile.
MAX_LOOKS = 5


class Busy(Exception):
    """Many streams wait to be opened or to resume: come again later."""


class Hub:
    """The clients of one event loop, and what keeps them up to date. `position` is the last one that was delivered."""

    def __init__(self) -> None:
        self.epoch = ""
        self.position = 0
        self.stopping = False
        self._history = History()
        self._clients = ClientIndex()
        self._open: set[Client] = set()
        self._started: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._arrived: deque[Batch] = deque()
        self._behind = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # One for the hub itself, few for clients that open and resume.
        self._reader = DatabaseThreads("events-hub", 1, keep=True)
        self._resumers = DatabaseThreads("events-resume", 2)
        self._places = Places(self._resumers)
        self._watch = AccessWatch(self._open, self._close, self._resumers)

    async def start(self) -> None:
        """Begin at the journal's head and keep up from there. Doing it again waits for the first time to be done."""
        failed = self._started is not None and self._started.done() and self._started.exception() is not None
        if self._started is None or failed:
            self._started = asyncio.ensure_future(self._start())
        await asyncio.shield(self._started)

    async def _start(self) -> None:
        head, last = await self._reader.run(read_end)
        await self._places.begin()
        self.epoch, self.position = head.epoch, head.position
        self._history.begin(last)
        unified_event_manager.writer.publisher.listen(self._from_publisher)
        for work in (self._follow(), self._listen(), self._beat(), self._places.keep()):
            self._tasks.append(asyncio.create_task(work))

    async def stop(self) -> None:
        """End all streams ("reconnect elsewhere") and stop. Streams that would open now are refused."""
        if self.stopping:  # told by a signal already
            return
        self.stopping = True
        self._close_all("server_stopping")
        if self._tasks:
            unified_event_manager.writer.publisher.unlisten(self._from_publisher)
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        await self._places.end()
        self._reader.stop()
        self._resumers.stop()

    async def identify(self, credential: Credential) -> Identity:
        """Who opens a stream. `reserve` at once, so that no change of their access goes unseen. Raises Busy."""
        if self._resumers.unfinished >= MAX_WAITING:
            raise Busy
        for _ in range(MAX_LOOKS):
            seen = self._watch.changes
            identity = await self._resumers.run(credential.identify)
            if self._watch.is_signed_out(credential):
                return Identity("", "", frozenset())
            if not self._watch.has_changed(identity, seen):
                return identity
        raise Busy

    def reserve(self, client: Client) -> bool:
        """Take one of the user's places for a stream that is about to open; `leave` gives it back. False if none is free."""
        if self.stopping or not self._places.reserve(client):
            return False
        self._open.add(client)
        stats.connected(1)
        return True

    async def confirm(self, client: Client) -> bool:
        """Whether the place that was reserved is free in all processes together."""
        return await self._places.confirm(client)

    async def join(self, client: Client, cursor: Cursor | None) -> None:
        """Greet a client, send what it missed since the cursor, and make it live: all of it or, told as `gap`, none."""
        try:
            await self._join(client, cursor)
        except OSError:  # it is gone already; the server says so in its own time
            client.closed = True
        except Exception:  # the journal can't be read, or the connection written to: the client comes again
            stats.count("hub_errors")
            logger.exception("A stream of user %s could not be opened", client.user_id)
            client.close("connection_expired")

    async def _join(self, client: Client, cursor: Cursor | None) -> None:
        start, outcome = await self._place(cursor)
        client.position = start.position
        await client.send(client.wire.opened(outcome, start, settings().SSE_KEEPALIVE_TIMEOUT))
        while client.position < self.position and not client.closed:
            await self._catch_up(client, start.epoch)
        # No await between the last look at the position and this: nothing can be published unseen.
        if client.closed or start.epoch != self.epoch:
            client.close("epoch_changed")
            return
        client.silent_since = time.monotonic()
        client.expires = client.silent_since + settings().SSE_MAX_CONNECTION_AGE * random.uniform(0.9, 1.1)  # noqa: S311
        client.live = True
        self._clients.add(client)

    def leave(self, client: Client) -> None:
        """Forget a client whose connection is over."""
        client.end()
        self._open.discard(client)
        self._clients.discard(client)
        self._places.give_back(client)
        stats.connected(-1)

    async def _place(self, cursor: Cursor | None) -> tuple[Cursor, str]:
        """Where a client starts, and what that is called."""
        if cursor is None:
            return Cursor(self.epoch, self.position), "fresh"
        head = await self._resumers.run(journal.read_head)
        kept = head.epoch == cursor.epoch and head.pruned <= cursor.position <= head.position
        if not kept or head.position - cursor.position > settings().RESUME_MAX_EVENTS:
            return Cursor(self.epoch, self.position), "gap"
        # Another server may have told the client of more than this one has heard of yet.
        while self.epoch == cursor.epoch and self.position < cursor.position:
            await self._read_on()
        return cursor, "resumed"

    async def _catch_up(self, client: Client, epoch: str) -> None:
        """Send one page of what a client has missed."""
        read = partial(journal.read, client.position, PAGE, until=self.position, audiences=client.audiences)
        until = self.position
        events = await self._resumers.run(read)
        head = await self._resumers.run(journal.read_head)
        if head.epoch != epoch or head.pruned > client.position:
            client.close("epoch_changed")  # pruned under our feet: the client comes again and is told of the gap
            return
        wanted = [event for event in events if client.filter.matches(event.event_type, event.category, event.priority)]
        if wanted:
            await client.send(client.wire.events(epoch, wanted))
        client.position = events[-1].position if len(events) == PAGE else until

    def _from_publisher(self, batch: Batch) -> None:
        """Called in the publisher's thread."""
        self._arrived.append(batch)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._receive)

    def _receive(self) -> None:
        """Deliver what has arrived and follows on what was delivered, in one go: while many batches come, each connection is
        written to once for all of them. Of a batch that leaves a gap only note that there is more."""
        position, events = self.position, []
        while self._arrived:
            batch = self._arrived.popleft()
            if not batch.epoch:
                events += batch.events
            elif batch.epoch == self.epoch and batch.events and batch.events[0].position <= position + 1:
                if batch.events[0].position <= position:  # late, or of a journal that was restored
                    self._history.mark()
                if batch.last > position:
                    events += batch.events[position + 1 - batch.events[0].position :]
                    position = batch.last
                    self._history.went_on(batch.events[-1])
            elif batch.epoch != self.epoch or batch.last > position:
                self._behind.set()
        if events:
            self._deliver(events)
        self.position = position

    async def _follow(self) -> None:
        """Keep up with the journal: at once after a gap, and once in a poll interval in any case."""
        while True:
            try:
                await self._read_on()
            except Exception:  # whatever happens here must not end delivery: log, count, look again
                stats.count("hub_errors")
                logger.exception("The hub can't read the journal; trying again within %s s", settings().POLL_INTERVAL)
            try:
                async with asyncio.timeout(settings().POLL_INTERVAL):
                    await self._behind.wait()
            except TimeoutError:
                pass

    async def _read_on(self) -> None:
        self._behind.clear()
        before = self.epoch, self.position  # while the head is read, batches go on arriving: it may be older than they are
        head, is_same = await self._history.look(self._reader.run)
        if self.epoch != before[0]:  # somebody else looked meanwhile
            return
        if head.epoch == self.epoch and (not is_same or head.position < before[1]):
            await self._reader.run(partial(journal.replace_epoch, head.epoch))
            await self._begin_anew("The journal was restored", before[0])
        elif head.epoch != self.epoch:
            await self._begin_anew("The journal was lost or restored", before[0])
        while self.position < head.position and self.epoch == head.epoch:
            after = self.position
            events = await self._reader.run(partial(journal.read, after, PAGE))
            if not events or events[0].position > after + 1:
                await self._begin_anew("The journal was pruned past what was delivered", head.epoch)
                return
            # What the publisher or the doorbell brought meanwhile has been delivered.
            self._deliver([event for event in events if event.position > self.position])
            if events[-1].position > self.position:
                self.position = events[-1].position
                self._history.went_on(events[-1])

    def _close_all(self, reason: str) -> None:
        for client in list(self._open):
            self._close(client, reason)

    def _close(self, client: Client, reason: str) -> None:
        self._clients.discard(client)
        client.close(reason)

    async def _begin_anew(self, why: str, epoch: str) -> None:
        """Nothing that clients have leads on to what comes now. Does nothing if that was found out already in this epoch."""
        head, last = await self._reader.run(read_end)
        if self.epoch == epoch:
            logger.warning("%s; clients start anew in epoch %s", why, head.epoch)
            self.epoch, self.position = head.epoch, head.position
            self._history.begin(last)
            self._close_all("epoch_changed")

    async def _listen(self) -> None:
        """Hear the doorbells of other processes."""
        while (layer := shared_layer()) is not None:
            channel = None
            try:
                channel = await layer.new_channel()
                await layer.group_add(GROUP, channel)
                self._behind.set()  # what rang while nobody listened
                while True:
                    self._hear(await layer.receive(channel))
            except Exception:  # Redis gone: log, count, listen again
                stats.count("hub_errors")
                logger.exception("The hub does not hear the doorbell; it reads the journal each %s s", settings().POLL_INTERVAL)
                await asyncio.sleep(settings().POLL_INTERVAL)
            finally:
                if channel is not None:
                    with suppress(OSError, RedisError):
                        await layer.group_discard(GROUP, channel)

    def _hear(self, message: dict[str, Any]) -> None:
        try:
            if message["sender"] != PROCESS:
                self._arrived.append(Batch.from_message(message))
                self._receive()
        except (KeyError, TypeError):  # rung by another version of this program
            stats.count("hub_errors")
            self._behind.set()

    async def _beat(self) -> None:
        """Give a sign of life to clients that heard nothing for a while."""
        while True:
            await asyncio.sleep(min(HEARTBEAT_TICK, settings().SSE_KEEPALIVE_TIMEOUT / 2))
            now = time.monotonic()
            cursor = Cursor(self.epoch, self.position)
            for client in self._clients.all():
                if now >= client.expires:
                    self._close(client, "connection_expired")
                elif now - client.silent_since >= settings().SSE_KEEPALIVE_TIMEOUT:
                    self._push(client, client.wire.heartbeat(cursor, moved=client.position < self.position), now)
                    client.position = self.position

    def _deliver(self, events: Sequence[Published]) -> None:
        """Write events to the clients that may see and want them: each client once, each wire format encoded once."""
        now = time.monotonic()
        parcels: dict[Client, list[Message]] = {}
        for audience, run in groupby(events, key=lambda event: event.audience):
            run_events = list(run)
            if audience == HUBS:
                self._watch.changed(run_events)
            for group in self._clients.groups(audience):
                wanted = [e for e in run_events if group.filter.matches(e.event_type, e.category, e.priority)]
                if wanted:
                    messages = group.wire.events(self.epoch, wanted)
                    for client in group.clients:
                        parcels.setdefault(client, []).extend(messages)
                        client.position = wanted[-1].position or client.position
        for client, messages in parcels.items():
            self._push(client, messages, now)

    def _push(self, client: Client, messages: Sequence[Message], now: float) -> None:
        client.silent_since = now
        if not client.closed and not client.push(messages):
            self._close(client, "slow_consumer")


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


def get_hub() -> Hub:
    """The hub of the event loop that runs: one a server process."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = Hub()
    return hub
