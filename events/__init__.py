"""One call emits an event: `events.emit(...)`, or `await events.aemit(...)` where an event loop runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from events.exceptions import EventsError, InvalidCursor, InvalidEvent, InvalidFilter
from events.types import (
    EventCategory,
    EventPriority,
    UnifiedEvent,
    create_analytics_event,
    create_audit_event,
    create_event,
    create_monitoring_event,
    create_realtime_event,
    create_security_event,
    create_streaming_event,
    create_workflow_event,
)

if TYPE_CHECKING:
    from events.context import Actor, act_as, correlate, task_actor
    from events.manager import (
        aemit,
        emit,
        emit_analytics_event,
        emit_audit_event,
        emit_event,
        emit_monitoring_event,
        emit_realtime_event,
        emit_security_event,
        emit_streaming_event,
        emit_system_alert,
        emit_workflow_event,
        event_router,
        get_event_stats,
        initialize_event_system,
        shutdown_event_system,
        unified_event_manager,
    )
    from events.signals import connect_signal, event_routed
    from events.sse import EventType, sse_service, validate_event_data

# What needs Django's app registry is imported when it is first used: Django imports this package to load the app.
_LAZY = {
    "events.sse": ("EventType", "sse_service", "validate_event_data"),
    "events.context": ("Actor", "act_as", "correlate", "task_actor"),
    "events.signals": ("connect_signal", "event_routed"),
    "events.manager": (
        "aemit",
        "emit",
        "emit_analytics_event",
        "emit_audit_event",
        "emit_event",
        "emit_monitoring_event",
        "emit_realtime_event",
        "emit_security_event",
        "emit_streaming_event",
        "emit_system_alert",
        "emit_workflow_event",
        "event_router",
        "get_event_stats",
        "initialize_event_system",
        "shutdown_event_system",
        "unified_event_manager",
    ),
}
_HOME = {name: module for module, names in _LAZY.items() for name in names}

__all__ = [
    "Actor", "EventCategory", "EventPriority", "EventType", "EventsError", "InvalidCursor", "InvalidEvent", "InvalidFilter",
    "UnifiedEvent",
    "act_as", "aemit", "connect_signal", "correlate", "create_analytics_event", "create_audit_event", "create_event",
    "create_monitoring_event", "create_realtime_event", "create_security_event", "create_streaming_event",
    "create_workflow_event", "emit", "emit_analytics_event", "emit_audit_event", "emit_event", "emit_monitoring_event",
    "emit_realtime_event", "emit_security_event", "emit_streaming_event", "emit_system_alert", "emit_workflow_event",
    "event_routed", "event_router", "get_event_stats", "initialize_event_system", "shutdown_event_system", "sse_service",
    "task_actor", "unified_event_manager", "validate_event_data",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
