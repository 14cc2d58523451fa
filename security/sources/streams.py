"""Streams that are refused: those of `events.delivery`, and WebSocket connections that a Channels consumer of the project closes at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from events.context import scope_context, use_context
from events.signals import stream_refused
from security.sources.telling import printable, tell

# What is refused for who asks. The rest is the server's own trouble, or a mistake in a parameter.
REFUSED: Final = frozenset({401, 403, 429})


def connect() -> None:
    """Follow the signal. Doing it again changes nothing."""
    stream_refused.connect(_on_refused, dispatch_uid="security.streams")


async def _on_refused(scope: dict[str, Any], refusal: Any, **kwargs: Any) -> None:
    if refusal.status in REFUSED:
        _tell(scope, refusal.error)


def _tell(scope: dict[str, Any], reason: str) -> None:
    data = {"transport": "websocket" if scope["type"] == "websocket" else "sse", "reason": reason}
    user = scope.get("user")
    with use_context(scope_context(scope)):
        tell("stream.refused", data, account=user if user is not None and user.is_authenticated else None, details=["stream"])


class RefusedWebSockets:
    """ASGI middleware for consumers of your own: tells of connections that are closed without having been accepted. Goes inside the middleware
    that finds the user."""

    def __init__(self, inner: Callable[..., Awaitable[None]]) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        opened = scope["type"] != "websocket"

        async def watch(message: dict[str, Any]) -> None:
            nonlocal opened
            await send(message)
            if not opened:
                opened = True
                if message["type"] == "websocket.close":
                    _tell(scope, printable(message.get("reason") or message.get("code") or "closed", 50))

        await self.inner(scope, receive, watch)
