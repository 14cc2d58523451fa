"""API tokens of Django REST framework: made, revoked, used after that, used from a new address. No token is kept: keyed hashes are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.apps import apps
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from events.context import current_context
from security.memory import Kind, keyed_hash, memory, values_of
from security.networks import network_of
from security.sources.telling import account_id, context_of, remember_later, tell

MAX_HEADER_LENGTH: Final = 1_000
UID: Final = "security.tokens"


def connect() -> None:
    """Follow the signals of tokens, where their app is installed. Doing it again changes nothing."""
    if apps.is_installed("rest_framework.authtoken"):
        for model in ("authtoken.Token", "authtoken.TokenProxy"):  # the admin deletes proxies
            post_save.connect(_on_saved, sender=model, dispatch_uid=UID)
            post_delete.connect(_on_deleted, sender=model, dispatch_uid=UID)


def token_id(key: str) -> str:
    """A name for a token in events."""
    return token_hash(key)[:12]


def token_hash(key: str) -> str:
    """What is remembered of a token."""
    return keyed_hash("token", key)


def _on_saved(instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    if created and not raw:
        label = token_id(instance.key)
        tell("token.created", {"token_id": label}, account=account_id(instance.user), details=[label], using=using)


def _on_deleted(instance: Any, using: str, **kwargs: Any) -> None:
    label, owner = token_id(instance.key), str(instance.user_id)
    tell("token.revoked", {"token_id": label}, account=owner, details=[label], using=using)
    memory.add(Kind.REVOKED_TOKEN, token_hash(instance.key), owner)


def shown_key(header: str) -> str:
    """The key that an `Authorization` header holds, whatever its scheme is called; "" if it holds none."""
    return header[:MAX_HEADER_LENGTH].partition(" ")[2].strip()


def tell_if_reused(key: str, data: dict[str, Any], request: HttpRequest | None = None) -> bool:
    """Tell it if the key, with which somebody was refused, is that of a token that was revoked. Whether it is."""
    owners = values_of(Kind.REVOKED_TOKEN, token_hash(key)) if key else []
    for owner in owners:
        label = token_id(key)
        tell("token.reused", data | {"token_id": label}, account=owner, request=request, details=[label])
    return bool(owners)


def look(request: HttpRequest, response: Any) -> Callable[[], None] | None:
    """The token that authenticated the request, as Django REST framework notes it, used from where this process has not seen it."""
    token = getattr(request, "auth", None)
    meta = getattr(token, "_meta", None)
    if token is None or meta is None or meta.app_label != "authtoken":
        return None
    with context_of(request):
        return use(token.key, str(token.user_id), current_context().ip_address, request)


def use(key: str, owner: str, address: str | None, request: HttpRequest | None = None) -> Callable[[], None] | None:
    """What there is to do about it that somebody uses a token from the address; None if this process has seen that."""
    network = network_of(address)
    if network is None or memory.is_cached(Kind.TOKEN_NETWORK, token_hash(key), network):
        return None
    return partial(remember_later, partial(_remember, key, owner, network, request))


def _remember(key: str, owner: str, network: str, request: HttpRequest | None) -> None:
    if memory.add(Kind.TOKEN_NETWORK, token_hash(key), network):
        label = token_id(key)
        data = {"token_id": label, "network": network}
        tell("token.new_address", data, account=owner, request=request, details=[label])
