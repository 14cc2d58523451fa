"""What a server says in its log while Redis is away."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.server import Server, Servers
from tests.support.services import OwnRedis
from tests.support.waiting import await_for

SILENT = "does not hear the doorbell"
BACK = "hears the doorbell again"


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
                await stream.event()
                await asyncio.sleep(0.2)  # two looks at the journal
            own_redis.start()
            await await_for(lambda n=outage: len(lines(server, BACK)) == n, "the server to say that Redis is back")
            server.emit("redis.back")
            await stream.event()
    assert len(lines(server, SILENT)) == len(lines(server, BACK)) == 2
    assert "0.1 s" in lines(server, SILENT)[0]
    assert "Traceback" not in server.log
