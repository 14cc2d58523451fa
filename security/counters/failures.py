"""Counting failures in the database, exactly, however many threads and processes count at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet

from events.conf import settings
from events.types import utcnow
from security.models import FailureWindow, KeyKind

CLEANED_AT_ONCE = 100


class Key(NamedTuple):
    """What failures are counted by: an address, an account's id, or the hash of a username that is no account's."""

    kind: KeyKind
    value: str


def count_failure(keys: Iterable[Key], at: datetime, threshold: int, window: timedelta) -> list[FailureWindow]:
    """Count one failure for each of the keys. The windows that it gives an alert for: at most one a key and window.

    An alert is claimed for the caller here, before it is raised; `release` gives it back.
    """
    now = utcnow()
    at = min(at, now)  # a clock that runs ahead must not push the others' failures out of the window
    with transaction.atomic(using=settings().DATABASE):
        rows = _lock(sorted(keys), at, now)
        crossed = [row for row in rows if row.add(at, threshold, window)]
        is_new = any(len(row.recent) == 1 for row in rows)
        evidence = [_claim(row) for row in crossed]
        _windows().bulk_update(rows, ["recent", "last_failure", "alerted_at", "since_alert"])
    if is_new:  # only then does the table grow
        forget_before(now - window)
    return evidence


def release(windows: Iterable[FailureWindow]) -> None:
    """The alert for these windows could not be raised: let the next failure try."""
    for row in windows:
        _windows().filter(pk=row.pk, alerted_at=row.last_failure).update(alerted_at=None)


def forget_before(moment: datetime) -> None:
    """Delete windows in which nothing was counted since then, some at a time; those in use stay."""
    with transaction.atomic(using=settings().DATABASE):
        stale = _windows().filter(counted_at__lt=moment).select_for_update(skip_locked=True)
        _windows().filter(pk__in=list(stale.values_list("pk", flat=True)[:CLEANED_AT_ONCE])).delete()


def _lock(keys: Sequence[Key], at: datetime, now: datetime) -> list[FailureWindow]:
    """The rows of the keys, made where there are none, locked until the transaction ends.

    The upsert locks as it goes through the keys, which are in order: two failures can't wait for each other.
    """
    _windows().bulk_create(
        [FailureWindow(kind=kind, key=value, last_failure=at, counted_at=now) for kind, value in keys],
        update_conflicts=True,
        unique_fields=["kind", "key"],
        update_fields=["counted_at"],
    )
    wanted = Q.create([Q(kind=kind, key=value) for kind, value in keys], connector=Q.OR)
    return list(_windows().filter(wanted))


def _claim(row: FailureWindow) -> FailureWindow:
    """Mark the row as alerted. A copy of it as it was, for the evidence."""
    evidence = FailureWindow(
        id=row.pk, kind=row.kind, key=row.key, recent=row.recent, last_failure=row.last_failure,
        alerted_at=row.alerted_at, since_alert=row.since_alert,
    )  # fmt: skip
    row.alerted_at, row.since_alert = row.last_failure, 0
    return evidence


def _windows() -> QuerySet[FailureWindow]:
    return FailureWindow.objects.using(settings().DATABASE)
