"""Who opens a stream: the session's user, or the one whose API token the `Authorization` header holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, parse_cookie

from events.access import audiences_of
from events.context import session_label

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose a stream is and what they may see, as the database says now. An anonymous one has no audiences."""

    user_id: str
    name: str
    audiences: frozenset[str]


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client showed when it opened its stream: good for as long as `identify` finds the same."""

    session_key: str | None
    token: str | None

    @classmethod
    def of(cls, scope: dict[str, Any]) -> Credential:
        """The credential in the headers of an ASGI scope. A token goes before the session."""
        headers = dict(scope["headers"])
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() == "token":
            return cls(None, key.strip())
        cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
        return cls(cookies.get(settings.SESSION_COOKIE_NAME), None)

    @property
    def session(self) -> str | None:
        """The session's name in events."""
        return session_label(self.session_key)

    def identify(self) -> Identity:
        """Whose it is. Reads the database."""
        user = _owner(self.token) if self.token is not None else _session_user(self.session_key)
        return Identity(str(user.pk), user.get_username(), audiences_of(user))


class TokenAuthentication:
    """ASGI middleware: a request with `Authorization: Token …` (DRF's) is its owner's; a wrong token is nobody's.

    `scope["auth"]` says then what authenticated it.
    """

    def __init__(self, inner: Application) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        token = Credential.of(scope).token
        if token is not None:
            scope = dict(scope, user=await database_sync_to_async(_owner)(token), auth="token")
        await self.inner(scope, receive, send)


def authenticated(application: Application) -> Application:
    """The application with `scope["user"]` set from the session or the token: for consumers of your own."""
    return AuthMiddlewareStack(TokenAuthentication(application))


class _Snapshot(dict[str, Any]):
    """A session's content, to look at: what Django would change or end in it belongs into a response, and a stream has none."""

    def cycle_key(self) -> None:
        pass

    def flush(self) -> None:
        pass


def _session_user(session_key: str | None) -> Any:
    if not session_key or "\0" in session_key or not apps.is_installed("django.contrib.sessions"):
        return AnonymousUser()
    content = import_module(settings.SESSION_ENGINE).SessionStore(session_key).load()
    return get_user(cast("HttpRequest", SimpleNamespace(session=_Snapshot(content))))


def _owner(key: str) -> Any:
    if not apps.is_installed("rest_framework.authtoken") or "\0" in key:
        return AnonymousUser()
    from rest_framework.authtoken.models import Token  # noqa: PLC0415 - only where the app is installed

    token = Token.objects.select_related("user").filter(key=key).first()
    return token.user if token and token.user.is_active else AnonymousUser()
