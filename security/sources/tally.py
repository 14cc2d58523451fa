"""Counting many different things in little memory."""

from __future__ import annotations

from collections import Counter

KEPT = 100


class Tally:
    """The most frequent members of a stream, by Misra and Gries: at most KEPT are remembered, and a count is never more than it was. It is
    exact as long as there are no more than KEPT different members."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, member: str, times: int = 1) -> None:
        """Count it."""
        if member in self.counts or len(self.counts) < KEPT:
            self.counts[member] += times
            return
        spared = min(times, *self.counts.values())
        self.counts = Counter({other: number - spared for other, number in self.counts.items() if number > spared})
        if times > spared:
            self.counts[member] = times - spared

    def merge(self, other: Tally) -> None:
        """Count what the other has counted."""
        for member, times in other.counts.items():
            self.add(member, times)

    def top(self, number: int) -> list[list[str | int]]:
        """The most frequent, each with its count."""
        return [[member, count] for member, count in self.counts.most_common(number)]
