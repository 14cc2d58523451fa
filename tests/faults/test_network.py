"""A TCP path stalls in one direction: then it goes on, is cut, or neither."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from tests.support.faults.clients import SILENCE
from tests.support.faults.proxy import Proxy
from tests.support.faults.scene import Scene
from tests.support.server import Servers
from tests.support.streams import Transport
from tests.support.waiting import await_for


@pytest.fixture(scope="module")
def scene(serve_module: Servers) -> Scene:
    return Scene(serve_module, redis=True)


async def test_the_path_to_a_client_stalls(scene: Scene) -> None:
    transports: list[Transport] = ["sse", "websocket"]
    port = scene.servers[0].port
    async with Proxy(port) as goes_on, Proxy(port) as is_cut, Proxy(port) as neither:
        ways = {path: [path.through(scene.urls[0])] for path in (goes_on, is_cut)}
        ways[neither] = [neither.through(scene.urls[0]), scene.urls[1]]
        clients = [scene.client("alice", transport, urls=urls) for urls in ways.values() for transport in transports]
        async with scene.flow("path to a client stalls", clients) as flow:
            for path in ways:
                path.stall("down")
            await asyncio.sleep(SILENCE / 2)
            goes_on.flow()
            is_cut.cut()
            await asyncio.sleep(SILENCE)
            flow.over()
        assert [client.connects for client in clients] == [1, 1, 2, 2, 2, 2]


async def test_the_answer_to_a_commit_is_lost(scene: Scene) -> None:
    """What was committed and not acknowledged is written again by who can't know, and must not be there twice."""
    if scene.database == "SQLite":
        pytest.skip("SQLite is not behind a TCP path")
    url = scene.servers[0].env["DATABASE_URL"]
    async with Proxy(urlsplit(url).port or 5432) as path:
        with scene.servers[0].process(DATABASE_URL=path.through(url)) as emitter:
            usual, scene.emitter = scene.emitter, emitter
            try:
                async with scene.flow("answers to commits lost") as flow:
                    for _ in range(8):
                        path.stall_at = b"COMMIT"
                        await await_for(lambda: path.is_stalled, "a commit")
                        await asyncio.sleep(0.05)
                        path.cut()
                    flow.over()
            finally:
                scene.emitter = usual
    flow.assert_unbroken()
    assert flow.emitted[0]["unknown"] == [], "an event was stored, and its emitter told that it was not"
