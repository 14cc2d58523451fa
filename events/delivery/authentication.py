"""Who opens a stream: the session's user, or the one whose API token the `Authorization` header holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from django.apps import apps
from django.contrib.auth.models import AnonymousUser

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class TokenAuthentication:
    """ASGI middleware: a request with `Authorization: Token …` (DRF's) is its owner's; a wrong token is nobody's."""

    def __init__(self, inner: Application) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        scheme, _, key = header.partition(" ")
        if scheme.lower() == "token":
            scope = dict(scope, user=await _owner(key.strip()))
        await self.inner(scope, receive, send)


def authenticated(application: Application) -> Application:
    """The application with `scope["user"]` set from the session or the token."""
    return AuthMiddlewareStack(TokenAuthentication(application))


@database_sync_to_async
def _owner(key: str) -> Any:
    if not apps.is_installed("rest_framework.authtoken") or "\0" in key:
        return AnonymousUser()
    from rest_framework.authtoken.models import Token  # noqa: PLC0415 - only where the app is installed

    token = Token.objects.select_related("user").filter(key=key).first()
    return token.user if token and token.user.is_active else AnonymousUser()
