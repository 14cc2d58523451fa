"""Lets `send` wait where the server's does not: under Daphne, which would buffer without bound what a client does not read.

Twisted tells a producer of a connection when its buffer is full and when it is empty again. Uvicorn and Granian wait themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from autobahn.exception import Disconnected

from events.delivery.frames import Message

Send = Callable[[Message], Awaitable[None]]


class DaphneConnection:
    """The connection behind Daphne's `send`, as Twisted's push producer. `send` waits while the connection's buffer is full."""

    def __init__(self, send: Send, protocol: Any) -> None:
        self._send = send
        self._protocol = protocol
        self._is_free = asyncio.Event()
        self._is_free.set()
        # A WebSocket has taken the transport over from the HTTP channel, which is still registered as its producer.
        self._transport = getattr(protocol, "transport", None) or protocol.channel.transport
        self._producing = self._transport if hasattr(protocol, "sendMessage") else protocol
        if self._producing is self._transport:
            self._transport.unregisterProducer()
        self._producing.registerProducer(self, True)

    async def send(self, message: Message) -> None:
        """Send, and wait until the buffer has room again."""
        ends = message["type"] == "http.response.body" and not message.get("more_body")
        if ends and self._protocol.channel is not None:  # which is None once the client is gone
            self._producing.unregisterProducer()  # as Twisted wants it before the end
        try:
            await self._send(message)
        except Disconnected as error:  # what autobahn calls a peer that is gone
            raise ConnectionResetError(str(error)) from error
        if not self._is_free.is_set():
            await self._is_free.wait()

    def abort(self) -> None:
        """Cut the connection: Daphne leaves it open when the application ends without a word."""
        self._transport.abortConnection()

    def pauseProducing(self) -> None:  # noqa: N802
        """The buffer is full."""
        self._is_free.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        """The buffer is empty."""
        self._is_free.set()

    def stopProducing(self) -> None:  # noqa: N802
        """The connection is gone."""
        self._is_free.set()


def connection_of(send: Send) -> DaphneConnection | None:
    """The connection behind a `send` that is Daphne's; None for other servers."""
    protocol = send.args[0] if isinstance(send, partial) and send.args else None
    is_gone = getattr(protocol, "channel", protocol) is None
    return DaphneConnection(send, protocol) if hasattr(protocol, "registerProducer") and not is_gone else None
