"""Counters in the database: a row a key. SQLite 3.35 or later, and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet

from events.conf import settings
from events.types import utcnow
from security.counters import at_once, windows
from security.counters.windows import Moment
from security.detection import Count, Hit
from security.models import Counter

CLEANED_AT_ONCE = 100
# What someone waits for cleans no more often, in one process.
CLEANED_EVERY = timedelta(minutes=1)


class DatabaseCounters:
    """Two statements for all hits of a call, one where that suffices (`security.detection.Counters`). Raises DatabaseError."""

    def __init__(self) -> None:
        self._cleaned_at = utcnow() - CLEANED_EVERY

    def count(self, hits: Sequence[Hit], at: datetime) -> list[Count]:
        """See `Counters.count`. Outside of the caller's transaction if it has none: then the counts are committed on return."""
        now = utcnow()
        moment = min(at, now).timestamp()  # a clock that runs ahead must not push the others' moments out of the window
        if _are_plain(hits):
            rows, is_new = at_once.add(hits, moment, now)
            if is_new:
                self._clean(now)
            return [windows.count(rows[hit.key], hit, moment) for hit in hits]
        keys = _counted(hits)
        if not keys:
            return windows.counts(_read({hit.key for hit in hits}), hits, moment)
        with transaction.atomic(using=settings().DATABASE):
            rows = _lock(keys, now)
            is_new = not all(rows.values())
            windows.add(rows, hits, moment)
            _write(rows, _expiry(hits, now))
            rows = rows | _read({hit.key for hit in hits} - rows.keys())
        if is_new:  # only then does the table grow
            forget_expired(now)
        return windows.counts(rows, hits, moment)

    def count_gated(self, gate: Hit, limit: int, others: Sequence[Hit], at: datetime) -> list[Count] | None:
        """See `security.counters.count_gated`: one statement. Who signs in cleans nothing: the detectors and the keeper do."""
        now = utcnow()
        moment = min(at, now).timestamp()
        rows, _ = at_once.add([gate, *others], moment, now, gate_limit=limit)
        if others and others[0].key not in rows:
            return None
        if windows.count(rows[gate.key], gate, moment).number > limit:
            return None
        return [windows.count(rows[hit.key], hit, moment) for hit in others]

    def take_back(self, hits: Sequence[Hit], at: datetime) -> None:
        """See `Counters.take_back`."""
        keys, now = _counted(hits), utcnow()
        if not keys:
            return
        if _are_plain(hits):
            at_once.take_back(hits, min(at, now).timestamp())
            return
        with transaction.atomic(using=settings().DATABASE):
            rows = _lock(keys, now)
            for hit in hits:
                if not hit.only_look:
                    rows[hit.key] = windows.take_back(rows[hit.key], hit, min(at, now).timestamp())
            _write(rows, _expiry(hits, now))

    def forget(self, keys: Sequence[str]) -> None:
        """See `Counters.forget`."""
        _rows().filter(pk__in=keys).delete()

    def _clean(self, now: datetime) -> None:
        if now - self._cleaned_at > CLEANED_EVERY:
            self._cleaned_at = now
            forget_expired(now)


def forget_expired(now: datetime) -> int:
    """Delete rows of which nothing counts any more, some at a time; those in use stay. How many."""
    with transaction.atomic(using=settings().DATABASE):
        stale = _rows().filter(expires_at__lt=now).select_for_update(skip_locked=True)
        return _rows().filter(pk__in=list(stale.values_list("pk", flat=True)[:CLEANED_AT_ONCE])).delete()[0]


def _are_plain(hits: Sequence[Hit]) -> bool:
    """Whether one statement does. It forgets by number, whatever member a moment has: of a key with members it would lose some."""
    return all(hit.plain for hit in hits) and at_once.suits(hits)


def _counted(hits: Sequence[Hit]) -> list[str]:
    """The keys that something is added to, in the order in which everybody locks them."""
    return sorted({hit.key for hit in hits if not hit.only_look})


def _expiry(hits: Iterable[Hit], now: datetime) -> dict[str, datetime]:
    spans: dict[str, timedelta] = {}
    for hit in hits:
        spans[hit.key] = max(hit.window, spans.get(hit.key, hit.window))
    return {key: now + span for key, span in spans.items()}


def _lock(keys: Sequence[str], now: datetime) -> dict[str, list[Moment]]:
    """What is remembered of the keys; their rows, made where there are none, are locked until the transaction ends.

    The upsert locks as it goes through the keys, which are in order: two calls can't wait for each other.
    """
    moment = _adapted(now)
    return _asked(
        f"INSERT INTO security_counter (key, hits, expires_at) VALUES {', '.join(['(%s, %s, %s)'] * len(keys))} "
        "ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING key, hits",
        [value for key in keys for value in (key, "[]", moment)],
    )


def _write(rows: dict[str, list[Moment]], expiry: dict[str, datetime]) -> None:
    """Into rows that there are. In SQL of our own, as all here: Django's way there takes longer than the database does."""
    with connections[settings().DATABASE].cursor() as cursor:
        cursor.executemany(
            "UPDATE security_counter SET hits = %s, expires_at = %s WHERE key = %s",
            [(json.dumps(moments), _adapted(expiry[key]), key) for key, moments in rows.items()],
        )


def _read(keys: Collection[str]) -> dict[str, list[Moment]]:
    if not keys:
        return {}
    return _asked(f"SELECT key, hits FROM security_counter WHERE key IN ({', '.join(['%s'] * len(keys))})", list(keys))


def _asked(sql: str, parameters: list[Any]) -> dict[str, list[Moment]]:
    with connections[settings().DATABASE].cursor() as cursor:
        cursor.execute(sql, parameters)
        return {key: [(moment, member) for moment, member in json.loads(hits)] for key, hits in cursor.fetchall()}


def _adapted(moment: datetime) -> Any:
    return connections[settings().DATABASE].ops.adapt_datetimefield_value(moment)


def _rows() -> QuerySet[Counter]:
    return Counter.objects.using(settings().DATABASE)
