"""What all sources share: telling one event for one happening, with its names, its outcome, and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

from django.db import connections, transaction
from django.http import HttpRequest

from events.background import running_loop
from events.conf import WriteMode, settings
from events.context import current_context, request_context, use_context
from events.handlers import call_isolated
from events.manager import emit, unified_event_manager
from events.types import MAX_LABEL_LENGTH, EventCategory, EventPriority, UnifiedEvent, create_event
from events.writer import usual_mode
from security.sources.floods import floods
from security.sources.vocabulary import VOCABULARY, owasp_event

MAX_TEXT_LENGTH = 200


def tell(
    event_type: str,
    data: dict[str, Any] | None = None,
    *,
    account: Any = None,
    request: HttpRequest | None = None,
    details: Iterable[Any] = (),
    metadata: dict[str, Any] | None = None,
    using: str | None = None,
    priority: EventPriority | None = None,
) -> None:
    """Emit the event (a word of `security.sources.vocabulary`), or fold it into a summary where it is one of masses.

    `account` is the user it is about, or the id; `details` go into its name in OWASP's vocabulary, after the account. `priority`: another than the
    word's. With `using` it tells of
    a change in that database, and vanishes if that is rolled back; without, of what happened whatever is rolled back.
    """
    word, user_id = VOCABULARY[event_type], account if isinstance(account, str) else account_id(account)
    named = owasp_event(event_type, user_id, *details)
    stated = {"outcome": word.outcome} | ({"owasp": named} if named else {}) | (metadata or {})
    event = create_event(
        EventCategory.SECURITY, event_type, data, user_id=user_id, priority=priority or word.priority, metadata=stated
    )
    with context_of(request):
        if using is not None:
            _emit_with_change(event, using)
        elif not floods.fold(event, stated.get("ip_address") or current_context().ip_address):
            _emit(event)


def account_id(user: Any) -> str | None:
    """A user's id, as events name it; None of nobody and of who is not signed in."""
    if user is None or user.pk is None:
        return None
    return printable(str(user.pk), MAX_LABEL_LENGTH) or None


def name_of(user: Any) -> dict[str, Any]:
    """A user's name, as data of an event."""
    return {"username": str(user.get_username()).replace("\0", "\ufffd")}


def printable(text: Any, limit: int = MAX_TEXT_LENGTH) -> str:
    """Text that may come from anybody, shortened, with nothing in it that a log, a terminal or a database stumbles over."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text)[:limit])


def remember_later(action: Callable[[], object]) -> None:
    """Do it in the handlers' thread, for which nobody waits; at once in a transaction that a test keeps open, where it belongs to it."""
    if connections[settings().DATABASE].in_atomic_block:
        action()
    else:
        unified_event_manager.writer.later(action)


def isolated(receiver: Callable[..., None]) -> Callable[..., None]:
    """The receiver of a signal of Django's: what it raises is logged and counted, and stops neither who signs in nor a save."""

    @wraps(receiver)
    def receive(**arguments: Any) -> None:
        call_isolated(receiver, **arguments)

    return receive


@contextmanager
def context_of(request: HttpRequest | None) -> Iterator[None]:
    """The context of the request, also where its middleware is not installed."""
    if request is None or current_context().request_id is not None:
        yield
    else:
        with use_context(request_context(request)):
            yield


def _emit_with_change(event: UnifiedEvent, using: str) -> None:
    if using == settings().DATABASE:
        with usual_mode(WriteMode.WITH_CHANGE):
            _emit(event)
    else:
        transaction.on_commit(partial(_emit, event), using=using)


def _emit(event: UnifiedEvent) -> None:
    if running_loop() is None:
        emit(event)
    else:  # who tells here can't wait, and a task may outlive the call that it was made in, or end with it
        unified_event_manager.writer.later(partial(emit, event))
