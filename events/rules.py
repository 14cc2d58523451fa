"""Cross-system routing: which further events one event gives. Pure functions; a derived event derives nothing further."""

from __future__ import annotations

from dataclasses import replace

from events.conf import EventsSettings
from events.ids import new_id
from events.types import EventCategory, EventPriority, UnifiedEvent


def apply_rules(event: UnifiedEvent, settings: EventsSettings) -> list[UnifiedEvent]:
    """The event followed by what the rules derive from it, each once.

    - security → audit: an entry for the audit log;
    - high and critical → realtime: browsers hear of it. Its audience stays that of the original (`events.access`);
    - critical → flagged for a browser notification: on the realtime event, or on the event itself where there is none. Not if its metadata
      says that it is `quiet`: who tells many at once flags a few.
    """
    derived = []
    if settings.CROSS_SYSTEM_ROUTING:
        if event.category is EventCategory.SECURITY:
            derived.append(_derive(event, EventCategory.AUDIT))
        if event.priority.is_urgent and event.category is not EventCategory.REALTIME:
            derived.append(_derive(event, EventCategory.REALTIME))
    events = [event, *derived]
    notifies = event.priority is EventPriority.CRITICAL and event.metadata.get("quiet") is not True
    if notifies and settings.HIGH_PRIORITY_NOTIFICATIONS:
        last = events[-1]
        events[-1] = replace(last, metadata=last.metadata | {"notification": True})
    return events


def _derive(event: UnifiedEvent, category: EventCategory) -> UnifiedEvent:
    origin = {"derived_from": event.id, "source_category": str(event.category)}
    return replace(event, id=new_id(), category=category, metadata=event.metadata | origin)
