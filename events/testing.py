"""For the tests of your own project: what was emitted in a block, and waiting until it is published.

The functions need no pytest. With `pytest_plugins = ["events.testing"]` in your top conftest.py you get the fixtures:
`isolated_events` for every test, and `captured_events`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from events.manager import event_router, unified_event_manager
from events.signals import event_routed
from events.stats import stats
from events.types import UnifiedEvent


class Captured(list[UnifiedEvent]):
    """The events that were emitted, in order, without those that rules derived from them."""

    @property
    def types(self) -> list[str]:
        """Their types, in order."""
        return [event.event_type for event in self]

    def one(self, event_type: str) -> UnifiedEvent:
        """The only event of the type. Raises AssertionError, which lists what was emitted, if there are none or several."""
        found = [event for event in self if event.event_type == event_type]
        assert len(found) == 1, f"{len(found)} events of type {event_type!r} among {self.types}"
        return found[0]


@contextmanager
def captured_events() -> Iterator[Captured]:
    """The events that this process emits in the block, as they were routed: completed from the context, written or not.

    with captured_events() as events:
        client.post("/documents/", …)
    assert events.types == ["document.uploaded"]
    """
    captured = Captured()

    def capture(event: UnifiedEvent, **kwargs: Any) -> None:
        captured.append(event)

    event_routed.connect(capture)
    try:
        yield captured
    finally:
        event_routed.disconnect(capture)


def wait_published() -> None:
    """Return when the events that this process emitted are written and have their positions, and the publisher's threads
    have ended. What was emitted in a transaction that is still open (a `TestCase`'s) stays as it is."""
    unified_event_manager.shutdown()


@pytest.fixture(autouse=True)
def isolated_events() -> Iterator[None]:
    """Every test starts with counters at zero, and leaves neither handlers behind nor a publisher that uses the database."""
    stats.reset()
    with event_router.isolated():
        yield
    wait_published()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Before a test's database is rolled back, flushed or closed, the publisher lets go of it."""
    wait_published()


@pytest.fixture(name="captured_events")
def captured_events_fixture() -> Iterator[Captured]:
    """What the test emits (`captured_events()`)."""
    with captured_events() as captured:
        yield captured
