"""Counters of this process: what was emitted, what went wrong. The journal's own totals come from the database."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from events.types import EventCategory, EventPriority, UnifiedEvent

# by_type is for people: past this many names, further ones count as OTHER.
MAX_TYPES = 500
OTHER = "(other)"


class Statistics:
    """Thread-safe counters. `snapshot` is what `get_event_stats()` answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Start again at zero."""
        with self._lock:
            self._processed = 0
            self._derived = 0
            self._by_category = Counter(dict.fromkeys(map(str, EventCategory), 0))
            self._by_priority = Counter(dict.fromkeys(map(str, EventPriority), 0))
            self._by_type: Counter[str] = Counter()
            self._lost = Counter(dict.fromkeys(map(str, EventCategory), 0))
            self._connections = 0
            self._counts = Counter(
                invalid=0,
                handler_errors=0,
                write_errors=0,
                doorbell_errors=0,
                hub_errors=0,
                delivery_errors=0,
                counter_errors=0,
                dropped=0,
            )

    def emitted(self, event: UnifiedEvent, derived: int) -> None:
        """An event was routed, and the rules derived so many from it."""
        with self._lock:
            self._processed += 1
            self._derived += derived
            self._by_category[event.category] += 1
            self._by_priority[event.priority] += 1
            known = event.event_type in self._by_type or len(self._by_type) < MAX_TYPES
            self._by_type[event.event_type if known else OTHER] += 1

    def count(self, what: str, number: int = 1) -> None:
        """Something went wrong: one of invalid, handler_errors, write_errors, doorbell_errors, hub_errors, delivery_errors (a mail
        or webhook that was given up), counter_errors (Redis did not count), dropped."""
        with self._lock:
            self._counts[what] += number

    def lost(self, categories: Iterable[str]) -> None:
        """Events of these categories, one each, were not stored and never will be; an audit entry went with each of `audit`."""
        with self._lock:
            self._lost.update(categories)

    def connected(self, change: int) -> None:
        """So many more streams are open (fewer, if negative)."""
        with self._lock:
            self._connections += change

    def snapshot(self) -> dict[str, Any]:
        """All counters. `errors` is the sum of the errors; `dropped` are events that were shed under overload, `lost` those of each
        category that were shed or could not be written."""
        with self._lock:
            counts = dict(self._counts)
            dropped = counts.pop("dropped")
            return {
                "processed": self._processed,
                "derived": self._derived,
                "by_category": dict(self._by_category),
                "by_priority": dict(self._by_priority),
                "by_type": dict(self._by_type),
                "connections": self._connections,
                "errors": sum(counts.values()),
                "dropped": dropped,
                "lost": dict(self._lost),
                **counts,
            }


stats = Statistics()
