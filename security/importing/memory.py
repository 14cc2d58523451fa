"""Counters in memory, for a process that counts alone: a look at a log of the past leaves those of the site as they are."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from security.detection import Count, Hit

# Keys are looked through for those that nothing counts of any more when there are so many, and then when they have doubled.
MANY_KEYS: Final = 10_000

Moment = tuple[float, str]


class MemoryCounters:
    """`security.detection.Counters`. Of a key the newest moments are kept, as many as the hit's limit, and the newest of so many members.
    The window ends with the newest moment."""

    def __init__(self) -> None:
        self._moments: dict[str, list[Moment]] = {}
        self._until: dict[str, float] = {}
        self._clean_at = MANY_KEYS

    def count(self, hits: Sequence[Hit], at: datetime, times: int = 1) -> list[Count]:
        """See the protocol."""
        counts = []
        for hit in hits:
            moments = self._moments.get(hit.key, [])
            if not hit.only_look:
                moments = self._add(moments, hit, at.timestamp(), times)
            recent = _recent(moments, hit, at.timestamp())
            members = len({member for _, member in recent})
            newest = recent[-hit.limit :]
            ends = (datetime.fromtimestamp(newest[place][0], UTC) for place in (0, -1)) if newest else ()
            counts.append(_count(len(newest), min(members, hit.limit), *ends))
        return counts

    def take_back(self, hits: Sequence[Hit], at: datetime) -> None:
        """See the protocol."""
        for hit in hits:
            moments = self._moments.get(hit.key, [])
            if (at.timestamp(), hit.member) in moments:
                moments.remove((at.timestamp(), hit.member))

    def forget(self, keys: Sequence[str]) -> None:
        """See the protocol."""
        for key in keys:
            self._moments.pop(key, None)
            self._until.pop(key, None)

    def __len__(self) -> int:
        return len(self._moments)

    def _add(self, moments: list[Moment], hit: Hit, at: float, times: int) -> list[Moment]:
        for _ in range(min(times, hit.limit)):
            insort(moments, (at, hit.member))
        moments = _newest(_recent(moments, hit, at), hit.limit)
        self._moments[hit.key] = moments
        self._until[hit.key] = max(self._until.get(hit.key, 0.0), at + hit.window / timedelta(seconds=1))
        if len(self._moments) > self._clean_at:
            self.forget([key for key, until in self._until.items() if until < at])
            self._clean_at = max(MANY_KEYS, 2 * len(self._moments))
        return moments


def _count(number: int, members: int, *ends: datetime) -> Count:
    return Count(number, members, *ends[: len(Count._fields) - 2])


def _recent(moments: Sequence[Moment], hit: Hit, at: float) -> list[Moment]:
    end = max(at, moments[-1][0]) if moments else at
    return [moment for moment in moments if moment[0] > end - hit.window / timedelta(seconds=1)]


def _newest(moments: Sequence[Moment], limit: int) -> list[Moment]:
    kept: list[Moment] = []
    members: set[str] = set()
    for place, moment in enumerate(reversed(moments)):
        is_new = moment[1] not in members and len(members) < limit
        if place < limit or is_new:
            kept.append(moment)
            members.add(moment[1])
    return kept[::-1]
