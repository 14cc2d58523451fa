"""Brings published events to the clients of one server process: opens their streams, sends what they missed, writes what comes."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

from events import background, journal
from events.access import HUBS
from events.batch import Published
from events.conf import settings
from events.cursor import Cursor
from events.delivery.authentication import Credential, Identity
from events.delivery.client import Client
from events.delivery.feed import PAGE, Feed
from events.delivery.frames import Message
from events.delivery.index import ClientIndex
from events.delivery.places import Places
from events.delivery.threads import DatabaseThreads
from events.delivery.watch import AccessWatch
from events.journal import Head
from events.stats import stats

logger = logging.getLogger("events.hub")

HEARTBEAT_TICK = 1.0
# Streams that may wait for the database while they open or resume; further ones are told to come again.
MAX_WAITING = 1_000
# How often it is looked up whose a stream is, where that goes on changing meanwhile.
MAX_LOOKS = 5


class Busy(Exception):
    """Many streams wait to be opened or to resume: come again later."""


class Hub:
    """The clients of one event loop, and the feed that they are written from."""

    def __init__(self) -> None:
        self.stopping = False
        self._feed = Feed(self._deliver, partial(self._close_all, "epoch_changed"))
        self._clients = ClientIndex()
        self._open: set[Client] = set()
        self._started: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        # One, and it rests, for clients that open and resume: a storm of them must take neither the database nor Python from others.
        self._resumers = DatabaseThreads("events-resume", 1, rest=1.0)
        self._head: asyncio.Future[Head] | None = None
        # For what must not wait behind them: the lease of this process, and streams whose access ends.
        self._keepers = DatabaseThreads("events-hub", 1)
        self._places = Places(self._resumers, self._keepers)
        self._watch = AccessWatch(self._open, self._close, self._keepers)

    async def start(self) -> None:
        """Begin at the journal's end and keep up from there. Doing it again waits for the first time to be done."""
        failed = self._started is not None and self._started.done() and self._started.exception() is not None
        if self._started is None or failed:
            self._started = asyncio.ensure_future(self._start())
        await asyncio.shield(self._started)

    async def _start(self) -> None:
        background.start_services()
        await self._places.begin()
        await self._feed.start()
        self._tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._places.keep())]

    async def stop(self) -> None:
        """End all streams ("reconnect elsewhere") and stop. Streams that would open now are refused."""
        if self.stopping:  # told by a signal already
            return
        self.stopping = True
        self._close_all("server_stopping")
        self._feed.stop()
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        await self._places.end()
        self._resumers.stop()
        self._keepers.stop()

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
        except TimeoutError:
            client.close("slow_consumer")
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
        while client.position < self._feed.position and not client.closed:
            await self._catch_up(client, start.epoch)
        # No await between the last look at the position and this: nothing can be published unseen.
        if client.closed or start.epoch != self._feed.epoch:
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
            return self._feed.cursor, "fresh"
        head = await self._read_head()
        kept = head.epoch == cursor.epoch and head.pruned <= cursor.position <= head.position
        if not kept or head.position - cursor.position > settings().RESUME_MAX_EVENTS:
            return self._feed.cursor, "gap"
        # Another server may have told the client of more than this one has heard of yet.
        if self._feed.position < cursor.position:
            await self._feed.read_on()
            if self._feed.position < cursor.position:  # the journal was restored meanwhile
                return self._feed.cursor, "gap"
        return cursor, "resumed"

    async def _catch_up(self, client: Client, epoch: str) -> None:
        """Send one page of what a client has missed."""
        known = self._feed.recent.after(client.position, PAGE) if epoch == self._feed.epoch else None
        if known:
            until, events = known[-1].position, [event for event in known if event.audience in client.audiences]
        else:
            until = self._feed.position
            read = partial(journal.read, client.position, PAGE, until=until, audiences=client.audiences)
            events = await self._resumers.run(read)
            head = await self._read_head()
            if head.epoch != epoch or head.pruned > client.position:
                client.close("epoch_changed")  # pruned under our feet: the client comes again and is told of the gap
                return
            until = events[-1].position if len(events) == PAGE else until
        wanted = [event for event in events if client.filter.matches(event.event_type, event.category, event.priority)]
        if wanted:
            await client.send(client.wire.events(epoch, wanted))
        client.position = until

    async def _read_head(self) -> Head:
        """The journal's state now. Who asks while others wait for it gets what they get."""
        head = self._head  # once: the thread sets it to None
        if head is None or head.done():  # done, where the thread could not even begin
            head = self._head = asyncio.ensure_future(self._resumers.run(self._begin_to_read_head))
        return await asyncio.shield(head)

    def _begin_to_read_head(self) -> Head:
        self._head = None  # called in a thread: who asks from now on would be told of the past
        return journal.read_head()

    def _close_all(self, reason: str) -> None:
        for client in list(self._open):
            self._close(client, reason)

    def _close(self, client: Client, reason: str) -> None:
        self._clients.discard(client)
        client.close(reason)

    async def _beat(self) -> None:
        """Give a sign of life to clients that heard nothing for a while."""
        while True:
            await asyncio.sleep(min(HEARTBEAT_TICK, settings().SSE_KEEPALIVE_TIMEOUT / 2))
            now = time.monotonic()
            cursor = self._feed.cursor
            for client in self._clients.all():
                if now >= client.expires:
                    self._close(client, "connection_expired")
                elif now - client.silent_since >= settings().SSE_KEEPALIVE_TIMEOUT:
                    self._push(client, client.wire.heartbeat(cursor, moved=client.position < self._feed.position), now)
                    client.position = self._feed.position

    def _deliver(self, events: Sequence[Published]) -> None:
        """Write events to the clients that may see and want them: each client once, each wire format encoded once."""
        now = time.monotonic()
        parcels = list(self._parcels(events))
        if len(parcels) > 1:  # some clients may get several
            merged: dict[Client, list[Message]] = {}
            for messages, clients in parcels:
                for client in clients:
                    merged.setdefault(client, []).extend(messages)
            parcels = [(messages, [client]) for client, messages in merged.items()]
        for messages, clients in parcels:
            for client in clients:
                self._push(client, messages, now)

    def _parcels(self, events: Sequence[Published]) -> Iterator[tuple[list[Message], list[Client]]]:
        """Messages and whom they are for: for each run of events with one audience, each group of clients that wants some of it."""
        for audience, run in groupby(events, key=lambda event: event.audience):
            run_events = list(run)
            if audience == HUBS:
                self._watch.changed(run_events)
            for group in self._clients.groups(audience):
                wanted = [e for e in run_events if group.filter.matches(e.event_type, e.category, e.priority)]
                if wanted:
                    clients = list(group.clients)
                    if position := wanted[-1].position:
                        for client in clients:
                            client.position = position
                    yield group.wire.events(self._feed.epoch, wanted), clients

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
