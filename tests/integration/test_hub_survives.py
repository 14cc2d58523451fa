"""The hub outlives what connections, clients and other processes do wrong, and lets go of what they leave."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import redis
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections

from events import aemit, get_event_stats
from events.access import EVERYONE
from events.delivery.client import Client
from events.delivery.consumers import SseConsumer, WebSocketConsumer
from events.delivery.frames import SseWire
from events.delivery.hub import Hub, get_hub
from events.filters import EventFilter
from tests.support.seed import new_session
from tests.support.server import PROGRAMS, Program, Server, Servers
from tests.support.streams import Refused, Stream, Transport
from tests.support.waiting import await_for

TRUSTED = "https://app.example.com"

LOSE_THE_JOURNAL = "from events.models import *\nJournalHead.objects.all().delete()"

# What the doorbell's messages may become, or have been.
OTHER_VERSIONS: list[dict[str, Any]] = [
    {"version": 2},
    {"sender": "another", "epoch": "0123456789ab"},
    {"sender": "another", "epoch": "0123456789ab", "last": "seven", "events": None},
    {"sender": "another", "epoch": "", "last": 0, "events": [[1, "document.uploaded", "realtime"]]},
    {"sender": "another", "epoch": "", "last": 0, "events": [{"position": 1, "type": "document.uploaded"}]},
]
RING = """
import asyncio
from channels.layers import get_channel_layer
from events.doorbell import GROUP

async def ring():
    for message in messages:
        await get_channel_layer().group_send(GROUP, {"type": "events.published"} | message)

asyncio.run(ring())
"""

FLOOD = """
import events
from django.db import transaction
with transaction.atomic():
    for number in range(300):
        events.emit("flood.drop", {"n": number, "pad": "x" * 60_000})
"""


@pytest.fixture(scope="module")
def server(serve_module: Servers) -> Server:
    """It hears of events through Redis alone."""
    return serve_module(redis=True, EVENTS_POLL_INTERVAL="60", CSRF_TRUSTED_ORIGINS=TRUSTED)


@pytest.fixture
async def hub(transactional_db: None, settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    """The hub of the test's own event loop."""
    settings.EVENTS = {"POLL_INTERVAL": 0.01, "SSE_KEEPALIVE_TIMEOUT": 0.1, "SSE_MAX_CONNECTIONS_PER_USER": 1}
    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", 0)  # its threads end before the database does
    hub = get_hub()
    await hub.start()
    yield hub
    await hub.stop()


# Connections that can't be written to


class Connection:
    """A server's connection to a client, which can break."""

    def __init__(self, number: int) -> None:
        self.text = ""
        self.ended = False
        self.breaks: str | None = None
        self.client = Client(self.send, self.end, SseWire(), str(number), frozenset({EVERYONE}), EventFilter())

    async def send(self, message: dict[str, Any]) -> None:
        if self.breaks == "later":
            await asyncio.sleep(0)
        if self.breaks:
            raise RuntimeError("Unexpected ASGI message, after the response was completed")
        self.text += message["body"].decode()

    def end(self) -> None:
        self.ended = True

    @property
    def numbers(self) -> list[int]:
        """What the events that came hold."""
        return [int(number) for number in re.findall(r'"n":(\d+)', self.text)]


async def join(hub: Hub) -> tuple[Connection, list[Connection]]:
    """Nine live clients: one of them, and the others."""
    joined = [Connection(number) for number in range(9)]
    for connection in joined:
        assert hub.reserve(connection.client)
        await hub.join(connection.client, None)
    return joined.pop(4), joined


@pytest.mark.parametrize("breaks", ["at once", "later"])
async def test_a_connection_that_breaks_keeps_no_event_from_others_and_repeats_none(hub: Hub, breaks: str) -> None:
    broken, others = await join(hub)
    broken.breaks = breaks
    for number in range(3):
        assert await aemit("document.uploaded", {"n": number}) is True
    await await_for(lambda: all(2 in other.numbers for other in others), "the last event to reach the others")
    assert [other.numbers for other in others] == [[0, 1, 2]] * 8
    assert broken.ended
    assert not any(other.ended for other in others)


async def test_a_connection_that_breaks_at_a_heartbeat_keeps_none_from_others(hub: Hub) -> None:
    broken, others = await join(hub)
    broken.breaks = "at once"
    await await_for(lambda: all(other.text.count(": heartbeat\n") >= 2 for other in others), "two heartbeats for the others")
    assert broken.ended


async def test_a_look_at_the_journal_while_events_are_published_ends_no_stream(hub: Hub) -> None:
    _, others = await join(hub)
    for number in range(200):
        assert await aemit("document.uploaded", {"n": number}) is True
    await await_for(lambda: all(199 in other.numbers for other in others), "the last event to reach all")
    assert [other.numbers for other in others] == [list(range(200))] * 8
    assert not any("stream:close" in other.text for other in others)


# Clients that leave


class Unread:
    """A connection of a session whose client does not read what it missed, as the ASGI consumer of a stream sees it."""

    def __init__(self, session: str, transport: Transport, cursor: str = "") -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[str] = []
        self.is_full = asyncio.Event()
        self._is_sse = transport == "sse"
        headers = [(b"cookie", f"sessionid={session}".encode())]
        scope = {"headers": headers, "query_string": f"cursor={cursor}".encode() if cursor else b""}
        if self._is_sse:
            consumer, scope = SseConsumer.as_asgi(), scope | {"type": "http", "method": "GET"}
        else:
            consumer, scope = WebSocketConsumer.as_asgi(), scope | {"type": "websocket"}
        self.inbox.put_nowait({"type": "http.request"} if self._is_sse else {"type": "websocket.connect"})
        self.task = asyncio.create_task(consumer(scope, self.inbox.get, self.send))

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message.get("text") or message.get("body", b"").decode())
        if "document.missed" in self.sent[-1]:
            self.is_full.set()
            await asyncio.Event().wait()

    async def opened(self) -> None:
        """Wait for the greeting."""
        await await_for(lambda: any('"stream":"open"' in text for text in self.sent), f"the greeting and not {self.sent}")

    async def leave(self) -> None:
        """The client goes, and the consumer is told."""
        self.inbox.put_nowait({"type": "http.disconnect"} if self._is_sse else {"type": "websocket.disconnect", "code": 1001})
        await asyncio.wait_for(self.task, 5)


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_a_client_that_leaves_while_it_catches_up_gives_its_place_back_at_once(hub: Hub, transport: Transport) -> None:
    user = await sync_to_async(User.objects.create_user)("alice")
    session = await sync_to_async(new_session)(user.pk)
    cursor = str(hub._feed.cursor)
    assert await aemit("document.missed") is True
    client = Unread(session, transport, cursor)
    await asyncio.wait_for(client.is_full.wait(), 5)
    assert get_event_stats()["connections"] == 1
    await client.leave()
    assert get_event_stats()["connections"] == 0
    follower = Unread(session, transport)  # one place is all there is
    await follower.opened()
    await follower.leave()


# Messages of other versions


def subscriptions(server: Server) -> set[bytes]:
    """The Redis channels that the server listens on."""
    with redis.Redis.from_url(server.env["REDIS_URL"]) as client:
        return set(client.pubsub_channels(f"{server.env['REDIS_PREFIX']}*"))


async def test_a_doorbell_of_another_version_is_passed_over(server: Server) -> None:
    async with server.sse("alice") as stream:
        server.emit("doorbell.first")
        assert (await stream.event())["type"] == "doorbell.first"
        before = subscriptions(server)
        server.other.run(RING, messages=OTHER_VERSIONS)
        server.emit("doorbell.second")
        assert (await stream.event())["type"] == "doorbell.second"
        server.emit("doorbell.third")
        assert (await stream.event())["type"] == "doorbell.third"
        assert subscriptions(server) == before != set()


# Origins


async def test_a_websocket_opens_for_pages_of_its_own_and_of_trusted_origins(server: Server) -> None:
    for origin in (server.url, TRUSTED, ""):
        async with server.websocket("alice", origin=origin) as stream:
            assert stream.opened["outcome"] == "fresh"


@pytest.mark.parametrize(
    "origin",
    ["http://127.0.0.1:1", "http://127.0.0.1", "http://app.example.com", f"{TRUSTED}:8443", "http://evil.example", "null"],
)
async def test_a_websocket_that_a_page_of_another_origin_opens_is_refused(server: Server, origin: str) -> None:
    with pytest.raises(Refused) as caught:
        async with server.websocket("alice", origin=origin):
            pass
    assert caught.value.status == 403


# A journal that was lost, and a server that is told to stop


@pytest.mark.parametrize("program", ["uvicorn", "daphne"])
async def test_each_client_is_told_of_a_new_epoch_and_ended(serve: Servers, program: Program) -> None:
    server = serve(program, EVENTS_POLL_INTERVAL="0.1")

    async def told(stream: Stream) -> tuple[str, int | None]:
        return (await stream.close_frame())["reason"], await stream.ended()

    async with AsyncExitStack() as stack:
        sse = [await stack.enter_async_context(server.sse("alice")) for _ in range(4)]
        websockets = [await stack.enter_async_context(server.websocket("bob")) for _ in range(4)]
        server.other.run(LOSE_THE_JOURNAL)
        assert await asyncio.gather(*map(told, sse)) == [("epoch_changed", None)] * 4
        assert await asyncio.gather(*map(told, websockets)) == [("epoch_changed", 4002)] * 4


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_websocket_whose_time_is_up_is_closed_on_every_server(serve: Servers, program: Program) -> None:
    async with serve(program, EVENTS_SSE_MAX_CONNECTION_AGE="0.5").websocket("alice") as stream:
        assert (await stream.close_frame())["reason"] == "connection_expired"
        assert await stream.ended() == 4001


def request(server: Server, transport: Transport, cursor: str) -> bytes:
    path = "/events/stream" if transport == "sse" else "/ws/events/"
    lines = [f"GET {path}?cursor={cursor} HTTP/1.1", "Host: 127.0.0.1", f"Cookie: sessionid={server.accounts['alice'].session}"]
    if transport == "websocket":
        lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        lines.append(f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def unread_flood(server: Server, transport: Transport, cursor: str) -> AsyncIterator[None]:
    """A client that opened its stream and reads the first of what it missed, and no more."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
    try:
        writer.write(request(server, transport, cursor))
        await asyncio.wait_for(reader.readuntil(b"flood.drop"), 10)
        yield
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


# Not SSE on Granian: no application can end a response there that the client does not take (hence its --workers-kill-timeout).
@pytest.mark.once
@pytest.mark.parametrize(
    ("program", "transports"),
    [("uvicorn", ["sse", "websocket"]), ("granian", ["websocket"])],
    ids=["uvicorn", "granian"],
)
async def test_a_server_ends_though_clients_that_catch_up_do_not_read(
    serve: Servers, program: Program, transports: list[Transport]
) -> None:
    server = serve(program, EVENTS_POLL_INTERVAL="0.05")
    async with server.sse("bob", types="flood.over") as stream:
        cursor = stream.cursor
        assert cursor
        server.other.run(FLOOD)
        server.emit("flood.over")
        await stream.event()
    async with AsyncExitStack() as stack:
        for transport in transports:
            await stack.enter_async_context(unread_flood(server, transport, cursor))
        started = time.monotonic()
        await asyncio.to_thread(server.stop, signal.SIGTERM, 20)
        assert time.monotonic() - started < 8
