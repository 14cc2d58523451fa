"""Has `migrate` put the triggers in place, and tell where they were not before it began."""

from __future__ import annotations

import logging
from typing import Any

from django.db import connections

from audit import access
from audit.evidence import triggers
from events.conf import settings

logger = logging.getLogger("audit.triggers")

# What was missing when migrate began, by database: what it changes itself is no news.
_before: dict[str, list[str]] = {}


def look(using: str, **kwargs: Any) -> None:
    """For `pre_migrate`."""
    if connections[using].vendor in ("sqlite", "postgresql"):
        _before[using] = _missing(using)


def protect(using: str, **kwargs: Any) -> None:
    """For `post_migrate`: put the triggers in place. What was missing is logged, and on record as `audit_log.protected`."""
    if connections[using].vendor not in ("sqlite", "postgresql"):
        return
    missing = _before.pop(using) if using in _before else _missing(using)
    triggers.install(connections[using])
    if missing:
        logger.error(
            "Before this the audit log may not have been append-only: missing, changed or not ours were %s", ", ".join(missing)
        )
        if using == settings().DATABASE and not access.record("protected", {"missing": missing}, urgent=True):
            logger.error("That could not be recorded in the audit log")


def _missing(using: str) -> list[str]:
    """None at the first installation."""
    return triggers.missing(connections[using]) if triggers.are_tables_there(connections[using]) else []
