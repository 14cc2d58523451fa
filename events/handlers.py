"""Handlers, and calling them: the boundary where a handler's exceptions end. What it does wrong must not reach the emitter's caller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, NamedTuple

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.db import connections, transaction
from django.dispatch import Signal

from events.conf import settings
from events.exceptions import ReceiverFailed
from events.stats import stats
from events.types import EventCategory, UnifiedEvent

logger = logging.getLogger("events.router")

Handler = Callable[[UnifiedEvent], Any] | Callable[[UnifiedEvent], Awaitable[Any]]

# Sent after an event's handlers were called, with `event`; sender is EventRouter. Inside the emitter's transaction.
event_routed = Signal()


@dataclass(frozen=True, slots=True)
class Registration:
    """One handler and what it wants: a category, the types that `accepts` matches, or everything."""

    handler: Handler
    after_commit: bool
    category: EventCategory | None = None
    accepts: Callable[[str], object] | None = None

    def wants(self, category: EventCategory, event_type: str, derived: bool) -> bool:
        """Whether the handler is for such an event.

        A derived event goes to the handlers of its own category only: the others have had its original, and no handler
        is to see one happening twice.
        """
        if self.category is not None:
            return self.category is category
        return not derived and (self.accepts is None or bool(self.accepts(event_type)))


class Plan(NamedTuple):
    """The handlers of one kind of event, in the order in which they were added."""

    sync: tuple[Handler, ...]
    asynchronous: tuple[Handler, ...]
    sync_after_commit: tuple[Handler, ...]
    async_after_commit: tuple[Handler, ...]


def make_plan(registrations: Sequence[Registration]) -> Plan:
    """The handlers of the registrations, by how and when they are called."""

    def of(is_async: bool, after_commit: bool) -> tuple[Handler, ...]:
        return tuple(r.handler for r in registrations if r.after_commit is after_commit and _is_async(r.handler) is is_async)

    return Plan(of(False, False), of(True, False), of(False, True), of(True, True))


def _is_async(handler: Handler) -> bool:
    return iscoroutinefunction(handler) or iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004


def call_isolated(function: Callable[..., Any], **arguments: Any) -> Any:
    """What the function returns; None if it raises, which is logged with its traceback and counted as a handler's error."""
    try:
        with _savepoint():
            return function(**arguments)
    except Exception:
        stats.count("handler_errors")
        logger.exception("%r failed", function)
        return None


def call_all(handlers: Sequence[Handler], event: UnifiedEvent, adapt: Callable[[Any], Handler] = lambda handler: handler) -> None:
    """Call plain functions one after the other; what `adapt` makes of coroutine functions too."""
    if not handlers:
        return
    # Asked once: it costs more than the call of a small handler.
    in_transaction = connections[settings().DATABASE].in_atomic_block
    for handler in handlers:
        try:
            if in_transaction:
                with _savepoint():
                    _call(adapt(handler), event)
            else:
                _call(adapt(handler), event)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001
            _report(handler, event)


def _call(handler: Handler, event: UnifiedEvent) -> None:
    result = handler(event)
    if result is not None and isawaitable(result):  # of a plain function, such as a lambda, that calls a coroutine function
        async_to_sync(_finish)(result)


async def acall_all(handlers: Sequence[Handler], event: UnifiedEvent) -> None:
    """Await coroutine functions one after the other."""
    for handler in handlers:
        try:
            await handler(event)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # it is the caller who is cancelled, not what the handler waits for
                raise
            _report(handler, event)
        except Exception:  # noqa: BLE001
            _report(handler, event)


async def _finish(result: Awaitable[Any]) -> None:
    await result


def send_routed(router: object, event: UnifiedEvent) -> None:
    """Send `event_routed`. What receivers raise is logged and counted; in a transaction, what they did in the database is undone."""
    if not event_routed.has_listeners(type(router)):
        return
    try:
        with _savepoint():
            answers = event_routed.send_robust(type(router), event=event)
            if _has_failed(answers):
                raise ReceiverFailed
    except ReceiverFailed:
        stats.count("handler_errors")  # Django has logged it


async def asend_routed(router: object, event: UnifiedEvent) -> None:
    """As `send_routed`, where an event loop runs."""
    if event_routed.has_listeners(type(router)) and _has_failed(await event_routed.asend_robust(type(router), event=event)):
        stats.count("handler_errors")  # Django has logged it


def _has_failed(answers: Sequence[tuple[Any, Any]]) -> bool:
    return any(isinstance(answer, Exception) for _, answer in answers)


def _savepoint() -> AbstractContextManager[None]:
    """In a transaction, a savepoint: a statement of a handler that fails must not doom what the caller does."""
    alias = settings().DATABASE
    return transaction.atomic(using=alias) if connections[alias].in_atomic_block else nullcontext()


def _report(handler: Handler, event: UnifiedEvent) -> None:
    stats.count("handler_errors")
    logger.exception("Handler %r failed on %s %s", handler, event.event_type, event.id)
