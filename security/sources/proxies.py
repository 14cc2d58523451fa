"""Reverse proxies that nobody declared: their `X-Forwarded-For` is not believed, and all clients seem to have the proxy's address."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

from django.db import transaction
from django.http import HttpRequest

from events.client_ip import undeclared_proxy
from events.conf import settings
from events.manager import emit
from events.types import EventCategory
from security.memory import Kind, memory
from security.memory import forget as memory_forget
from security.sources.telling import remember_later

RESOURCE: Final = "security.proxy"


def look(request: HttpRequest, response: Any) -> Callable[[], None] | None:
    """A peer that sends the header and is no trusted proxy. Remembered for `manage.py check --database default`; no event: anybody can send it."""
    peer = undeclared_proxy(request.META.get("REMOTE_ADDR"), request.META.get("HTTP_X_FORWARDED_FOR"))
    if peer is None or memory.is_cached(Kind.PROXY, kind_of(peer), peer):
        return None
    return partial(remember_later, partial(memory.add, Kind.PROXY, kind_of(peer), peer))


def forget(peer: str, author: str) -> bool:
    """Warn of it no more, unless it sends the header again: `author` knows that it is no proxy of the site's. False, and nothing is done, if
    it is not known or that can't be audited."""
    data = {"action": "forgotten", "resource_type": RESOURCE, "resource_id": peer, "resource_label": peer, "author": author}
    with transaction.atomic(using=settings().DATABASE):
        if not memory_forget(Kind.PROXY, peer):
            return False
        audited = emit("proxy.forgotten", data, category=EventCategory.AUDIT, metadata={"outcome": "success"})
        if not audited:
            transaction.set_rollback(True, using=settings().DATABASE)
        return audited


def kind_of(address: str) -> str:
    """Proxies are mostly `inside`: those that anybody else claims to be must not push them out."""
    return "inside" if ip_address(address).is_private else "outside"
