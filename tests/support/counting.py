"""Counters of plain Python: what the detectors' tests count with."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from events.types import utcnow
from security.counters import windows
from security.counters.windows import Moment
from security.detection import Count, Hit


class MemoryCounters:
    """Counters of this process (`security.detection.Counters`)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.moments: dict[str, list[Moment]] = {}

    def count(self, hits: Sequence[Hit], at: datetime, times: int = 1) -> list[Count]:
        """See `Counters.count`."""
        moment, counts = min(at, utcnow()).timestamp(), []
        with self._lock:
            for hit in hits:
                moments = self.moments.get(hit.key, [])
                if not hit.only_look:
                    moments = self.moments[hit.key] = windows.add(moments, hit, moment, times)
                counts.append(windows.count(moments, hit, moment))
        return counts

    def take_back(self, hits: Sequence[Hit], at: datetime) -> None:
        """See `Counters.take_back`."""
        with self._lock:
            for hit in hits:
                if not hit.only_look and hit.key in self.moments:
                    self.moments[hit.key] = windows.take_back(self.moments[hit.key], hit, min(at, utcnow()).timestamp())

    def forget(self, keys: Sequence[str]) -> None:
        """See `Counters.forget`."""
        with self._lock:
            for key in keys:
                self.moments.pop(key, None)
