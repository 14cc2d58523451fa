"""Counting, exactly, however many threads and processes count at once: `counters()`."""

from __future__ import annotations

from functools import cache

from security.counters.database import DatabaseCounters
from security.detection import Counters


@cache
def counters() -> Counters:
    """Where this site counts."""
    return DatabaseCounters()
