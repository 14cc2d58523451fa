"""The audit of the audit: who viewed, searched, verified, exported, pruned and erased is an entry of the log itself.

Nobody else can emit such events: whether the log was verified, or who read it, is told by what this module recorded.
"""

from __future__ import annotations

from typing import Any, Final

from audit.conf import settings
from audit.models import Outcome
from events.context import current_context
from events.exceptions import InvalidEvent
from events.manager import emit
from events.types import EventCategory, EventPriority, UnifiedEvent

RESOURCE: Final = "audit_log"


class LogEvent(UnifiedEvent):
    """An event of the log about itself. Only `record` makes them."""


def refuse_forged(event: UnifiedEvent) -> None:
    """A check of the router's (`EventRouter.add_check`). Raises InvalidEvent for an event that would look like one of `record`."""
    if isinstance(event, LogEvent):
        return
    if event.event_type.startswith(f"{RESOURCE}."):
        raise InvalidEvent("event_type", f"{RESOURCE}.* are the audit log's own events")
    if event.data.get("resource_type") == RESOURCE:
        raise InvalidEvent("data", f"the resource type {RESOURCE} is for the audit log's own events")


def record(
    action: str, details: dict[str, Any] | None = None, *, outcome: Outcome = Outcome.SUCCESS, urgent: bool = False
) -> bool:
    """Emit the audit event `audit_log.<action>` (`viewed`, `searched`, `verified`, `exported`, `pruned`, `erased`, …), done by the
    actor of the context. Result as `events.emit`. `urgent` tells the staff's browsers at once."""
    return emit(
        LogEvent(
            EventCategory.AUDIT,
            f"{RESOURCE}.{action}",
            data=(details or {}) | {"action": action, "resource_type": RESOURCE},
            metadata={"outcome": str(outcome)},
            priority=EventPriority.HIGH if urgent else EventPriority.NORMAL,
        )
    )


def actor_label() -> str:
    """Who does it, in words, for a record that is signed."""
    actor = current_context().current_actor()
    return "" if actor is None else f"{actor.type}:{actor.id or actor.label}"[:255]


def record_list(page: str, asked: dict[str, Any]) -> bool:
    """Record that a page of entries is shown: `audit_log.searched` where something was asked for, else `audit_log.viewed`.

    `page` names it (`list`, `timeline`, `chart`, `api`). Result as `record_reading`.
    """
    return record_reading("searched" if asked else "viewed", page=page, asked=asked)


def record_entry(entry_id: object) -> bool:
    """Record that one entry is shown: `audit_log.viewed` with its id. Result as `record_reading`."""
    return record_reading("viewed", page="entry", resource_id=str(entry_id))


def record_reading(action: str, **details: Any) -> bool:
    """As `record`, once for a page or an export.

    True if it is on record, or need not be (`AUDIT["RECORD_READING"]` is off).
    """
    return not settings().RECORD_READING or record(action, details)
