"""Counting in sliding windows: in Redis where there is one, else in the database. Exact in both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache

from security.conf import redis_url, settings
from security.counters.database import DatabaseCounters
from security.counters.redis import RedisCounters
from security.detection import Count, Counters, Hit

_database = DatabaseCounters()


def counters() -> Counters:
    """The counters that `SECURITY["COUNTERS"]` chooses."""
    url = None if settings().COUNTERS == "database" else redis_url()
    return _redis(url, settings().REDIS_PREFIX) if url else _database


def count_gated(gate: Hit, limit: int, others: Sequence[Hit], at: datetime) -> list[Count] | None:
    """Count the gate, and the others only if it has at most `limit` then: what it keeps out is not counted for them, not for a moment.
    The counts of the others; None if they were not counted. All are hits without members, `others` in the order of their keys."""
    chosen = counters()
    if chosen is _database:
        return _database.count_gated(gate, limit, others, at)
    if chosen.count([gate], at)[0].number > limit:
        return None
    return chosen.count(others, at)


@cache
def _redis(url: str, prefix: str) -> RedisCounters:
    return RedisCounters(url, prefix, fallback=_database)
