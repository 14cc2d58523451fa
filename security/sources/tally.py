"""Counting many different things in little memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from heapq import nlargest
from typing import Final

KEPT: Final = 100


class Tally:
    """The most frequent members of a stream, by the Space-Saving algorithm (Metwally and others, 2005): KEPT are remembered, those that came
    last among the rare ones, and a count is never more than it was. Counts and the number of different members are exact as long as
    there are no more than KEPT."""

    def __init__(self) -> None:
        # What of a count may be other members' stands beside: a newcomer takes over the count of the rarest, which says how often it may have
        # been there before.
        self._counts: dict[str, int] = {}
        self._taken_over: dict[str, int] = {}
        self._is_exact = True

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def different(self) -> int | None:
        """How many different members there were; None if there were more than can be told apart."""
        return len(self._counts) if self._is_exact else None

    def add(self, member: str, times: int = 1) -> None:
        """Count it."""
        if member in self._counts:
            self._counts[member] += times
        elif len(self._counts) < KEPT:
            self._counts[member] = times
        else:
            rarest = min(self._counts, key=self._counts.__getitem__)
            before = self._counts.pop(rarest)
            self._taken_over.pop(rarest, None)
            self._counts[member], self._taken_over[member] = before + times, before
            self._is_exact = False

    def merge(self, other: Tally) -> None:
        """Count what the other has counted."""
        for member, times in other.sure():
            self.add(member, times)
        self._is_exact = self._is_exact and other._is_exact

    def top(self, room: int, first: Collection[str] = ()) -> list[list[str | int]]:
        """The most frequent, but before them those that come first; each with its count, as many as go into so many bytes of JSON."""
        found: list[list[str | int]] = []
        for member, times in sorted(self.sure(), key=lambda pair: (pair[0] not in first, -pair[1])):
            room -= len(json.dumps([member, times])) + 2
            if room < 0:
                break
            found.append([member, times])
        return found

    def sure(self) -> list[tuple[str, int]]:
        """The members, each with as many as there were at least."""
        return [(member, times - self._taken_over.get(member, 0)) for member, times in self._counts.items()]


def share(tallies: Sequence[Tally], enough: int) -> list[set[str]]:
    """Of each tally the members that are worth counting for themselves: KEPT in all, as many as one tally has.

    A member's claim is what it has in all tallies together: one that is in many of them shows, however rare it is in each. After every
    `enough` tallies that it has got, its claim is a half of that, a third, and so on (as seats are given by the method of d'Hondt), so that one
    member in all tallies doesn't hide the others.
    """
    found = sorted(
        ((times, place, member) for place, tally in enumerate(tallies) for member, times in tally.sure()), key=lambda one: -one[0]
    )
    totals, got, claims = Counter[str](), Counter[str](), list[tuple[float, int, str]]()
    for times, _, member in found:
        totals[member] += times
    for _, place, member in found:
        claims.append((totals[member] / (1 + got[member] // enough), place, member))
        got[member] += 1
    shares: list[set[str]] = [set() for _ in tallies]
    for _, place, member in nlargest(KEPT, claims, key=lambda claim: claim[0]):
        shares[place].add(member)
    return shares
