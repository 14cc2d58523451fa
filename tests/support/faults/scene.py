"""Two servers, a third process that emits, and clients: a flow of events during which a test lets something fail."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from events.access import EVERYONE, STAFF_CATEGORIES
from tests.support.faults.check import Row, check_client, check_journal, expected
from tests.support.faults.clients import HEARTBEAT, FaultClient
from tests.support.remote import DjangoProcess
from tests.support.server import Server, Servers
from tests.support.streams import Transport
from tests.support.waiting import await_for

# How many events each fault meets: few in `make test`, many in `make fault-test`.
EVENTS: Final = int(os.environ.get("FAULT_EVENTS", "80"))
IS_FULL: Final = "FAULT_EVENTS" in os.environ
RATE: Final = 1_500.0 if IS_FULL else 200.0
# How soon all must be up to date after the fault, on a machine that is busy with other things too.
WITHIN: Final = 15.0
# How soon a loss is found out where no stream ends.
FOUND_WITHIN: Final = 2.0 if IS_FULL else 5.0
EMITTING: Final = "tests.support.faults.emitting"
SETTINGS: Final = {"EVENTS_SSE_KEEPALIVE_TIMEOUT": HEARTBEAT, "EVENTS_SSE_MAX_CONNECTIONS_PER_USER": 100}


class Scene:
    """Two servers on one database, `emitter` beside them. `urls` are the ways to the servers that clients take."""

    def __init__(self, serve: Servers, **options: Any) -> None:
        first = serve(**(SETTINGS | options))
        self.servers: list[Server] = [first, serve(like=first, **{k: v for k, v in (SETTINGS | options).items() if k != "redis"})]
        for server in self.servers:
            server.errors_expected = True  # faults are logged
        self.emitter: DjangoProcess = first.other
        self.urls = [server.url for server in self.servers]
        self.database = "PostgreSQL" if first.env["DATABASE_URL"].startswith("postgres") else "SQLite"

    @property
    def users(self) -> list[str]:
        """The ids of alice and bob."""
        return [self.servers[0].accounts[name].id for name in ("alice", "bob")]

    def client(self, user: str, transport: Transport, *, first: int = 0, urls: Sequence[str] = (), **options: Any) -> FaultClient:
        """A client of that user that tries the servers in turn, beginning with that one."""
        account = self.servers[0].accounts[user]
        staff = {f"staff:{category}" for category in STAFF_CATEGORIES} if user == "admin" else set()
        ways = list(urls) or self.urls[first:] + self.urls[:first]
        name = f"{user} over {transport}{''.join(f', {k}={v}' for k, v in options.items())}"
        return FaultClient(name, transport, ways, account.session, frozenset({EVERYONE, f"user:{account.id}"} | staff), **options)

    def clients(self) -> list[FaultClient]:
        """One of each kind."""
        return [
            self.client("alice", "sse"),
            self.client("alice", "websocket", first=1),
            self.client("bob", "sse", first=1, types="fault.kept"),
            self.client("admin", "websocket"),
            self.client("bob", "websocket", restless=max(10, EVENTS // 20)),
            self.client("admin", "sse", first=1, restless=max(15, EVENTS // 15)),
        ]

    async def ask(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function of `tests.support.faults.emitting` in the emitter's process, and let the clients go on meanwhile."""
        return await asyncio.to_thread(self.emitter.call, f"{EMITTING}.{function}", *args, **kwargs)

    @asynccontextmanager
    async def flow(self, fault: str, clients: Sequence[FaultClient] | None = None, **options: Any) -> AsyncIterator[Flow]:
        """Events under way to the clients while the block runs. What was received is checked after it."""
        flow = Flow(self, fault, self.clients() if clients is None else clients)
        await flow.start(**options)
        try:
            yield flow
            await flow.finish()
        finally:
            await asyncio.gather(*(client.stop() for client in flow.clients if client.at_home.is_set()))


class Flow:
    """One run of events through a scene. `histories` are what the journal held, by epoch."""

    def __init__(self, scene: Scene, fault: str, clients: Sequence[FaultClient]) -> None:
        self.scene = scene
        self.fault = fault
        self.clients = list(clients)
        self.histories: dict[str, Sequence[Row]] = {}
        self.emitted: list[dict[str, Any]] = []
        self.within = WITHIN
        self._begun = 0
        self._over = 0.0

    async def start(self, events: int = 0, **options: Any) -> None:
        """Open the streams, begin to emit, and return when events flow."""
        for client in self.clients:
            client.start()
        await await_for(lambda: all(client.spans for client in self.clients), "all streams to open", WITHIN)
        self._begun = (await self.scene.ask("journal"))["head"][1]
        await self.scene.ask("start", events or EVENTS, RATE, self.scene.users, **options)
        await self.received((events or EVENTS) // 4)

    async def received(self, number: int) -> None:
        """Return when each client has received about so many events, or as many of them as are meant for it."""
        await await_for(lambda: min(c.received for c in self.clients if c.at_home.is_set()) >= number // 3, "events to flow", 60)

    def over(self) -> None:
        """The fault is over: from now on counts how long it takes until all are up to date."""
        self._over = time.monotonic()

    def assert_unbroken(self) -> None:
        """No stream of a client that stays ended: what was amiss was made up for on the open streams."""
        assert {c.name: (c.connects, c.closes) for c in self.clients if c.connects != 1 and not c.restless} == {}

    async def truth(self) -> list[Row]:
        """The journal, once its outbox is empty."""
        deadline = time.monotonic() + self.within
        while (state := await self.scene.ask("journal"))["waiting"]:
            assert time.monotonic() < deadline, f"{state['waiting']} events stay in the outbox"
            await asyncio.sleep(0.02)
        epoch, _, pruned = state["head"]
        gone = [row for row in self.histories.get(epoch, ()) if row.position <= pruned]
        self.histories[epoch] = rows = gone + [Row(*row) for row in state["rows"]]
        return rows

    async def keeps_up(self, within: float = FOUND_WITHIN) -> None:
        """What is committed by now must reach all clients within so many seconds, though the fault is not over."""
        state = await self.scene.ask("journal")
        rows = [Row(*row) for row in state["rows"]]
        await self._all_up_to_date(rows, within, [c for c in self.clients if not c.restless])

    async def finish(self) -> None:
        """Stop emitting, wait until all clients are up to date, and check what they received."""
        if not self._over:
            self.over()
        self.emitted += await self.scene.ask("finish")
        over = max(self._over, time.monotonic())
        rows = await self.truth()
        await self._all_up_to_date(rows, self.within, [c for c in self.clients if not c.restless])
        seconds = time.monotonic() - over
        await self._all_up_to_date(rows, 4 * WITHIN, self.clients)  # who comes and goes all the time needs its own time
        await asyncio.sleep(0.1)  # what comes twice would come now
        check_journal([row for row in rows if row.position > self._begun], self.emitted)
        for client in self.clients:
            check_client(client, self.histories)
        self._report(sum(len(e["committed"]) for e in self.emitted), seconds)

    async def _all_up_to_date(self, rows: Sequence[Row], within: float, clients: Sequence[FaultClient]) -> None:
        def late() -> list[FaultClient]:
            return [client for client in clients if not self._is_up_to_date(client, rows)]

        try:
            await await_for(lambda: not late(), timeout=within)
        except TimeoutError:
            state = [f"{c.name} is at {c.last}, {c.connects} connections, {c.closes}" for c in late()]
            raise AssertionError(f"not up to date at {rows[-1].position} within {within} s: {state}") from None

    def _is_up_to_date(self, client: FaultClient, rows: Sequence[Row]) -> bool:
        wanted = expected(client, client.spans[-1], rows)
        return not wanted or client.last >= wanted[-1][0]

    def _report(self, events: int, seconds: float) -> None:
        line = {"fault": self.fault, "database": self.scene.database, "events": events}
        line |= {"clients": len(self.clients), "seconds": round(seconds, 2)}
        print(line)
        if path := os.environ.get("FAULT_REPORT"):
            with Path(path).open("a") as report:
                report.write(json.dumps(line) + "\n")
