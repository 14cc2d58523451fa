"""What this process sends to the hubs."""

from __future__ import annotations

from events import unified_event_manager
from events.batch import Batch


class Sent:
    """The batches that this process sends to the hubs. Asking waits until what was emitted before is among them."""

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self.listener = self._batches.append

    @property
    def batches(self) -> list[Batch]:
        """All batches so far."""
        unified_event_manager.writer.publisher.drain(10)
        return list(self._batches)

    @property
    def events(self) -> list[tuple[int, str]]:
        """The position and type of each event of theirs."""
        return [(event.position, event.event_type) for batch in self.batches for event in batch.events]
