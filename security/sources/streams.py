"""Streams: those of `events.delivery`, and WebSocket connections to Channels consumers of the project. Which are refused, and what becomes
of the tokens that open them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from channels.db import database_sync_to_async

from events.context import current_context, scope_context, use_context
from events.delivery.authentication import Credential
from events.signals import stream_opened, stream_refused
from security.sources import tokens
from security.sources.telling import account_id, isolated, printable, tell

# What is refused for who asks. The rest is the server's own trouble, or a mistake in a parameter.
REFUSED: Final = frozenset({401, 403, 429})


def connect() -> None:
    """Follow the signals. Doing it again changes nothing."""
    stream_refused.connect(_on_refused, dispatch_uid="security.streams.refused")
    stream_opened.connect(_on_opened, dispatch_uid="security.streams.opened")


async def _on_refused(scope: dict[str, Any], refusal: Any, **kwargs: Any) -> None:
    if refusal.status in REFUSED:
        await _tell_refused(scope, refusal.error)


async def _on_opened(scope: dict[str, Any], user_id: str, **kwargs: Any) -> None:
    _note_token(scope=scope, user_id=user_id)


async def _tell_refused(scope: dict[str, Any], reason: str) -> None:
    """As what it is, where a token was shown that was revoked."""
    data = {"transport": "websocket" if scope["type"] == "websocket" else "sse", "reason": reason}
    user, token = scope.get("user"), Credential.of(scope).token
    account = account_id(user) if user is not None and user.is_authenticated else None
    with use_context(scope_context(scope)):
        if not (token and await database_sync_to_async(tokens.tell_if_reused)(token[: tokens.MAX_HEADER_LENGTH], data)):
            tell("stream.refused", data, account=account, details=["stream"])


@isolated
def _note_token(scope: dict[str, Any], user_id: str) -> None:
    token = Credential.of(scope).token
    if token is None:
        return
    with use_context(scope_context(scope)):
        if note := tokens.use(token, user_id, current_context().ip_address):
            note()


class RefusedWebSockets:
    """ASGI middleware for consumers of your own: tells of connections that are closed without having been accepted, and of tokens that are used
    from a new address or after they were revoked. Goes inside the middleware that finds the user."""

    def __init__(self, inner: Callable[..., Awaitable[None]]) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        answered = scope["type"] != "websocket"

        async def watch(message: dict[str, Any]) -> None:
            nonlocal answered
            await send(message)
            if not answered:
                answered = True
                await _look(scope, message)

        await self.inner(scope, receive, watch)


async def _look(scope: dict[str, Any], answer: dict[str, Any]) -> None:
    """What the first answer to a connection has to tell."""
    if answer["type"] == "websocket.close":
        await _tell_refused(scope, printable(answer.get("reason") or answer.get("code") or "closed", 50))
    elif scope.get("auth") == "token":
        _note_token(scope=scope, user_id=str(scope["user"].pk))
