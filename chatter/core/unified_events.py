"""The event system, by the path that existing code imports it from."""

from events.manager import (
    UnifiedEventManager,
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
from events.router import Emitter, EventRouter
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
    "Emitter", "EventCategory", "EventPriority", "EventRouter", "UnifiedEvent", "UnifiedEventManager", "aemit",
    "create_analytics_event", "create_audit_event", "create_event", "create_monitoring_event", "create_realtime_event",
    "create_security_event", "create_streaming_event", "create_workflow_event", "emit", "emit_analytics_event",
    "emit_audit_event", "emit_event", "emit_monitoring_event", "emit_realtime_event", "emit_security_event",
    "emit_streaming_event", "emit_system_alert", "emit_workflow_event", "event_router", "get_event_stats",
    "initialize_event_system", "shutdown_event_system", "unified_event_manager",
]  # fmt: skip
