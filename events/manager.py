"""The one way in: `emit` for synchronous code, `aemit` and the `emit_*_event` coroutines for asynchronous code."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.utils.asyncio import async_unsafe

from events.conf import raise_invalid, settings
from events.exceptions import InvalidEvent
from events.router import EventRouter, Prepared
from events.stats import stats
from events.types import EventCategory, EventPriority, UnifiedEvent, create_event
from events.writer import Writer

logger = logging.getLogger("events")


class UnifiedEventManager:
    """Connects the router to the journal, and answers for malformed events. One a process: `unified_event_manager`."""

    def __init__(self) -> None:
        self.router = EventRouter()
        self.writer = Writer(self.router.write_to_emitters)
        # First of all that is registered, and so done last: what others do when Python ends may emit.
        atexit.register(self.writer.stop)
        self._initialized = False

    def initialize(self) -> None:
        """Connect the router to the journal. The app does it when Django starts; doing it again changes nothing."""
        if not self._initialized:
            self.router.outlet = self.writer
            self._initialized = True

    def shutdown(self) -> None:
        """Write and publish what was handed in, end the threads. Emitting after it starts them again."""
        self.writer.stop()

    def is_initialized(self) -> bool:
        """Whether events are written."""
        return self._initialized

    def get_stats(self) -> dict[str, Any]:
        """This process's counters (`events.stats`)."""
        return stats.snapshot()

    def emit(self, event: UnifiedEvent) -> bool:
        """See `events.emit`."""
        self.initialize()
        try:
            return self.router.route(event)
        except InvalidEvent as error:
            return refuse(error)

    def prepare(self, event: UnifiedEvent) -> Prepared:
        """The event checked, completed from the context and encoded, for `emit_all`. Raises InvalidEvent, whatever the settings."""
        self.initialize()
        return self.router.prepare(event)

    def emit_all(self, prepared: Sequence[Prepared]) -> bool:
        """Emit what `prepare` gave, as one: all events are stored, or none. Result as `events.emit`."""
        return settings().UNIFIED_EVENTS_ENABLED and self.router.route_all(prepared)

    async def aemit(self, event: UnifiedEvent) -> bool:
        """See `events.aemit`."""
        self.initialize()
        try:
            return await self.router.route_event(event)
        except InvalidEvent as error:
            return refuse(error)


unified_event_manager = UnifiedEventManager()
event_router = unified_event_manager.router


@async_unsafe("emit() can't be used where an event loop runs - use `await events.aemit(...)`.")
def emit(event: UnifiedEvent | str, data: dict[str, Any] | None = None, **fields: Any) -> bool:
    """Emit an event: a `UnifiedEvent`, or its type and data with any other fields by name (`category` is realtime unless given).

    Inside a transaction the event commits or vanishes with it. True if it is stored, or will be with the transaction; False
    if not (the reason is logged and counted: trouble with database, Redis or a handler never reaches the caller).
    Raises InvalidEvent for a malformed event where `EVENTS["RAISE_INVALID"]` is on.
    """
    made = _make(event, data, fields)
    return made is not None and unified_event_manager.emit(made)


async def aemit(event: UnifiedEvent | str, data: dict[str, Any] | None = None, **fields: Any) -> bool:
    """As `emit`, where an event loop runs. It joins the transaction of synchronous code that waits in `async_to_sync`; Django hides
    that of code which waits in `asyncio.run`."""
    made = _make(event, data, fields)
    return made is not None and await unified_event_manager.aemit(made)


async def emit_event(event: UnifiedEvent | str, data: dict[str, Any] | None = None, **fields: Any) -> bool:
    """As `aemit`; the name that existing code uses."""
    return await aemit(event, data, **fields)


async def emit_realtime_event(event_type: str, data: dict[str, Any] | None = None, **fields: Any) -> bool:
    """Emit an update for users' browsers. Parameters and result as `aemit`."""
    return await aemit(event_type, data, category=EventCategory.REALTIME, **fields)


async def emit_security_event(event_type: str, data: dict[str, Any] | None = None, **fields: Any) -> bool:
    """Emit something for the security monitor; an audit entry follows. Parameters and result as `aemit`."""
    return await aemit(event_type, data, category=EventCategory.SECURITY, **fields)


async def emit_audit_event(event_type: str, data: dict[str, Any] | None = None, **fields: Any) -> bool:
    """Emit something for the audit log. Parameters and result as `aemit`."""
    return await aemit(event_type, data, category=EventCategory.AUDIT, **fields)


async def emit_monitoring_event(event_type: str, data: dict[str, Any] | None = None, **fields: Any) -> bool:
    """Emit a measurement or the health of a part of the system. Parameters and result as `aemit`."""
    return await aemit(event_type, data, category=EventCategory.MONITORING, **fields)


async def emit_streaming_event(event_type: str, data: dict[str, Any] | None = None, **fields: Any) -> bool:
    """Emit a piece of a stream, delivered at most once. Parameters and result as `aemit`."""
    return await aemit(event_type, data, category=EventCategory.STREAMING, **fields)


async def emit_analytics_event(event_type: str, data: dict[str, Any] | None = None, **fields: Any) -> bool:
    """Emit a count for analysis, of low priority unless said otherwise. Parameters and result as `aemit`."""
    return await aemit(event_type, data, category=EventCategory.ANALYTICS, **fields)


async def emit_workflow_event(event_type: str, data: dict[str, Any] | None = None, **fields: Any) -> bool:
    """Emit a step or a change of state of a workflow. Parameters and result as `aemit`."""
    return await aemit(event_type, data, category=EventCategory.WORKFLOW, **fields)


# What a severity word means as a priority; the priorities' own names work too.
SEVERITIES = {str(priority): priority for priority in EventPriority} | {
    "debug": EventPriority.LOW,
    "info": EventPriority.NORMAL,
    "warning": EventPriority.HIGH,
    "error": EventPriority.HIGH,
}


async def emit_system_alert(message: str, severity: str = "high", data: dict[str, Any] | None = None, **fields: Any) -> bool:
    """Emit the monitoring event `system.alert`. `severity` is a priority, or debug, info, warning or error."""
    priority = SEVERITIES.get(severity) if isinstance(severity, str) else None
    if priority is None:
        return refuse(InvalidEvent("severity", f"must be one of {', '.join(SEVERITIES)}"))
    details = {"message": message, "severity": severity}
    if data is not None:
        details = details | data if isinstance(data, dict) else data
    return await emit_monitoring_event("system.alert", details, priority=priority, **fields)


async def initialize_event_system() -> None:
    """Connect the event system. Harmless when done twice; needless in a Django project, where the app does it itself."""
    unified_event_manager.initialize()


async def shutdown_event_system() -> None:
    """Write and publish what was handed in, and end the threads."""
    await sync_to_async(unified_event_manager.shutdown)()


def get_event_stats() -> dict[str, Any]:
    """This process's counters: processed, by_category, by_priority, by_type, errors, dropped and more (`events.stats`)."""
    return unified_event_manager.get_stats()


def _make(event: UnifiedEvent | str, data: dict[str, Any] | None, fields: dict[str, Any]) -> UnifiedEvent | None:
    if isinstance(event, UnifiedEvent):
        if data is not None or fields:
            raise TypeError("give either an event or its parts")
        return event
    try:
        return create_event(fields.pop("category", EventCategory.REALTIME), event, data, **fields)
    except InvalidEvent as error:
        refuse(error)
        return None


def refuse(error: InvalidEvent) -> bool:
    """Raise the error where `EVENTS["RAISE_INVALID"]` is on; else log it, count it and answer False."""
    if raise_invalid():
        raise error
    stats.count("invalid")
    logger.error("Event refused: %s", error)
    return False
