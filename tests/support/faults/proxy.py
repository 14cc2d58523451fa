"""A TCP path that can stall in one direction, go on, or be cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import urlsplit

Direction = Literal["up", "down"]
BLOCK: Final = 65_536


class Proxy:
    """Forwards what comes in on a port of its own to another port of this machine. `up` is towards that one.

    Once `stall_at` goes up, nothing comes down any more: it arrives, and the answer does not.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.stall_at = b""
        self._flows: dict[Direction, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        for flows in self._flows.values():
            flows.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        self.flow()
        self.cut()
        await asyncio.sleep(0)

    def through(self, url: str) -> str:
        """The URL with this path's port in it."""
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{self.port}")).geturl()

    def stall(self, direction: Direction) -> None:
        """Forward nothing in that direction any more; connections stay open, and are accepted."""
        self._flows[direction].clear()

    def flow(self) -> None:
        """Forward what waits, and all that comes."""
        for flows in self._flows.values():
            flows.set()

    @property
    def is_stalled(self) -> bool:
        """Whether something waits, or would."""
        return not all(flows.is_set() for flows in self._flows.values())

    def cut(self) -> None:
        """Reset the connections that are open; what they held is lost. New ones flow."""
        for writer in list(self._writers):
            writer.transport.abort()
        self.flow()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there_writer}
        self._writers |= both
        ways = self._forward(reader, there_writer, self._flows["up"]), self._forward(there_reader, writer, self._flows["down"])
        try:
            await asyncio.gather(*ways)
        except asyncio.CancelledError:  # the test is over
            pass
        finally:
            self._writers -= both

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await reader.read(BLOCK):
                await flows.wait()
                if flows is self._flows["up"] and self.stall_at and self.stall_at in data:
                    self.stall_at = b""
                    self.stall("down")
                if writer.transport.is_closing():
                    break
                writer.write(data)
                await writer.drain()
        writer.close()
