"""A client of the event stream over SSE or WebSocket, with one interface, that shows what came over the wire (docs/wire.md)."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

TIMEOUT = 10.0
# For clients of our own servers: no proxy, and no certificates, which take longer to load than a request does.
PLAIN: Final[dict[str, Any]] = {"trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}

Transport = Literal["sse", "websocket"]
Kind = Literal["event", "control", "heartbeat", "cursor"]


class Refused(Exception):
    """The server did not open the stream: `status` is the HTTP status or the close code, `body` the decoded JSON answer."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = headers


class StreamEnded(Exception):
    """The server ended the stream. `code` is the WebSocket close code, None over SSE."""

    def __init__(self, code: int | None = None) -> None:
        super().__init__(f"code {code}")
        self.code = code


@dataclass(frozen=True)
class Frame:
    """One thing that came: an event, a control frame, a heartbeat, or a mere move of the cursor. `beside` others in one message."""

    kind: Kind
    data: dict[str, Any] = field(default_factory=dict)
    cursor: str | None = None
    name: str | None = None
    beside: int = 0


class Stream:
    """An open stream. Frames are read in the background from the moment it opens, and kept until they are asked for."""

    def __init__(self) -> None:
        self.opened: dict[str, Any] = {}
        self.cursor: str | None = None
        self.headers: Mapping[str, str] = {}
        self._frames: asyncio.Queue[Frame | StreamEnded] = asyncio.Queue()

    async def next(self, timeout: float = TIMEOUT) -> Frame:
        """The next frame of any kind. Raises StreamEnded, or TimeoutError."""
        async with asyncio.timeout(timeout):
            item = await self._frames.get()
        if isinstance(item, StreamEnded):
            self._frames.put_nowait(item)
            raise item
        self.cursor = item.cursor or self.cursor
        return item

    async def next_of(self, kind: Kind, timeout: float = TIMEOUT) -> Frame:
        """The next frame of the kind; those of other kinds before it are passed over."""
        async with asyncio.timeout(timeout):
            while (frame := await self.next(timeout)).kind != kind:
                pass
            return frame

    async def event(self, timeout: float = TIMEOUT) -> dict[str, Any]:
        """The next event, as the wire has it (its cursor is in `self.cursor`)."""
        return (await self.next_of("event", timeout)).data

    async def events(self, number: int, timeout: float = TIMEOUT) -> list[dict[str, Any]]:
        """The next `number` events."""
        async with asyncio.timeout(timeout):
            return [await self.event(timeout) for _ in range(number)]

    async def events_until(self, event_type: str, timeout: float = TIMEOUT) -> list[dict[str, Any]]:
        """The events before the next one of the type, without it. Emit one last of a type of your own to show that nothing else came."""
        found = []
        async with asyncio.timeout(timeout):
            while (event := await self.event(timeout))["type"] != event_type:
                found.append(event)
        return found

    async def close_frame(self, timeout: float = TIMEOUT) -> dict[str, Any]:
        """The control frame `stream:close`."""
        async with asyncio.timeout(timeout):
            while (frame := await self.next_of("control", timeout)).data["stream"] != "close":
                pass
            return frame.data

    async def ended(self, timeout: float = TIMEOUT) -> int | None:
        """Read to the end: the WebSocket close code, or None over SSE. Raises TimeoutError if the server keeps it open."""
        async with asyncio.timeout(timeout):
            while True:
                try:
                    await self.next(timeout)
                except StreamEnded as end:
                    return end.code

    def _received(self, frame: Frame | StreamEnded) -> None:
        self._frames.put_nowait(frame)

    async def _open(self) -> dict[str, Any] | None:
        """Take the greeting. The refusal, where that came instead (over WebSocket)."""
        frame = await self.next()
        assert frame.kind == "control", frame
        if frame.data["stream"] == "refused":
            return frame.data
        assert frame.data["stream"] == "open", frame
        self.opened = frame.data
        self.cursor = frame.data["cursor"]
        return None


@asynccontextmanager
async def open_sse(url: str, headers: Mapping[str, str]) -> AsyncIterator[Stream]:
    """An SSE stream that has opened. Raises Refused."""
    stream = Stream()
    timeout = httpx.Timeout(TIMEOUT, read=None)
    async with (
        httpx.AsyncClient(timeout=timeout, **PLAIN) as client,
        client.stream("GET", url, headers=dict(headers)) as answer,
    ):
        if answer.status_code != 200:
            raise Refused(answer.status_code, decode(await answer.aread()), answer.headers)
        stream.headers = answer.headers
        async with reading(read_sse(stream, answer)):
            await stream._open()
            yield stream


@asynccontextmanager
async def open_websocket(url: str, headers: Mapping[str, str], origin: str | None = None) -> AsyncIterator[Stream]:
    """A WebSocket stream that has opened. Raises Refused, with the close code, or the status of a refused handshake."""
    stream = Stream()
    try:
        socket = await connect(url, additional_headers=headers, origin=origin, proxy=None, max_size=None)  # type: ignore[arg-type]
    except InvalidStatus as error:
        raise Refused(error.response.status_code, decode(bytes(error.response.body or b"")), error.response.headers) from None
    async with socket, reading(read_websocket(stream, socket)):
        refusal = await stream._open()
        if refusal is not None:
            raise Refused(await stream.ended() or 0, refusal, {})
        yield stream


@asynccontextmanager
async def reading(reader: Any) -> AsyncIterator[None]:
    """The reader runs in the background."""
    task = asyncio.create_task(reader)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def read_sse(stream: Stream, answer: httpx.Response) -> None:
    """Hand the stream a frame for each block of the answer."""
    block: list[tuple[str, str]] = []
    try:
        async for line in lines_of(answer):
            if line:
                name, _, value = line.partition(":")
                block.append((name, value.removeprefix(" ")))
            elif block:
                stream._received(sse_frame(block))
                block = []
    except httpx.RemoteProtocolError:  # the server went away in the middle of the stream
        pass
    stream._received(StreamEnded())


async def lines_of(answer: httpx.Response) -> AsyncIterator[str]:
    """The lines of an event stream. Not `aiter_lines`, which takes U+2028 and others for an end of line too; SSE does not."""
    rest = ""
    async for text in answer.aiter_text():
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield line.removesuffix("\r")


def sse_frame(block: list[tuple[str, str]]) -> Frame:
    """The frame that the fields of one block make. The name of a comment is empty."""
    fields = dict(block)
    cursor, name = fields.get("id"), fields.get("event")
    text = "\n".join(value for field_name, value in block if field_name == "data")
    if text:
        is_control = (name or "").startswith("stream:")
        return Frame("control" if is_control else "event", json.loads(text), cursor, name)
    return Frame("heartbeat" if "" in fields else "cursor", {}, cursor)


async def read_websocket(stream: Stream, socket: ClientConnection) -> None:
    """Hand the stream a frame for each message of the socket; for a list, one for each of its events."""
    try:
        async for message in socket:
            value = json.loads(message)
            together = value if isinstance(value, list) else [value]
            for data in together:
                stream._received(replace(websocket_frame(data), beside=len(together) - 1))
    except ConnectionClosed:
        pass
    stream._received(StreamEnded(socket.close_code))


def websocket_frame(data: dict[str, Any]) -> Frame:
    """The frame that one message makes."""
    if data.get("stream") == "heartbeat":
        return Frame("heartbeat", data, data.get("cursor"))
    if "stream" in data and "id" not in data:
        return Frame("control", data)
    cursor = data.pop("cursor", None)
    return Frame("event", data, cursor)


def decode(body: bytes) -> Any:
    """JSON, or the text where it is none."""
    text = body.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text
