"""Tells the open lists of the log that changes of tracked models were recorded: those are entries without an event.

A notice goes to the streams of who may view audit events, through the journal: that reaches every process, with or without a
channel layer. The publisher's thread writes it; the thread that made the change only hands it in, once a second at most.
"""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any, Final

from django.db import connections

from audit.signals import entries_recorded
from events.access import staff_audience
from events.conf import settings
from events.journal import record_of
from events.manager import unified_event_manager
from events.publisher import Ticket
from events.types import EventCategory, UnifiedEvent

RECORDED: Final = "audit_log.recorded"
# Seconds without a further notice after one. Who hears of one looks when they are over, and so misses nothing: `audit/static/audit/live.js`.
QUIET: Final = 1.0


class Announcer:
    """Hears `audit.signals.entries_recorded`. One a process: `announcer`."""

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def connect(self) -> None:
        """Follow the signal. Doing it again changes nothing."""
        entries_recorded.connect(self.recorded, dispatch_uid="audit.live")

    def recorded(self, using: str, **kwargs: Any) -> None:
        """Entries were recorded and are committed."""
        now = time.monotonic()
        # In a transaction it is a test that runs what was to be done after the commit, and will roll back.
        if now < self._quiet_until or connections[using].in_atomic_block or not settings().UNIFIED_EVENTS_ENABLED:
            return
        # Of a category that the audit log does not record: of its own notices there would be no end.
        record = record_of(UnifiedEvent(EventCategory.MONITORING, RECORDED))
        ticket = Ticket([record._replace(audience=staff_audience(EventCategory.AUDIT))], concurrent.futures.Future())
        if unified_event_manager.writer.publisher.submit(ticket):
            self._quiet_until = now + QUIET


announcer = Announcer()
