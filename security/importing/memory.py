"""Counters in memory, for a process that counts alone: a look at a log of the past leaves those of the site as they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from security.counters import windows
from security.counters.windows import Moment
from security.detection import Count, Hit

# Keys are looked through for those of which nothing counts any more when there are so many, and then when they have doubled.
MANY_KEYS: Final = 10_000


class MemoryCounters:
    """`security.detection.Counters`, by the moments of what is counted and no clock. Time goes on: what expired is forgotten."""

    def __init__(self) -> None:
        self._moments: dict[str, list[Moment]] = {}
        self._until: dict[str, float] = {}
        self._clean_at = MANY_KEYS

    def __len__(self) -> int:
        return len(self._moments)

    def count(self, hits: Sequence[Hit], at: datetime, times: int = 1) -> list[Count]:
        """See the protocol."""
        moment = at.timestamp()
        for hit in hits:
            if not hit.only_look:
                self._moments[hit.key] = windows.add(self._moments.get(hit.key, []), hit, moment, times)
                self._until[hit.key] = max(self._until.get(hit.key, 0.0), moment + hit.window / timedelta(seconds=1))
        if len(self._moments) > self._clean_at:
            self._clean(moment)
        return [windows.count(self._moments.get(hit.key, []), hit, moment) for hit in hits]

    def take_back(self, hits: Sequence[Hit], at: datetime) -> None:
        """See the protocol."""
        for hit in hits:
            if not hit.only_look and hit.key in self._moments:
                self._moments[hit.key] = windows.take_back(self._moments[hit.key], hit, at.timestamp())

    def forget(self, keys: Sequence[str]) -> None:
        """See the protocol."""
        for key in keys:
            self._moments.pop(key, None)
            self._until.pop(key, None)

    def _clean(self, moment: float) -> None:
        self.forget([key for key, until in self._until.items() if until < moment])
        self._clean_at = max(MANY_KEYS, 2 * len(self._moments))
