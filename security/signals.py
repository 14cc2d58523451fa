"""Signing in, out and failing to becomes security events. No password and no form field gets into them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest

from events.context import current_context, request_context, use_context, user_actor
from events.manager import emit
from events.types import EventCategory
from security.accounts import find_account, username_hash
from security.adapter import LOGOUT, login_parts
from security.enforcement import was_refused


def connect() -> None:
    """Follow Django's signals. Doing it again changes nothing."""
    user_logged_in.connect(_on_logged_in, dispatch_uid="security.logged_in")
    user_logged_out.connect(_on_logged_out, dispatch_uid="security.logged_out")
    user_login_failed.connect(_on_login_failed, dispatch_uid="security.login_failed")


def _on_logged_in(request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    with _context_of(request):
        _emit(login_parts(True, str(user.pk), details=_name_of(user), metadata=_actor(user)))


def _on_logged_out(request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    if user is None:  # nobody was signed in
        return
    with _context_of(request):
        metadata = _actor(user) | {"outcome": "success"}
        _emit({"event": LOGOUT, "data": _name_of(user), "user_id": str(user.pk), "metadata": metadata})


def _on_login_failed(credentials: Mapping[str, Any], request: HttpRequest | None = None, **kwargs: Any) -> None:
    username = credentials.get(get_user_model().USERNAME_FIELD, credentials.get("username"))
    if was_refused(username):  # told as what it is, and no password was looked at
        return
    account = find_account(username)
    with _context_of(request):
        if account is not None:
            _emit(login_parts(False, str(account.pk), details=_name_of(account)))
        else:
            _emit(login_parts(False, details={} if username is None else {"username_hash": username_hash(username)}))


def _emit(parts: dict[str, Any]) -> None:
    emit(parts.pop("event"), category=EventCategory.SECURITY, **parts)


@contextmanager
def _context_of(request: HttpRequest | None) -> Iterator[None]:
    """The context of the request, also where its middleware is not installed."""
    if request is None or current_context().request_id is not None:
        yield
    else:
        with use_context(request_context(request)):
            yield


def _actor(user: Any) -> dict[str, Any]:
    actor = user_actor(user)
    return {"actor": actor.to_dict()} if actor else {}


def _name_of(user: Any) -> dict[str, Any]:
    return {"username": user.get_username().replace("\0", "\ufffd")}
