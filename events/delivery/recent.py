"""What was delivered last, so that clients who come back after a moment, all at once, need not each ask the database for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final

from events.batch import Published

MAX_EVENTS: Final = 1_000
MAX_BYTES: Final = 4_194_304


class Recent:
    """The last events of the journal that were delivered, without gaps, as many as fit."""

    def __init__(self) -> None:
        self._events: deque[Published] = deque()
        self._bytes = 0

    def add(self, events: Iterable[Published]) -> None:
        """These were delivered. The oldest are forgotten, and all before a gap."""
        for event in events:
            last = self._events[-1].position if self._events else event.position - 1
            if event.position <= last:
                continue
            if event.position > last + 1:
                self.clear()
            self._events.append(event)
            self._bytes += len(event.body)
        while self._events and (len(self._events) > MAX_EVENTS or self._bytes > MAX_BYTES):
            self._bytes -= len(self._events.popleft().body)

    def clear(self) -> None:
        """What comes now does not follow on what was."""
        self._events.clear()
        self._bytes = 0

    def after(self, position: int, number: int) -> list[Published] | None:
        """The next events after a position, so many at most. None if they are not all known."""
        if not self._events or position < (first := self._events[0].position) - 1:
            return None
        start = position + 1 - first
        return list(islice(self._events, start, start + number))
