"""Counting in sliding windows: in Redis where there is one, else in the database. Exact in both."""

from __future__ import annotations

from functools import cache

from security.conf import redis_url, settings
from security.counters.database import DatabaseCounters
from security.counters.redis import RedisCounters
from security.detection import Counters

_database = DatabaseCounters()


def counters() -> Counters:
    """The counters that `SECURITY["COUNTERS"]` chooses."""
    url = None if settings().COUNTERS == "database" else redis_url()
    return _redis(url, settings().REDIS_PREFIX) if url else _database


@cache
def _redis(url: str, prefix: str) -> RedisCounters:
    return RedisCounters(url, prefix, fallback=_database)
