"""Who viewed, searched and exported the log becomes an entry of it, unless that is switched off."""

from __future__ import annotations

from typing import Any

from audit import access
from audit.conf import settings


def record_list(page: str, asked: dict[str, Any]) -> bool:
    """Record that a page of entries is shown: `audit_log.searched` where something was asked for, else `audit_log.viewed`.

    `page` names it (`list`, `timeline`, `chart`, `api`). Result as `record`.
    """
    return record("searched" if asked else "viewed", page=page, asked=asked)


def record_entry(entry_id: object) -> bool:
    """Record that one entry is shown: `audit_log.viewed` with its id. Result as `record`."""
    return record("viewed", page="entry", resource_id=str(entry_id))


def record(action: str, **details: Any) -> bool:
    """Record `audit_log.<action>` (`audit.access`), once for a page or an export.

    True if it is on record, or need not be (`AUDIT["RECORD_READING"]` is off).
    """
    return not settings().RECORD_READING or access.record(action, details)
