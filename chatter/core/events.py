"""Events, their types and the router, by the path that existing code imports them from."""

from events.manager import emit_event, event_router
from events.router import Emitter, EventRouter
from events.sse import EventType, validate_event_data
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

__all__ = [
    "Emitter", "EventCategory", "EventPriority", "EventRouter", "EventType", "UnifiedEvent", "create_analytics_event",
    "create_audit_event", "create_event", "create_monitoring_event", "create_realtime_event", "create_security_event",
    "create_streaming_event", "create_workflow_event", "emit_event", "event_router", "validate_event_data",
]  # fmt: skip
