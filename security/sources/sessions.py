"""Sessions: one from a device that the account never used, one that is no longer there. (Those that were tampered with are in Django's log.)"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.conf import settings as django_settings
from django.http import HttpRequest

from events.manager import event_router
from events.types import UnifiedEvent
from security.adapter import LOGIN_SUCCESS
from security.memory import Kind, keyed_hash, memory
from security.networks import provider_of
from security.sources.refusals import where
from security.sources.telling import remember_later, tell

VERSION: Final = re.compile(r"[\d._]+")
_handlers: list[str] = []


def connect() -> None:
    """Look at logins once they are committed. Doing it again changes nothing."""
    if not _handlers:
        _handlers.append(event_router.add_type_handler(LOGIN_SUCCESS, _on_login, after_commit=True))


def device(user_agent: str | None, address: str | None) -> str | None:
    """A name for a device, as far as one can be told from another: the browser without its versions, and the provider's network. None
    where neither is known."""
    if not user_agent and not address:
        return None
    return keyed_hash("device", VERSION.sub("", user_agent or ""), provider_of(address) or "")


def _on_login(event: UnifiedEvent) -> None:
    """Remembered in the background: a login does not wait for it."""
    found = device(event.metadata.get("user_agent"), event.metadata.get("ip_address"))
    if (
        found is None
        or event.user_id is None
        or event.metadata.get("replayed")
        or memory.is_cached(Kind.DEVICE, event.user_id, found)
    ):
        return
    remember_later(partial(_remember, event, found))


def _remember(event: UnifiedEvent, found: str) -> None:
    assert event.user_id is not None
    if memory.add(Kind.DEVICE, event.user_id, found):
        known: dict[str, Any] = {
            name: event.metadata[name] for name in ("actor", "ip_address", "user_agent") if name in event.metadata
        }
        tell("session.new_device", {"device": found[:12]}, account=event.user_id, metadata=known)


def look(request: HttpRequest, response: Any) -> Callable[[], None] | None:
    """A session cookie whose session is not there: it has expired or was ended, or somebody guesses."""
    session = getattr(request, "session", None)
    if session is None or not session.accessed or session.modified or session.session_key is not None:
        return None
    if not request.COOKIES.get(django_settings.SESSION_COOKIE_NAME):
        return None
    return partial(tell, "session.expired", where(request), request=request)
