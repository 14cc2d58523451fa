"""Django signals in and out: any signal becomes an event, declared once; every routed event is a Django signal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from inspect import ismethod
from typing import Any

from django.dispatch import Signal

from events.background import running_loop
from events.exceptions import InvalidEvent
from events.handlers import call_isolated, event_routed
from events.manager import aemit, emit
from events.types import EventCategory, EventPriority, check_type, parse_enum

__all__ = ["connect_signal", "event_routed", "stream_opened", "stream_refused"]

logger = logging.getLogger("events.signals")

# Sent after a stream was refused, with `scope` (of ASGI) and `refusal` (`events.delivery.consumers.Refusal`); sender is the consumer's class.
stream_refused = Signal()
# Sent when a stream has opened, with `scope` (of ASGI) and `user_id`, whose it is; sender is the consumer's class.
stream_opened = Signal()

# An event loop keeps only weak references to its tasks.
_emissions: set[asyncio.Task[bool]] = set()


def connect_signal(
    signal: Signal,
    *,
    event_type: str | Callable[..., str],
    data: Mapping[str, Any] | Callable[..., Mapping[str, Any]] | None = None,
    sender: Any = None,
    when: Callable[..., object] | None = None,
    category: EventCategory | str = EventCategory.REALTIME,
    priority: EventPriority | str | None = None,
    user_id: str | int | Callable[..., str | int | None] | None = None,
    dispatch_uid: Hashable = None,
) -> Callable[[], bool]:
    """Emit an event whenever `signal` is sent (by `sender`). Returns a function that ends it: False if it had ended before.

    `event_type`, `data`, the values in `data` and `user_id` may be callables; they are called with the signal's arguments,
    `sender` included, by name, as is `when`: with a false answer nothing is emitted. Connecting the same type, category
    and `when` to a signal and sender again changes nothing, unless `dispatch_uid` tells them apart.

    The sender of the signal never hears of trouble: what a callable raises is logged and counted as a handler's error. Only
    a malformed event raises, where `EVENTS["RAISE_INVALID"]` is on. In a transaction the event commits or vanishes with it.
    Where `send()` is called in a thread that runs an event loop, the event is emitted by a task of that loop.
    Raises InvalidEvent at once for a type, category or priority that can't be.
    """
    if not callable(event_type):
        check_type(event_type)
    fields: dict[str, Any] = {"category": parse_enum(EventCategory, "category", category)}
    if priority is not None:
        fields["priority"] = parse_enum(EventPriority, "priority", priority)
    declaration = Declaration(event_type, data, when, user_id, fields)
    uid = dispatch_uid or ("events.connect_signal", _name(event_type), fields["category"], _name(when))
    signal.connect(declaration, sender=sender, weak=False, dispatch_uid=uid)
    return lambda: signal.disconnect(sender=sender, dispatch_uid=uid)


@dataclass(frozen=True, eq=False)
class Declaration:
    """The receiver that makes an event of a signal."""

    event_type: str | Callable[..., str]
    data: Mapping[str, Any] | Callable[..., Mapping[str, Any]] | None
    when: Callable[..., object] | None
    user_id: Any
    fields: dict[str, Any]

    def __call__(self, signal: Signal, **arguments: Any) -> None:
        parts = call_isolated(self._parts, arguments=arguments)
        if parts is None:
            return
        if (loop := running_loop()) is None:
            emit(**parts)
        else:
            task = loop.create_task(_emit_in_loop(parts))
            _emissions.add(task)
            task.add_done_callback(_emissions.discard)

    def _parts(self, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """What to emit; None if the condition does not hold."""
        if self.when is not None and not self.when(**arguments):
            return None
        data = _resolve(self.data, arguments)
        if isinstance(data, Mapping):
            data = {name: _resolve(value, arguments) for name, value in data.items()}
        event_type, user_id = _resolve(self.event_type, arguments), _resolve(self.user_id, arguments)
        return {"event": event_type, "data": data, "user_id": user_id, **self.fields}


def _resolve(value: Any, arguments: dict[str, Any]) -> Any:
    return value(**arguments) if callable(value) else value


async def _emit_in_loop(parts: dict[str, Any]) -> bool:
    try:
        return await aemit(**parts)
    except InvalidEvent:  # the sender has gone on: there is nobody to raise it to
        logger.exception("%s could not be emitted", parts["event"])
        return False


def _name(part: Any) -> Hashable:
    """The same for a function that stands at the same place in the code, so that connecting it twice is recognised. Functions
    that carry values of their own are told apart."""
    code = getattr(part, "__code__", None)
    if code is None or ismethod(part) or part.__closure__ or part.__defaults__ or part.__kwdefaults__:
        return part
    return code.co_filename, code
