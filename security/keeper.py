"""Closes incidents that are quiet, and deletes what counts no more: in the background of server processes, any of which may."""

from __future__ import annotations

import logging
import threading

from django.db import Error, connections

from events.background import ThreadService
from events.types import utcnow
from security.conf import settings
from security.counters.database import forget_expired
from security.incidents import close_quiet

logger = logging.getLogger("security.incidents")


class Keeper(ThreadService):
    """Looks every `SECURITY["INCIDENT_INTERVAL"]` seconds."""

    name = "security-keeper"

    def is_wanted(self) -> bool:
        """See `ThreadService`."""
        return settings().TEND_IN_BACKGROUND

    def run(self, stopping: threading.Event) -> None:
        """See `ThreadService`."""
        while not stopping.is_set():
            try:
                close_quiet()
                while forget_expired(utcnow()):
                    pass
            except Error:
                logger.exception("Quiet incidents or expired counters are left as they are; the next look tries again")
            connections.close_all()
            stopping.wait(settings().INCIDENT_INTERVAL)


keeper = Keeper()
