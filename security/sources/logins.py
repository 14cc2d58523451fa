"""Signing in, out and failing to, and passwords that are changed or to be reset. No password and no form field gets into the events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import get_hasher, identify_hasher
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.contrib.auth.views import PasswordResetConfirmView, PasswordResetView
from django.http import HttpRequest

from events.context import RequestContext, current_context, user_actor
from security.accounts import find_account, typed_name, username_hash
from security.adapter import LOGIN_FAILURE, LOGIN_SUCCESS, LOGOUT
from security.enforcement.guard import was_refused
from security.sources.telling import account_id, isolated, name_of, tell


def connect() -> None:
    """Follow Django's signals. Doing it again changes nothing."""
    user_logged_in.connect(_on_logged_in, dispatch_uid="security.logged_in")
    user_logged_out.connect(_on_logged_out, dispatch_uid="security.logged_out")
    user_login_failed.connect(_on_login_failed, dispatch_uid="security.login_failed")


@isolated
def _on_logged_in(request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    tell(LOGIN_SUCCESS, name_of(user), account=user, request=request, metadata=_actor(user))


@isolated
def _on_logged_out(request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    if user is not None:  # somebody was signed in
        tell(LOGOUT, name_of(user), account=user, request=request, metadata=_actor(user), details=["logout"])


@isolated
def _on_login_failed(credentials: Mapping[str, Any], request: HttpRequest | None = None, **kwargs: Any) -> None:
    username = typed_name(credentials)
    if was_refused(username):  # told as what it is, and no password was looked at
        return
    account = find_account(username)
    unknown = {} if username is None else {"username_hash": username_hash(username)}
    tell(LOGIN_FAILURE, unknown if account is None else name_of(account), account=account, request=request)


def look(request: HttpRequest, response: Any) -> Callable[[], None] | None:
    """A reset of a password that was asked for."""
    if request.method == "POST" and response.status_code == 302 and _is_view(request, PasswordResetView):
        return partial(_tell_reset_requested, request)
    return None


def _tell_reset_requested(request: HttpRequest) -> None:
    """For the account whose e-mail address was typed, else for a keyed hash of what was typed."""
    user = get_user_model()
    typed = request.POST.get(user.get_email_field_name(), request.POST.get("email", ""))[:1_000].replace("\0", "")
    found = list(user._default_manager.filter(**{f"{user.get_email_field_name()}__iexact": typed})[:2]) if typed else []
    account = found[0] if len(found) == 1 else None
    data = name_of(account) if account else {"username_hash": username_hash(typed)}
    tell("account.password_reset_requested", data, account=account, request=request)


def tell_password_changed(
    user: Any, changes: Mapping[str, tuple[Any, Any]], update_fields: frozenset[str] | None, using: str
) -> None:
    """A saved user's password hash is another, and not only because the way of hashing is."""
    old, _ = changes["password"]
    if getattr(user, "_password", None) is None and update_fields == frozenset({"password"}) and _is_outdated(old):
        return  # Django hashed the same password anew at a login
    tell("account.password_changed", name_of(user) | {"by": _changed_by(user)}, account=user, using=using)


def _changed_by(user: Any) -> str:
    """`reset`: by a link that was sent; `self`; `other`: somebody else, or a command."""
    context = current_context()
    if (
        isinstance(context, RequestContext)
        and context.request is not None
        and _is_view(context.request, PasswordResetConfirmView)
    ):
        return "reset"
    actor = context.current_actor()
    return "self" if actor is not None and actor.type in ("user", "token") and actor.id == account_id(user) else "other"


def _is_outdated(encoded: str) -> bool:
    """Whether Django hashes a password anew that is stored so."""
    try:
        hasher = identify_hasher(encoded)
    except ValueError:
        return False
    return hasher.algorithm != get_hasher().algorithm or hasher.must_update(encoded)


def _is_view(request: HttpRequest, view: type) -> bool:
    match = request.resolver_match
    view_class = getattr(match.func, "view_class", None) if match else None
    return isinstance(view_class, type) and issubclass(view_class, view)


def _actor(user: Any) -> dict[str, Any]:
    actor = user_actor(user)
    return {"actor": actor.to_dict()} if actor else {}
