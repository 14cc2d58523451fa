"""An authentication backend that authenticates nobody: it refuses attempts before the others look at the password."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from security.accounts import is_encodable, is_storable, typed_name
from security.conf import settings
from security.enforcement import guard


class GuardBackend:
    """Put it first in `AUTHENTICATION_BACKENDS`. Unless `SECURITY["ENFORCE"]` is on it refuses only what the others would fail on:
    usernames that no database takes, passwords that no hasher does.

    It has no `get_user` and no permissions: sessions stay those of the backend that knew the password.
    """

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """Reserve an attempt. Raises PermissionDenied, upon which Django asks no other backend, where it is refused; the request's
        `login_refused` is a `security.enforcement.guard.Refusal` then."""
        username = typed_name(credentials)
        if not _is_possible(username, credentials):
            guard.forget_attempt()
            raise PermissionDenied("Nobody has such a name or password.")
        if not settings().ENFORCE or username is None:
            guard.forget_attempt()
            return
        refusal = guard.begin_attempt(request, username)
        if refusal is not None:
            if request is not None:
                request.login_refused = refusal  # type: ignore[attr-defined]
            raise PermissionDenied("Too many attempts to sign in.")

    async def aauthenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """As `authenticate`, where an event loop runs."""
        await sync_to_async(self.authenticate)(request, **credentials)


def _is_possible(username: Any, credentials: dict[str, Any]) -> bool:
    """Whether the other backends can look at them without an error of the server."""
    if isinstance(username, str) and not is_storable(username):
        return False
    return all(is_encodable(value) for value in credentials.values() if isinstance(value, str))
