"""Legal holds: rows that neither retention nor erasure may touch until the hold is released. The triggers see to it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from audit import access
from audit.models import LegalHold
from events.conf import settings

COLUMNS: Final = {
    "category": "source_category",
    "user_id": "user_id",
    "resource_type": "resource_type",
    "resource_id": "resource_id",
}


def place(reason: str, **which: str) -> LegalHold:
    """Hold the rows that have all these values (`category`, `user_id`, `resource_type`, `resource_id`); without any, all rows.

    Raises TypeError for another column.
    """
    if unknown := which.keys() - COLUMNS.keys():
        raise TypeError(f"a hold has no {', '.join(sorted(unknown))}")
    with transaction.atomic(using=settings().DATABASE):
        hold = LegalHold(**which, reason=reason, actor=access.actor_label())
        hold.save(using=settings().DATABASE, force_insert=True)
        access.record("held", {"hold": hold.id, "reason": reason, **which}, urgent=True)
    return hold


def release(hold_id: int, reason: str) -> bool:
    """End a hold. False if there is none of this id in force."""
    with transaction.atomic(using=settings().DATABASE):
        if not in_force().filter(id=hold_id).exists():
            return False
        LegalHold(releases=hold_id, reason=reason, actor=access.actor_label()).save(using=settings().DATABASE, force_insert=True)
        access.record("released", {"hold": hold_id, "reason": reason}, urgent=True)
    return True


def in_force() -> QuerySet[LegalHold]:
    """The holds that were not released."""
    holds = LegalHold.objects.using(settings().DATABASE)
    released = holds.exclude(releases=None).values("releases")
    return holds.filter(releases=None).exclude(id__in=released).order_by("id")


def is_held(row: Mapping[str, Any], holds: list[LegalHold]) -> bool:
    """Whether one of the holds is on the row."""
    return any(all(getattr(hold, name) in ("", row[column]) for name, column in COLUMNS.items()) for hold in holds)
