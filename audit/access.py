"""The audit of the audit: who viewed, searched, verified, exported, pruned and erased is an entry of the log itself."""

from __future__ import annotations

from typing import Any, Final

from audit.models import Outcome
from events.context import current_context
from events.manager import emit
from events.types import EventCategory, EventPriority

RESOURCE: Final = "audit_log"


def record(
    action: str, details: dict[str, Any] | None = None, *, outcome: Outcome = Outcome.SUCCESS, urgent: bool = False
) -> bool:
    """Emit the audit event `audit_log.<action>` (`viewed`, `searched`, `verified`, `exported`, `pruned`, `erased`, …), done by the
    actor of the context. Result as `events.emit`. `urgent` tells the staff's browsers at once."""
    data = (details or {}) | {"action": action, "resource_type": RESOURCE}
    return emit(
        f"{RESOURCE}.{action}",
        data,
        category=EventCategory.AUDIT,
        priority=EventPriority.HIGH if urgent else EventPriority.NORMAL,
        metadata={"outcome": str(outcome)},
    )


def actor_label() -> str:
    """Who does it, in words, for a record that is signed."""
    actor = current_context().current_actor()
    return "" if actor is None else f"{actor.type}:{actor.id or actor.label}"[:255]
