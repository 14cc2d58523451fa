"""Counters in memory, for a process that counts alone: a look at a log of the past leaves those of the site as they are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from security.counters import windows
from security.counters.windows import Moment
from security.detection import Count, Hit

# Keys are looked through for those of which nothing counts any more when there are so many, and then when they have doubled.
MANY_KEYS: Final = 10_000


class MemoryCounters:
    """`security.detection.Counters` of plain Python. Time goes on with the moments of what is counted: what expired is forgotten. Of the past
    there is no now, so a moment that is later counts as now only where a clock is given."""

    def __init__(self, clock: Callable[[], datetime] | None = None) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._moments: dict[str, list[Moment]] = {}
        self._until: dict[str, float] = {}
        self._clean_at = MANY_KEYS

    def __len__(self) -> int:
        return len(self._moments)

    def count(self, hits: Sequence[Hit], at: datetime) -> list[Count]:
        """See the protocol."""
        moment = self._moment(at)
        with self._lock:
            windows.add(self._moments, hits, moment)
            for hit in hits:
                if not hit.only_look:
                    self._until[hit.key] = max(self._until.get(hit.key, 0.0), moment + hit.window / timedelta(seconds=1))
            if len(self._moments) > self._clean_at:
                self._clean(moment)
            return windows.counts(self._moments, hits, moment)

    def take_back(self, hits: Sequence[Hit], at: datetime) -> None:
        """See the protocol."""
        with self._lock:
            for hit in hits:
                if not hit.only_look and hit.key in self._moments:
                    self._moments[hit.key] = windows.take_back(self._moments[hit.key], hit, self._moment(at))

    def forget(self, keys: Sequence[str]) -> None:
        """See the protocol."""
        with self._lock:
            self._forget(keys)

    def _moment(self, at: datetime) -> float:
        return (min(at, self._clock()) if self._clock else at).timestamp()

    def _forget(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._moments.pop(key, None)
            self._until.pop(key, None)

    def _clean(self, moment: float) -> None:
        self._forget([key for key, until in self._until.items() if until < moment])
        self._clean_at = max(MANY_KEYS, 2 * len(self._moments))
