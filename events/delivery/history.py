"""Notices that the journal is another than the one that a hub delivered from, though its epoch is the same.

A journal that is restored from a backup comes back with the epoch that it was saved with, and gives positions that clients have
seen already to other events. It may have more of them than the lost one before anybody looks. So a hub compares: the event that
it delivered at a position must be the one that the journal holds there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from events import journal
from events.batch import Published
from events.journal import Head

Look = tuple[Head, bool]


class History:
    """What a hub has delivered, as far as it takes to recognise it: the last event of it, and those to be compared at the next look."""

    def __init__(self) -> None:
        self._last: Published | None = None
        self._marks: dict[int, str] = {}

    def begin(self, last: Published | None) -> None:
        """From now on it is the history that has come to this event."""
        self._last = last
        self._marks.clear()

    def went_on(self, last: Published) -> None:
        """This event was delivered, and those before it."""
        self._last = last

    def mark(self) -> None:
        """Compare the last event at the next look, whatever is delivered before that."""
        if self._last is not None:
            self._marks[self._last.position] = self._last.body

    async def look(self, run: Callable[[Callable[[], Look]], Awaitable[Look]]) -> Look:
        """The journal's state, and whether it holds what was delivered, by what runs the reading in a thread."""
        self.mark()
        marks = dict(self._marks)
        head, is_same = await run(partial(_look, marks))
        if is_same:
            self._marks = {position: body for position, body in self._marks.items() if marks.get(position) != body}
        self.mark()
        return head, is_same


def read_end() -> tuple[Head, Published | None]:
    """The journal's state and its last event, if there is one."""
    head = journal.read_head()
    return head, next(iter(journal.read(head.position - 1, 1, until=head.position)), None)


def _look(marks: dict[int, str]) -> Look:
    bodies = journal.read_bodies(marks)
    head = journal.read_head()  # after them: what is not there was pruned, if the head says so
    missing = [position for position in marks if position not in bodies]
    same = all(marks[position] == body for position, body in bodies.items())
    return head, same and all(position <= head.pruned for position in missing)
