"""What runs beside the rest: a thread for handlers that must not hold up the publisher, and services of server processes."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import NamedTuple, Protocol

from django.db import connections

logger = logging.getLogger("events.background")

# Seconds without a job after which connections are closed.
IDLE = 1.0
# Seconds that a thread may take to end.
STOP_TIMEOUT = 10.0


class Service(Protocol):
    """What server processes run beside the streams."""

    def start(self) -> None:
        """Begin, in a thread of its own. Doing it again changes nothing."""

    def stop(self) -> None:
        """End, when what is begun is done."""


class ThreadService(ABC):
    """A service (`Service`) in a thread of its own, which ends before the process forks. A subclass says what runs, under which `name`, and
    whether servers are to run it."""

    name: str

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(before=self.stop, after_in_child=self._reset)

    def _reset(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @abstractmethod
    def is_wanted(self) -> bool:
        """Whether the settings have servers run it."""

    @abstractmethod
    def run(self, stopping: threading.Event) -> None:
        """Do the work until `stopping` is set; while the database is away, go on trying."""

    def start(self) -> None:
        """Begin, if it is wanted. Doing it again changes nothing."""
        if self._thread is None and self.is_wanted():
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Let what is begun be finished, end the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join(STOP_TIMEOUT)

    def _run(self) -> None:
        try:
            self.run(self._stopping)
        finally:
            connections.close_all()


_services: list[Service] = []


def add_service(service: Service) -> None:
    """Have each process that serves events run it. Doing it again changes nothing."""
    if service not in _services:
        _services.append(service)


def start_services() -> None:
    """Start them all."""
    for service in _services:
        service.start()


def stop_services() -> None:
    """End them all."""
    for service in _services:
        service.stop()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread: who is called there must not wait. None where none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Job(NamedTuple):
    """What to call, and the context in which it was asked for."""

    action: Callable[[], None]
    context: Context


class Background:
    """Calls one function after the other in a thread of its own. A daemon and no executor: those refuse work while Python ends,
    which is when a script's last events are written."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._busy = self._stopping = False
        self._thread: threading.Thread | None = None

    def prepare(self, action: Callable[[], None]) -> Job:
        """A job with the context that is in force here. Starts the thread, which can't be done while Python ends."""
        with self._changed:
            self._start_locked()
        return Job(action, copy_context())

    def run(self, job: Job) -> None:
        """Do the job, after those that wait."""
        with self._changed:
            self._start_locked()  # it may have been ended since the job was prepared
            self._jobs.append(job)
            self._changed.notify_all()

    def drain(self, timeout: float) -> None:
        """Return when all jobs are done, or after `timeout` seconds."""
        if self._thread is not threading.current_thread():
            with self._changed:
                self._changed.wait_for(lambda: not self._jobs and not self._busy, timeout)

    def stop(self, timeout: float) -> None:
        """End the thread when the jobs that wait are done; return then, or after `timeout` seconds. It starts again with the next."""
        with self._changed:
            thread, self._stopping = self._thread, True
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    @property
    def waiting(self) -> int:
        """How many jobs are not done."""
        return len(self._jobs) + self._busy

    def _start_locked(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="events-handlers", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            while (job := self._next_job()) is not None:
                _do(job)
            connections.close_all()
            with self._changed:
                if not self._jobs:  # none came meanwhile
                    self._thread = None
                    return

    def _next_job(self) -> Job | None:
        """The next job, None when the thread is to end. Who waits for one longer than a moment, which may be days, lets the databases go; to
        open one costs more than most jobs."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            if not self._changed.wait_for(self._has_work, IDLE):
                connections.close_all()
                self._changed.wait_for(self._has_work)
            self._busy = bool(self._jobs)
            return self._jobs.popleft() if self._jobs else None

    def _has_work(self) -> bool:
        return bool(self._jobs) or self._stopping


def _do(job: Job) -> None:
    """Do it, and leave no connection that had trouble to the next."""
    try:
        try:
            job.context.run(job.action)
        finally:
            for connection in connections.all(initialized_only=True):
                if connection.errors_occurred:
                    connection.close()
    except BaseException:  # a handler that calls `sys.exit` must not end the thread: what waits are others' jobs
        logger.exception("A job in the background failed")
