"""Closes incidents that are quiet, and deletes what counts no more: in the background of server processes, any of which may."""

from __future__ import annotations

import logging
import os
import threading

from django.db import Error, connections

from events.types import utcnow
from security.conf import settings
from security.counters.database import forget_expired
from security.incidents import close_quiet

logger = logging.getLogger("security.incidents")

STOP_TIMEOUT = 10.0


class Keeper:
    """A service of server processes (`events.background.Service`)."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(before=self.stop, after_in_child=self._reset)

    def _reset(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look every `SECURITY["INCIDENT_INTERVAL"]` seconds, unless `TEND_IN_BACKGROUND` is off. Doing it again changes nothing."""
        if self._thread is None and settings().TEND_IN_BACKGROUND:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="security-keeper", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join(STOP_TIMEOUT)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                close_quiet()
                while forget_expired(utcnow()):
                    pass
            except Error:
                logger.exception("Quiet incidents or expired counters are left as they are; the next look tries again")
            connections.close_all()
            self._stopping.wait(settings().INCIDENT_INTERVAL)


keeper = Keeper()
