"""`sse_service.trigger_event`: emit an event of a known type to browsers, its payload checked."""

from __future__ import annotations

from typing import Any

from events.exceptions import InvalidEvent
from events.manager import aemit, get_event_stats, refuse
from events.sse.catalogue import EventType, parse_event_type, priority_of, validate_event_data
from events.types import EventPriority


class SSEService:
    """Emits events of known types. In synchronous code use `events.emit(EventType.…, validate_event_data(…), …)`."""

    async def trigger_event(
        self,
        event_type: EventType | str,
        data: dict[str, Any],
        user_id: str | int | None = None,
        metadata: dict[str, Any] | None = None,
        priority: EventPriority | str | None = None,
    ) -> bool:
        """Emit a realtime event, to one user or to everyone. Result as `events.aemit`; the dictionaries are not changed.

        Where `priority` is not given, progress is low, a failed backup and an alert are high, the rest is normal. An unknown
        type or a wrong payload is an InvalidEvent: raised where `EVENTS["RAISE_INVALID"]` is on, else False.
        """
        try:
            known = parse_event_type(event_type)
            checked = validate_event_data(known, data)
        except InvalidEvent as error:
            return refuse(error)
        return await aemit(
            str(known), checked, user_id=user_id, metadata=metadata, priority=priority_of(known) if priority is None else priority
        )

    def get_stats(self) -> dict[str, Any]:
        """This process's counters, as `events.get_event_stats()`, with `by_type` for each known type only (0 if none)."""
        stats = get_event_stats()
        return stats | {"by_type": {str(known): stats["by_type"].get(known, 0) for known in EventType}}


sse_service = SSEService()
