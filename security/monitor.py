"""The security monitor: makes observations of committed security events, has them counted, and reports what the detectors recognise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

from django.db import connections

from events.conf import settings as events_settings
from events.handlers import call_isolated
from events.manager import event_router, unified_event_manager
from events.types import EventCategory, UnifiedEvent
from security.counters import counters
from security.detectors import DETECTORS, WATCHED
from security.incidents import report
from security.observations import observations_of
from security.recognition import recognise

_unwatched: ContextVar[bool] = ContextVar("security_unwatched", default=False)


class Monitor:
    """A handler of security events, called once they are committed. One a process: `monitor`."""

    def __init__(self) -> None:
        self._handler_id: str | None = None

    def start(self) -> None:
        """Receive security events. Doing it again changes nothing."""
        if self._handler_id is None:
            self._handler_id = event_router.add_category_handler(EventCategory.SECURITY, self.receive, after_commit=True)

    def stop(self) -> None:
        """No longer."""
        if self._handler_id is not None:
            event_router.remove_handler(self._handler_id)
            self._handler_id = None

    @property
    def is_running(self) -> bool:
        """Whether it receives security events."""
        return self._handler_id is not None

    def receive(self, event: UnifiedEvent) -> None:
        """Have an event that detectors watch looked at, in the handlers' thread: nobody who signs in waits for it."""
        if event.event_type not in WATCHED or event.metadata.get("replayed") or _unwatched.get():
            return
        look = partial(self.look_at, event)
        # A test that keeps a transaction open, in which the event is.
        if connections[events_settings().DATABASE].in_atomic_block:
            look()
        else:
            unified_event_manager.writer.later(look)

    def look_at(self, event: UnifiedEvent) -> None:
        """Count what the event tells, and report what the detectors make of it."""
        call_isolated(observe, event=event)


monitor = Monitor()


@contextmanager
def unwatched() -> Iterator[None]:
    """What is emitted in the block is not looked at: it tells of the past, not of what happens now."""
    token = _unwatched.set(True)
    try:
        yield
    finally:
        _unwatched.reset(token)


def observe(event: UnifiedEvent) -> None:
    """Count what the event tells, all at once, and report what the detectors recognise. Raises DatabaseError."""
    for detection, seen in recognise(observations_of(event), DETECTORS, counters()):
        call_isolated(report, detection=detection, seen=seen)
