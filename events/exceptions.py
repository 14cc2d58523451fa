"""What this package raises. One root, so that a caller can catch it all."""


class EventsError(Exception):
    """Something went wrong in the event system."""


class InvalidEvent(EventsError, ValueError):
    """The event can't be emitted as it is: `field` names the part that is wrong, `reason` says why."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


class InvalidFilter(InvalidEvent):
    """A filter can't be read: an unknown category or priority, a malformed type pattern."""


class InvalidCursor(InvalidEvent):
    """A cursor can't be read: it is not `epoch:position`."""


class EmitterFailed(EventsError):
    """An emitter could not write its events; the events are not stored."""


class ReceiverFailed(EventsError):
    """A receiver of `event_routed` raised; in a transaction, what the receivers did in the database is undone."""
