"""Publishes or handles events of the journal again. Never audited again: neither rules nor emitters see a replay.

A replayed event says so: its metadata has `replayed` (true) and `replay_of`, the id of the event that was emitted first.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet

from events.access import is_staff_audience
from events.encoding import encode
from events.journal import COLUMNS, Record, read_head
from events.manager import unified_event_manager
from events.models import JournalEntry
from events.selection import Selection
from events.types import UnifiedEvent

PAGE_SIZE: Final = 500
BATCH_SIZE: Final = 100
# With a rate, browsers get at least this many batches a second: an even flow and not gushes.
BATCHES_PER_SECOND: Final = 10
LONGEST_NAP: Final = 0.1


class Target(StrEnum):
    """Whom events are replayed to."""

    HANDLERS = "handlers"
    BROWSERS = "browsers"
    BOTH = "both"


class Step(NamedTuple):
    """How far a replay is: everything up to `position` is done. In this step `rows` were looked at and `replayed` were replayed."""

    position: int
    rows: int
    replayed: int


@dataclass(frozen=True)
class Replay:
    """Replays what `selection` selects of the positions after `after`, up to `upto` (now's last, unless given).

    Handlers get the event under its own id, and may see in its metadata that it is a replay. Browsers get a new event with
    the original's audience, because clients drop an id that they have seen. What was published by a replay is left out
    unless `include_replayed`, so that each event is replayed once. STREAMING events are not in the journal.
    """

    selection: Selection
    target: Target = Target.BROWSERS
    after: int = 0
    upto: int = field(default_factory=lambda: read_head().position)
    rate: float | None = None
    include_replayed: bool = False
    id: uuid.UUID = field(default_factory=uuid.uuid4)

    def total(self) -> int:
        """How many rows are looked at."""
        return self._rows(self.after).count()

    def preview(self) -> Counter[str]:
        """How many events of each type would be replayed."""
        return Counter(record.event_type for record in self._records() if self._wants(record))

    def run(self, stopped: Callable[[], bool] = lambda: False) -> Iterator[Step]:
        """Replay, and tell after each step how far it is. `rate` is in events a second.

        `stopped` is asked between steps, and while waiting for the rate: once it says so nothing more is replayed, and
        a replay that goes on after the last step's position continues exactly there. Raises DatabaseError.
        """
        begun, done = time.monotonic(), 0
        for batch in self._batches():
            if stopped():
                return
            records = [record for record in batch if self._wants(record)]
            self._replay(records)
            done += len(records)
            yield Step(_position(batch[-1]), len(batch), len(records))
            if self.rate:
                _wait_until(begun + done / self.rate, stopped)

    def _replay(self, records: Sequence[Record]) -> None:
        if self.target is not Target.BROWSERS:
            events = [as_replay(record.event) for record in records]
            unified_event_manager.router.handle(events)
            unified_event_manager.router.handle(events, after_commit=True)
        if self.target is not Target.HANDLERS and records:
            unified_event_manager.writer.republish([republished(record, self.id) for record in records])

    def _batches(self) -> Iterator[list[Record]]:
        """Rows that are replayed in one step: one where handlers are called, which may take their time."""
        size = 1 if self.target is not Target.BROWSERS else BATCH_SIZE
        if self.rate:
            size = max(1, min(size, int(self.rate / BATCHES_PER_SECOND)))
        batch: list[Record] = []
        for record in self._records():
            batch.append(record)
            if len(batch) >= size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _records(self) -> Iterator[Record]:
        after = self.after
        while page := [Record(*row) for row in self._rows(after).order_by("position").values_list(*COLUMNS)[:PAGE_SIZE]]:
            yield from page
            after = _position(page[-1])

    def _rows(self, after: int) -> QuerySet[JournalEntry]:
        return self.selection.rows().filter(position__gt=after, position__lte=self.upto)

    def _wants(self, record: Record) -> bool:
        # Decoding is for the few that may be replays: the words may also stand in an event's data.
        return self.include_replayed or '"replay_of"' not in record.body or "replay_of" not in record.event.metadata


def as_replay(event: UnifiedEvent, **changes: Any) -> UnifiedEvent:
    """The event as a replay of itself, or of the event that it is a replay of already."""
    marks = {"replayed": True, "replay_of": event.metadata.get("replay_of", event.id)}
    return replace(event, metadata=event.metadata | marks, **changes)


def republished(record: Record, run: uuid.UUID) -> Record:
    """The row, without a position, under which a row's event is published again by a run of a replay."""
    event = as_replay(record.event, id=_id_in(run, record.event_id))
    # What an event was derived from is replayed under another id, too. And nobody is to be notified a second time.
    event.metadata.pop("notification", None)
    if "derived_from" in event.metadata:
        event.metadata["derived_from"] = _id_in(run, event.metadata["derived_from"])
    # Without a limit: what was accepted once is not refused for the marks that it gets here.
    body, private = encode(event, sys.maxsize, keep_private=is_staff_audience(record.audience))
    return record._replace(position=None, event_id=event.id, body=body, private=private)


def _id_in(run: uuid.UUID, event_id: str) -> str:
    """The id of an event's replay: the same for the whole run, another in each run."""
    return str(uuid.uuid5(run, event_id))


def _position(record: Record) -> int:
    assert record.position is not None  # only published rows are selected
    return record.position


def _wait_until(moment: float, stopped: Callable[[], bool]) -> None:
    while not stopped() and (left := moment - time.monotonic()) > 0:
        time.sleep(min(left, LONGEST_NAP))
