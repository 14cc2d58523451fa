"""The limit of streams a user holds over all processes, exactly, and a process that dies keeps no places."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from events.delivery.places import DELETION, EXPIRY
from tests.support.server import Server, Servers
from tests.support.streams import Refused, Transport

LIMIT = 4
FORGET = """
from datetime import timedelta
from django.db.models import F
from events.delivery import places
from events.models import HubLease, OpenStream
dead = HubLease.objects.order_by("seen_at").first()
HubLease.objects.filter(process=dead.process).update(seen_at=F("seen_at") - timedelta(seconds=age))
places._renew("another", [])
result = [model.objects.filter(process=dead.process).count() for model in (HubLease, OpenStream)]
"""
AGE = "from datetime import timedelta\nfrom django.db.models import F\nfrom events.models import *\n"


@pytest.fixture(params=["sse", "websocket"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return request.param


@pytest.fixture
def servers(serve: Servers) -> tuple[Server, Server]:
    first = serve(EVENTS_SSE_MAX_CONNECTIONS_PER_USER=LIMIT)
    return first, serve(like=first, EVENTS_SSE_MAX_CONNECTIONS_PER_USER=LIMIT)


async def try_to_open(stack: AsyncExitStack, server: Server, transport: Transport, user: str = "alice") -> int:
    """0 for a stream that is open now, else the status (or close code, less 4000) of the refusal."""
    try:
        await stack.enter_async_context(server.stream(transport, user))
    except Refused as refused:
        return refused.status % 4000
    return 0


async def answers(expected: int, server: Server, transport: Transport) -> None:
    """Wait until one more stream is answered like this. It is closed again."""
    async with asyncio.timeout(15):
        while True:
            async with AsyncExitStack() as stack:
                if await try_to_open(stack, server, transport) == expected:
                    return
            await asyncio.sleep(0.3)


async def test_many_that_open_at_once_in_two_processes_get_as_many_places_as_there_are(
    servers: tuple[Server, Server], transport: Transport
) -> None:
    async with AsyncExitStack() as stack:
        results = await asyncio.gather(*(try_to_open(stack, servers[n % 2], transport) for n in range(5 * LIMIT)))
        assert sorted(results) == [0] * LIMIT + [429] * 4 * LIMIT
        assert await try_to_open(stack, servers[0], transport, "bob") == 0


async def test_a_stream_that_closes_gives_its_place_to_the_other_process(
    servers: tuple[Server, Server], transport: Transport
) -> None:
    first, second = servers
    async with AsyncExitStack() as stack, AsyncExitStack() as closing:
        assert [await try_to_open(closing, first, transport) for _ in range(LIMIT)] == [0] * LIMIT
        assert await try_to_open(stack, second, transport) == 429

    await answers(0, second, transport)


async def test_a_process_that_was_killed_keeps_its_places_no_longer_than_its_lease(
    servers: tuple[Server, Server], transport: Transport
) -> None:
    first, second = servers
    async with AsyncExitStack() as stack:
        assert [await try_to_open(stack, first, transport) for _ in range(LIMIT)] == [0] * LIMIT
        first.kill()
        assert await try_to_open(stack, second, transport) == 429
        second.other.run(
            AGE + "HubLease.objects.update(seen_at=F('seen_at') - timedelta(seconds=age))", age=EXPIRY.total_seconds()
        )
        assert await try_to_open(stack, second, transport) == 0
    assert second.other.run(FORGET, age=DELETION.total_seconds()) == [0, 0]


async def test_a_process_that_was_taken_for_dead_tells_of_its_streams_again(servers: tuple[Server, Server]) -> None:
    first, second = servers
    async with AsyncExitStack() as stack:
        assert [await try_to_open(stack, first, "sse") for _ in range(LIMIT)] == [0] * LIMIT
        first.other.run("from events.models import *\nHubLease.objects.all().delete(); OpenStream.objects.all().delete()")
        await answers(429, second, "sse")


async def test_a_server_that_stops_leaves_no_places(servers: tuple[Server, Server], transport: Transport) -> None:
    first, second = servers
    async with AsyncExitStack() as stack:
        assert [await try_to_open(stack, first, transport) for _ in range(LIMIT)] == [0] * LIMIT
        await asyncio.to_thread(first.stop)
        assert await try_to_open(stack, second, transport) == 0
