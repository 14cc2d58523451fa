"""From one process's commit to another process's browsers: the journal, the outbox, the doorbell and the hub together."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.server import PROGRAMS, Program, Server, Servers
from tests.support.services import OwnRedis
from tests.support.streams import Refused, Transport
from tests.support.waiting import await_for

ROLLED_BACK = """
import events
from django.db import transaction
try:
    with transaction.atomic():
        events.emit("vanished.thing")
        with transaction.atomic():
            events.emit("vanished.too")
        raise RuntimeError
except RuntimeError:
    pass
with transaction.atomic():
    events.emit("kept.outer")
    try:
        with transaction.atomic():
            events.emit("vanished.savepoint")
            raise RuntimeError
    except RuntimeError:
        pass
"""

LATE_COMMIT = """
import threading, time, events
from django.db import connection, transaction
from events.models import JournalEntry
early, late = threading.Event(), threading.Event()
def slow():
    with transaction.atomic():
        events.emit("late.commit")
        early.set()
        late.wait(10)
    connection.close()
thread = threading.Thread(target=slow)
thread.start()
early.wait(10)
with transaction.atomic():
    events.emit("early.commit")
while not JournalEntry.objects.filter(event_type="early.commit", position__isnull=False).exists():
    time.sleep(0.01)
late.set()
thread.join()
"""


async def test_a_management_command_reaches_a_browser_without_redis(serve: Servers) -> None:
    server = serve()
    async with server.sse("alice") as stream:
        server.manage("emit_event", "report.ready", "--data", '{"rows": 3}')
        event = await stream.event()
    assert (event["type"], event["data"]) == ("report.ready", {"rows": 3})
    assert event["metadata"]["actor"] == {"type": "command", "id": None, "label": "emit_event"}


async def test_a_transaction_that_is_rolled_back_sends_nothing(serve: Servers) -> None:
    server = serve()
    async with server.sse("alice") as stream:
        server.other.run(ROLLED_BACK)
        server.emit("the.end")
        assert [event["type"] for event in await stream.events_until("the.end")] == ["kept.outer"]


async def test_what_commits_later_comes_later_though_it_was_written_first(serve: Servers) -> None:
    server = serve(EVENTS_POLL_INTERVAL="0.05")
    if not server.env["DATABASE_URL"].startswith("postgres"):
        pytest.skip("SQLite has one writer: transactions can't overlap")
    async with server.sse("alice") as stream:
        server.other.run(LATE_COMMIT)
        assert [event["type"] for event in await stream.events(2)] == ["early.commit", "late.commit"]


async def test_two_servers_deliver_what_either_emits_through_redis_without_polling(serve: Servers) -> None:
    first = serve(redis=True, EVENTS_POLL_INTERVAL="60")
    second = serve("granian", like=first, EVENTS_POLL_INTERVAL="60")
    async with first.sse("alice") as here, second.websocket("alice") as there:
        with first.client("admin", headers={"Authorization": f"Token {first.accounts['admin'].token}"}) as client:
            assert client.post("/api/events/", json={"type": "said.here"}).status_code == 201
        assert (await here.event())["type"] == "said.here"
        assert (await there.event())["type"] == "said.here"
        first.emit("said.elsewhere")
        assert (await here.event())["type"] == "said.elsewhere"
        assert (await there.event())["type"] == "said.elsewhere"


async def test_a_client_that_saw_more_than_its_new_server_gets_nothing_twice(serve: Servers) -> None:
    quick = serve(EVENTS_POLL_INTERVAL="0.05")
    slow = serve(like=quick, EVENTS_POLL_INTERVAL="3")
    async with quick.sse("alice") as stream:
        quick.emit("seen.already")
        await stream.event()
        cursor = stream.cursor
    async with slow.sse("alice", cursor=cursor) as stream:
        assert stream.opened["outcome"] == "resumed"
        quick.emit("new.one")
        assert (await stream.event())["type"] == "new.one"


async def test_a_redis_that_is_gone_delays_events_and_loses_none(serve: Servers, own_redis: OwnRedis) -> None:
    server = serve(redis=own_redis.url, EVENTS_POLL_INTERVAL="0.2")
    server.errors_expected = True
    async with server.sse("alice") as stream:
        server.emit("before.stop")
        assert (await stream.event())["type"] == "before.stop"
        own_redis.kill()
        for number in range(20):
            assert server.emit("while.gone", {"n": number})
        seen = await stream.events(20)
        own_redis.start()
        server.emit("after.start")
        assert (await stream.event())["type"] == "after.start"
    assert [event["data"]["n"] for event in seen] == list(range(20))


async def test_a_row_that_a_dead_process_left_in_the_outbox_is_published(serve: Servers) -> None:
    server = serve()
    async with server.sse("alice") as stream:
        died = server.process(EVENTS_POLL_INTERVAL="60")
        died.run("""
import os, events
from django.db import transaction
from events.manager import unified_event_manager
unified_event_manager.writer.publisher.publish_outbox = lambda: os._exit(9)
pid = os.fork()
if pid == 0:
    with transaction.atomic():
        events.emit("left.behind")
os.waitpid(pid, 0)
""")
        died.stop()
        assert (await stream.event())["type"] == "left.behind"


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_a_client_that_does_not_read_is_cut_off_and_loses_nothing(
    serve: Servers, program: Program, transport: Transport
) -> None:
    server = serve(program, EVENTS_SSE_QUEUE_MAXSIZE="5", EVENTS_POLL_INTERVAL="0.05")
    flood = "import events\nfor n in range(200): events.emit('flood.drop', {'n': n, 'pad': 'x' * 60_000})"
    async with unread_stream(server, transport) as (reader, cursor):
        with server.client("admin") as admin:
            connections = lambda: admin.get("/api/events/stats/").json()["connections"]  # noqa: E731
            assert connections() == 1
            server.other.run(flood)
            await await_for(lambda: connections() == 0, "the server to give the client up", timeout=20)
        async with asyncio.timeout(10):
            while await has_more(reader):
                pass
    async with server.stream(transport, "alice", cursor=cursor) as stream:
        assert stream.opened["outcome"] == "resumed"
        assert [event["data"]["n"] for event in await stream.events(200, timeout=20)] == list(range(200))


@asynccontextmanager
async def unread_stream(server: Server, transport: Transport) -> AsyncIterator[tuple[asyncio.StreamReader, str]]:
    """A stream of alice of which only the greeting is read. Its reader and its cursor."""
    request = [f"Host: 127.0.0.1\r\nCookie: sessionid={server.accounts['alice'].session}"]
    if transport == "websocket":
        request = ["GET /ws/events/ HTTP/1.1", *request, "Connection: Upgrade", "Upgrade: websocket"]
        request += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    else:
        request = ["GET /events/stream HTTP/1.1", *request]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**16)
    try:
        writer.write("\r\n".join([*request, "", ""]).encode())
        await reader.readuntil(b'"cursor":"')
        yield reader, (await reader.readuntil(b'"'))[:-1].decode()
    finally:
        writer.transport.abort()


async def has_more(reader: asyncio.StreamReader) -> bool:
    """Read what was under way. False once the connection is over, or a WebSocket's close frame came, which a client should answer."""
    try:
        data = await reader.read(2**16)
    except ConnectionError:
        return False
    return bool(data) and not data.endswith(b"\x88\x00")


async def test_a_journal_that_was_pruned_past_the_cursor_is_a_gap(serve: Servers) -> None:
    server = serve()
    async with server.sse("alice") as stream:
        cursor = stream.cursor
        for _ in range(3):
            server.emit("soon.old")
            await stream.event()
    server.manage("prune_events", "--older-than", "0")
    async with server.sse("alice", cursor=cursor) as stream:
        assert stream.opened["outcome"] == "gap"


async def test_a_lost_journal_begins_a_new_epoch_and_clients_start_anew(serve: Servers) -> None:
    server = serve(EVENTS_POLL_INTERVAL="0.2")
    async with server.sse("alice") as stream:
        server.emit("before.loss")
        await stream.event()
        before = stream.cursor
        lost = "from events.models import *\nJournalEntry.objects.all().delete()\nJournalHead.objects.all().delete()"
        server.other.run(lost)
        assert (await stream.close_frame())["reason"] == "epoch_changed"
    async with server.sse("alice", cursor=before) as stream:
        assert stream.opened["outcome"] == "gap"
        server.emit("after.loss")
        assert (await stream.event())["type"] == "after.loss"


@pytest.mark.once
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_a_server_that_is_told_to_stop_ends_its_streams_and_itself(
    serve: Servers, program: Program, how: signal.Signals
) -> None:
    server = serve(program)
    async with server.sse("alice") as sse, server.websocket("alice") as websocket:
        await asyncio.to_thread(server.stop, how, 10)  # 3 s is the bar on a quiet machine; one that is stuck raises here
        await sse.ended()
        await websocket.ended()
    with pytest.raises((Refused, OSError)):
        async with server.websocket("alice"):
            pass
