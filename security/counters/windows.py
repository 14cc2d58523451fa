"""What is remembered of a key, and what it makes: pure. `security.counters.redis` does the same in Lua.

Of a key the newest moments are remembered, as many as the hit's limit, and the newest of each member, for as many members: enough to
count both up to the limit exactly, however often one member comes. The window ends with the newest moment: what is told late
counts as if it had been told in time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from security.detection import Count, Hit

# Seconds since 1970, and the member.
Moment = tuple[float, str]


def add(rows: dict[str, list[Moment]], hits: Iterable[Hit], at: float) -> None:
    """Bring what is remembered of the keys, `rows`, up to date: these happened at the moment, one after the other."""
    of_keys: dict[str, list[Hit]] = {}
    for hit in hits:
        if not hit.only_look:
            of_keys.setdefault(hit.key, []).append(hit)
    for key, own in of_keys.items():
        remembered = list(rows.get(key, ()))
        place = bisect_right(remembered, at, key=_second)
        remembered[place:place] = [(at, hit.member) for hit in own for _ in range(min(hit.times, hit.limit))]
        window, limit = max(hit.window for hit in own), max(hit.limit for hit in own)
        rows[key] = _newest(_within(remembered, window, at), limit)


def take_back(moments: Sequence[Moment], hit: Hit, at: float) -> list[Moment]:
    """What is remembered without one happening of the member at the moment. Unchanged if there is none."""
    remembered = list(moments)
    if (at, hit.member) in remembered:
        remembered.remove((at, hit.member))
    return remembered


def counts(rows: Mapping[str, Sequence[Moment]], hits: Sequence[Hit], at: float) -> list[Count]:
    """How many count for each of the hits."""
    found: dict[tuple[str, timedelta, int], Count] = {}
    for hit in hits:
        if hit[:3] not in found:
            found[hit[:3]] = count(rows.get(hit.key, []), hit, at)
    return [found[hit[:3]] for hit in hits]


def count(moments: Sequence[Moment], hit: Hit, at: float) -> Count:
    """How many count for the hit."""
    found = _within(moments, hit.window, at)
    if not found:
        return Count(0, 0)
    newest = found[-hit.limit :]
    members = len({member for _, member in found})
    return Count(len(newest), min(members, hit.limit), _datetime(newest[0]), _datetime(newest[-1]))


def _within(moments: Sequence[Moment], window: timedelta, at: float) -> list[Moment]:
    end = max(at, moments[-1][0]) if moments else at
    return [moment for moment in moments if moment[0] > end - window.total_seconds()]


def _newest(moments: Sequence[Moment], limit: int) -> list[Moment]:
    kept: list[Moment] = []
    members: set[str] = set()
    for place, moment in enumerate(reversed(moments)):
        is_new = moment[1] not in members and len(members) < limit
        if place < limit or is_new:
            kept.append(moment)
            members.add(moment[1])
    return kept[::-1]


def _second(moment: Moment) -> float:
    return moment[0]


def _datetime(moment: Moment) -> datetime:
    return datetime.fromtimestamp(moment[0], UTC)
