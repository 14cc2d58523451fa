"""The audit of the audit: who viewed, searched and exported the log becomes an entry of it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from audit.conf import settings
from audit.models import Outcome
from events.manager import emit
from events.types import EventCategory

RESOURCE_TYPE = "audit.auditentry"


def record_list(request: HttpRequest, page: str, asked: dict[str, Any]) -> bool:
    """Record that a page of entries is shown: `audit_log.searched` where something was asked for, else `audit_log.viewed`.

    `page` names it (`list`, `timeline`, `chart`, `api`). Result as `record`.
    """
    return record(request, "search" if asked else "view", page=page, asked=asked)


def record_entry(request: HttpRequest, entry_id: object) -> bool:
    """Record that one entry is shown: `audit_log.viewed` with its id. Result as `record`."""
    return record(request, "view", page="entry", resource_id=str(entry_id))


def record(request: HttpRequest | None, action: str, **data: Any) -> bool:
    """Emit `audit_log.viewed`, `.searched` or `.exported`, once for a page or an export. `request` is None for a command.

    True if it is on record, or need not be (`AUDIT["RECORD_READING"]` is off).
    """
    if not settings().RECORD_READING:
        return True
    user = getattr(request, "user", None)
    return emit(
        f"audit_log.{PAST[action]}",
        {"action": action, "resource_type": RESOURCE_TYPE, **data},
        category=EventCategory.AUDIT,
        user_id=None if user is None else str(user.pk),
        metadata={"outcome": str(Outcome.SUCCESS)},
    )


PAST = {"view": "viewed", "search": "searched", "export": "exported"}
