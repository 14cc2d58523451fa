"""What travels from the publisher to the hubs."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

# Which process rang: its own hub has the batch already.
PROCESS = uuid.uuid4().hex
# Above this a doorbell says only that there is something: the hub reads the journal.
MAX_DOORBELL_BYTES = 262_144


class Published(NamedTuple):
    """A published event, as far as delivery needs it. `position` is 0 for an ephemeral one, which is not in the journal."""

    position: int
    event_type: str
    category: str
    priority: str
    audience: str
    body: str


class Batch(NamedTuple):
    """Events that were published at once: in order, `events[0].position` following on what was published before."""

    epoch: str
    last: int
    events: list[Published]

    def to_message(self) -> dict[str, Any]:
        """As a channel-layer message for the hubs of other processes."""
        small = sum(len(event.body) for event in self.events) <= MAX_DOORBELL_BYTES
        return {
            "type": "events.published",
            "sender": PROCESS,
            "epoch": self.epoch,
            "last": self.last,
            "events": [list(event) for event in self.events] if small else [],
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Batch:
        """The batch that `to_message` wrote."""
        return cls(message["epoch"], message["last"], [Published(*event) for event in message["events"]])
