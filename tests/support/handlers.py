"""Handlers for tests, and an event for them."""

from __future__ import annotations

import threading
from typing import Any

from events.types import EventCategory, UnifiedEvent


def make(event_type: str = "document.uploaded", category: EventCategory = EventCategory.REALTIME, **fields: Any) -> UnifiedEvent:
    return UnifiedEvent(category, event_type, **fields)


class Recorder:
    """A handler that remembers what it was called with, and in which thread."""

    def __init__(self, name: str = "", log: list[str] | None = None) -> None:
        self.events: list[UnifiedEvent] = []
        self.threads: list[threading.Thread] = []
        self.name = name
        self.log = log if log is not None else []

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    def __call__(self, event: UnifiedEvent) -> Any:
        self.events.append(event)
        self.threads.append(threading.current_thread())
        self.log.append(self.name)


class AsyncRecorder(Recorder):
    """The same as a coroutine: an object whose `__call__` is one."""

    async def __call__(self, event: UnifiedEvent) -> None:
        super().__call__(event)
