"""One open stream: writes at once while the connection takes it, waits in a bounded queue while it does not."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from events.conf import settings
from events.delivery.authentication import Credential
from events.delivery.frames import Message, Wire
from events.filters import EventFilter
from events.stats import stats

logger = logging.getLogger("events.hub")

# Seconds for which a client may take nothing while more than SSE_QUEUE_MAXSIZE batches wait for it, or the end of its stream.
PATIENCE = 1.0

Send = Callable[[Message], Awaitable[None]]


class Client:
    """A stream of one user. `position` is the last one that the client was told of; `abort` ends its connection unasked. It is
    `live` from when it has caught up, until it `expires` (monotonic seconds), and `closed` once the hub has done with it.

    A server's `send` returns without suspending while the socket takes the bytes. So messages are sent within the step of
    the event loop that brings them, and only a client whose socket is full gets a task and a queue.
    """

    __slots__ = (
        "_queue", "_queued_bytes", "_send", "_task", "abort", "audiences", "closed", "credential", "expires", "filter",
        "live", "position", "silent_since", "took_at", "user_id", "wire",
    )  # fmt: skip

    def __init__(
        self,
        send: Send,
        abort: Callable[[], object],
        wire: Wire,
        user_id: str,
        audiences: frozenset[str],
        filter: EventFilter,
        credential: Credential | None = None,
    ) -> None:
        self._send = send
        self._queue: list[Sequence[Message]] = []  # an empty deque has 600 bytes, and most clients never queue
        self._queued_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self.abort = abort
        self.wire = wire
        self.user_id = user_id
        self.audiences = audiences
        self.filter = filter
        self.credential = credential
        self.expires = math.inf
        self.position = 0
        self.silent_since = 0.0
        self.took_at = 0.0
        self.live = False
        self.closed = False

    async def send(self, messages: Sequence[Message]) -> None:
        """Send, and wait until the connection took it: for what comes before the client is live. Raises TimeoutError where it takes
        nothing for so long that a live one would have missed a heartbeat."""
        for message in messages:
            rest = _start(self._send(message))
            if rest is not None:
                async with asyncio.timeout(settings().SSE_KEEPALIVE_TIMEOUT):
                    await rest

    def push(self, messages: Sequence[Message]) -> bool:
        """Send, or queue behind what the connection has not taken yet. False if the client is too slow: if many bytes wait, or many
        batches of which it takes none. Where all wait and go on, it is the server that has much to do."""
        if self._task is None and not (messages := self._send_now(messages)):
            return True  # the usual way: it took all, and nothing waits
        self._enqueue(messages)
        if self._queued_bytes > settings().SSE_QUEUE_MAXBYTES:
            return False
        return len(self._queue) <= settings().SSE_QUEUE_MAXSIZE or time.monotonic() - self.took_at < PATIENCE

    def close(self, reason: str) -> None:
        """End the stream and say why; without a word if the connection does not take it, or if the client is not live yet."""
        if self.closed:
            return
        self.closed = True
        if not self.live or self._task is not None:
            self.abort()
            return
        self._enqueue(self._send_now(self.wire.closed(reason)))
        if self._task is not None:
            asyncio.get_running_loop().call_later(PATIENCE, self._abort_unless_done, self._task)

    def _abort_unless_done(self, task: asyncio.Task[None]) -> None:
        if not task.done():
            self.abort()

    def end(self) -> None:
        """The connection is over: let go of what was meant for it."""
        self.closed = True
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()

    def _enqueue(self, messages: Sequence[Message]) -> None:
        if messages:
            self._queue.append(messages)
            self._queued_bytes += _size(messages)

    def _send_now(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Send what the connection takes at once. The messages that must wait for the one that it is still taking."""
        for number, message in enumerate(messages, 1):
            try:
                rest = _start(self._send(message))
            except Exception as error:  # noqa: BLE001 - reported there
                self._break(error)
                break
            if rest is not None:
                self.took_at = time.monotonic()
                self._task = asyncio.get_running_loop().create_task(self._drain(rest))
                return messages[number:]
        return []

    async def _drain(self, started: Awaitable[None]) -> None:
        try:
            await started
            while self._queue:
                messages = self._queue.pop(0)
                self._queued_bytes -= _size(messages)
                self.took_at = time.monotonic()
                for message in messages:
                    await self._send(message)
        except Exception as error:  # noqa: BLE001 - reported there
            self._break(error)
        self._task = None

    def _break(self, error: Exception) -> None:
        """The boundary where a connection's trouble ends: it is this client's alone."""
        if not isinstance(error, OSError):  # else the peer is gone; the server says so in its own time
            stats.count("hub_errors")
            logger.error("A stream of user %s can't be written to", self.user_id, exc_info=error)
        if not self.closed:
            self.closed = True
            self.abort()


class _Started:
    """The rest of an awaitable whose first step was taken and led to `waits_for`."""

    def __init__(self, iterator: Generator[Any, Any, None], waits_for: Any) -> None:
        self._iterator = iterator
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        yield self._waits_for
        yield from self._iterator


_DONE = object()


def _start(awaitable: Awaitable[None]) -> _Started | None:
    """Take the first step of an awaitable: None if that was all, else the rest, to be awaited in a task."""
    iterator = awaitable.__await__()
    waits_for = next(iterator, _DONE)  # an exception that says "done" would cost more than a default that does
    return None if waits_for is _DONE else _Started(iterator, waits_for)


def _size(messages: Sequence[Message]) -> int:
    return sum(len(message.get("body") or message.get("text") or b"") for message in messages)
