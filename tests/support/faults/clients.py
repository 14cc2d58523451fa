"""Clients that come again whenever their stream ends, resume by their cursor, and remember everything that they received."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.support.streams import PLAIN, Transport

# As the browser's client does, one gives a connection up on which nothing came for two heartbeats and a half.
HEARTBEAT: Final = 1.0
SILENCE: Final = 2.5 * HEARTBEAT
PAUSE: Final = 0.05
TROUBLE: Final = (httpx.HTTPError, WebSocketException, OSError, TimeoutError)


@dataclass
class Span:
    """What came in one unbroken history: from a start that was told as `fresh` or `gap`, over all that was `resumed`."""

    outcome: str
    epoch: str
    start: int
    events: list[tuple[int, str]] = field(default_factory=list)


class FaultClient:
    """A client of the servers at `urls`, which it tries in turn. With `restless` it leaves after so many events of a connection."""

    def __init__(
        self,
        name: str,
        transport: Transport,
        urls: list[str],
        session: str,
        audiences: frozenset[str],
        restless: int = 0,
        **query: str,
    ) -> None:
        self.name = name
        self.transport = transport
        self.urls = urls
        self.audiences = audiences
        self.types = query.get("types")
        self.restless = restless
        self.spans: list[Span] = []
        self.problems: list[str] = []
        self.closes: list[str] = []
        self.connects = 0
        self.cursor: str | None = None
        self.at_home = asyncio.Event()
        self.at_home.set()
        self._query = query
        self._headers = {"Cookie": f"sessionid={session}"}
        self._tries = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._task: asyncio.Task[None] | None = None
        self._seen = 0

    @property
    def received(self) -> int:
        """How many events came."""
        return sum(len(span.events) for span in self.spans)

    @property
    def last(self) -> int:
        """The position of the last event of the present history; where it began if there is none."""
        if not self.spans:
            return 0
        span = self.spans[-1]
        return span.events[-1][0] if span.events else span.start

    def start(self) -> None:
        """Open a stream, and keep one open from now on."""
        self.at_home.set()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Leave. `start` comes again, and resumes."""
        assert self._task is not None
        self.at_home.clear()
        await self._settled.wait()  # asyncio leaks the socket of who is cancelled while it connects
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=httpx.Timeout(5.0, read=SILENCE), **PLAIN) as http:
            while True:
                url = self.urls[self._tries % len(self.urls)]
                self._tries += 1
                self._seen = 0
                self._settled.clear()
                with suppress(*TROUBLE):  # what a client meets when a server, or the way to it, is gone
                    await (self._sse(http, url) if self.transport == "sse" else self._websocket(url))
                self._settled.set()
                await asyncio.sleep(PAUSE)

    def _search(self) -> str:
        return urlencode(self._query | ({"cursor": self.cursor} if self.cursor else {}))

    @property
    def _leaves(self) -> bool:
        return 0 < self.restless <= self._seen

    async def _sse(self, http: httpx.AsyncClient, url: str) -> None:
        async with http.stream("GET", f"{url}/events/stream?{self._search()}", headers=self._headers) as answer:
            self._settled.set()
            if answer.status_code != 200:
                return
            rest = b""
            async for data in answer.aiter_bytes():
                *blocks, rest = (rest + data).split(b"\n\n")
                for block in blocks:
                    self._block(dict(line.partition(b": ")[::2] for line in block.split(b"\n")))
                    if self._leaves:
                        return

    def _block(self, fields: Mapping[bytes, bytes]) -> None:
        name, data, cursor = fields.get(b"event", b""), fields.get(b"data"), fields.get(b"id")
        if name.startswith(b"stream:"):
            self._control(orjson.loads(data or b"{}"))
        elif data is not None:
            self._event(cursor.decode() if cursor else "", orjson.loads(data)["id"])
        elif cursor is not None:
            self._moved(cursor.decode())

    async def _websocket(self, url: str) -> None:
        address = f"{url.replace('http', 'ws', 1)}/ws/events/?{self._search()}"
        async with connect(
            address,
            additional_headers=self._headers,
            proxy=None,
            max_size=None,
            open_timeout=5,
            close_timeout=0.2,
            ping_interval=None,
        ) as socket:
            self._settled.set()
            while not self._leaves:
                async with asyncio.timeout(SILENCE):
                    message = orjson.loads(await socket.recv())
                if message.get("stream") == "heartbeat":
                    self._moved(message["cursor"])
                elif "stream" in message and "id" not in message:
                    self._control(message)
                else:
                    self._event(message["cursor"], message["id"])

    def _control(self, frame: dict[str, Any]) -> None:
        if frame["stream"] == "close":
            self.closes.append(frame["reason"])
        if frame["stream"] != "open":
            return
        self.connects += 1
        if frame["outcome"] != "resumed":
            epoch, _, position = frame["cursor"].partition(":")
            self.spans.append(Span(frame["outcome"], epoch, int(position)))
        elif frame["cursor"] != self.cursor:
            self.problems.append(f"resumed from {frame['cursor']}, and not from {self.cursor}")
        self.cursor = frame["cursor"]

    def _event(self, cursor: str, event_id: str) -> None:
        self._moved(cursor)
        self._seen += 1
        self.spans[-1].events.append((int(cursor.partition(":")[2]), event_id))

    def _moved(self, cursor: str) -> None:
        epoch, _, position = cursor.partition(":")
        if epoch != self.spans[-1].epoch or int(position) < int((self.cursor or ":0").partition(":")[2]):
            self.problems.append(f"the cursor went from {self.cursor} to {cursor}")
        self.cursor = cursor
