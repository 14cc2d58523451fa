"""Servers are restarted one after the other, as a deployment does it, while events flow and requests come in."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx
import pytest

from tests.support.faults.scene import IS_FULL, Scene
from tests.support.server import PROGRAMS, Program, Servers
from tests.support.streams import PLAIN


class Poster:
    """Emits through the servers' API, by whichever server answers. `ids` are the events that a server said it had stored."""

    def __init__(self, scene: Scene) -> None:
        self.ids: list[str] = []
        self._urls = [f"{url}/api/events/" for url in scene.urls]
        self._headers = {"Authorization": f"Token {scene.servers[0].accounts['admin'].token}"}
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with httpx.AsyncClient(headers=self._headers, timeout=10, **PLAIN) as http:
            while True:
                for url in self._urls:
                    with suppress(httpx.TransportError):  # it is being restarted
                        answer = await http.post(url, json={"type": "fault.posted"})
                        if answer.status_code == 201:
                            self.ids += answer.json()["ids"]
                    await asyncio.sleep(0.01)

    async def stop(self) -> list[str]:
        """Emit no more. The ids."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()
        return self.ids


@pytest.mark.once
@pytest.mark.parametrize("program", PROGRAMS if IS_FULL else PROGRAMS[:1])
async def test_servers_are_restarted_in_turn(serve: Servers, program: Program) -> None:
    scene = Scene(serve, program=program, redis=True)
    for server in scene.servers:
        server.errors_expected = False  # a deployment is no fault
    async with scene.flow(f"rolling restart, {program}") as flow:
        poster = Poster(scene)
        for server in scene.servers:
            await asyncio.to_thread(server.stop)
            before = flow.clients[0].received
            await flow.received(before + 10)
            await asyncio.to_thread(server.start)
            await flow.keeps_up()
        flow.over()
        flow.emitted.append({"committed": await poster.stop(), "rolled_back": [], "unknown": []})
    assert len(poster.ids) > 20
    reasons = {client.name: set(client.closes) for client in flow.clients if not client.restless}
    if program == "uvicorn":  # Daphne tells nobody that it stops, Granian's worker may be killed before the word is out
        assert all(told == {"server_stopping"} for told in reasons.values()), reasons
    assert {span.outcome for client in flow.clients for span in client.spans} == {"fresh"}
