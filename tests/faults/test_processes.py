"""Processes die, transactions roll back and overlap, clients come and go."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.support.faults.scene import EVENTS, IS_FULL, RATE, Scene
from tests.support.remote import RemoteError
from tests.support.server import Servers

DIES_AFTER_THE_COMMIT = """
import os, signal, events
from django.db import transaction
from events.manager import unified_event_manager
from events.types import create_event
unified_event_manager.writer.publisher.publish_outbox = lambda: os.kill(os.getpid(), signal.SIGKILL)
with transaction.atomic():
    for event_id in ids:
        events.emit(create_event("realtime", "fault.kept", id=event_id))
"""


@pytest.fixture(scope="module")
def scene(serve_module: Servers) -> Scene:
    return Scene(serve_module, redis=True)


async def test_a_server_is_killed(scene: Scene) -> None:
    async with scene.flow("kill -9 of a server") as flow:
        await asyncio.to_thread(scene.servers[0].kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(scene.servers[0].start)
        flow.over()


async def test_an_emitter_is_killed_between_commit_and_publication(scene: Scene) -> None:
    async with scene.flow("kill -9 of an emitter") as flow:
        left = []
        for _ in range(3 if IS_FULL else 1):
            ids = [str(uuid.uuid4()) for _ in range(3)]
            dies = scene.servers[0].process(EVENTS_POLL_INTERVAL="60")
            with pytest.raises(RemoteError):
                await asyncio.to_thread(dies.run, DIES_AFTER_THE_COMMIT, ids=ids)
            dies.kill()
            left += ids
        busy = scene.servers[1].process()
        await asyncio.to_thread(busy.call, "tests.support.faults.emitting.start", EVENTS, RATE, scene.users)
        await asyncio.sleep(0.3)
        busy.kill()
        flow.over()
        flow.emitted.append({"committed": left, "rolled_back": [], "unknown": []})


async def test_clients_reconnect_all_the_time(scene: Scene) -> None:
    clients = [
        scene.client(user, transport, first=first, restless=restless * max(1, EVENTS // 500))
        for user, transport, first, restless in (
            ("alice", "sse", 0, 9), ("alice", "websocket", 1, 13), ("bob", "sse", 1, 20), ("admin", "websocket", 0, 25)
        )
    ]  # fmt: skip
    async with scene.flow("clients reconnect all the time", clients):
        pass
    assert all(client.connects > 1 for client in clients)


async def test_transactions_commit_in_another_order_than_they_began(scene: Scene) -> None:
    if scene.database == "SQLite":
        pytest.skip("SQLite has one writer: transactions can't overlap")
    async with scene.flow("transactions overlap", threads=6, hold=0.05) as flow:
        pass
    flow.assert_unbroken()
