"""Redis is away: what emitters get, and what a server says in its log."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import Databases, base_environment
from tests.support.remote import DjangoProcess
from tests.support.server import Server, Servers
from tests.support.services import OwnRedis
from tests.support.waiting import await_for

SILENT = "does not hear the doorbell"
BACK = "hears the doorbell again"
EMIT = """
import asyncio, events
from events.models import JournalEntry
answers = [events.emit("redis.away") for _ in range(20)]
async def emit():
    return [await events.aemit("redis.away") for _ in range(20)]
result = [answers + asyncio.run(emit()), JournalEntry.objects.filter(position__isnull=False).count()]
"""


def lines(server: Server, text: str) -> list[str]:
    """The lines of the server's log that hold the text."""
    return [line for line in server.log.splitlines() if text in line]


@pytest.mark.once
async def test_a_server_says_once_that_redis_is_away_and_once_that_it_is_back(own_redis: OwnRedis, serve: Servers) -> None:
    server = serve(redis=own_redis.url, EVENTS_POLL_INTERVAL="0.1")
    async with server.sse("alice") as stream:
        for outage in (1, 2):
            own_redis.kill()
            await await_for(lambda n=outage: len(lines(server, SILENT)) == n, "the server to say that Redis is away")
            for _ in range(3):
                server.emit("redis.away")
                await stream.event()  # found by a look at the journal
            own_redis.start()
            await await_for(lambda n=outage: len(lines(server, BACK)) == n, "the server to say that Redis is back")
            server.emit("redis.back")
            await stream.event()
    assert len(lines(server, SILENT)) == len(lines(server, BACK)) == 2
    assert "0.1 s" in lines(server, SILENT)[0]
    assert "Traceback" not in server.log


@pytest.fixture(params=["refuses", "answers nothing"])
def redis_in_trouble(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a Redis that takes no connection, or takes it and never answers."""
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        if request.param == "answers nothing":
            there.listen(100)
        yield f"redis://127.0.0.1:{there.getsockname()[1]}/0"


def test_who_emits_while_redis_is_away_is_told_that_it_is_stored(
    redis_in_trouble: str, databases: Databases, tmp_path: Path
) -> None:
    url = databases.create()
    env = base_environment() | {"DATABASE_URL": url, "REDIS_URL": redis_in_trouble, "VAR_DIR": str(tmp_path)}
    with DjangoProcess(env) as emitter:
        answers, stored = emitter.run(EMIT)
        emitter.kill()  # in good order it would give the doorbell five seconds to ring
    databases.drop(url)
    assert answers == [True] * 40
    assert stored == 40
