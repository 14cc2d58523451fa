"""The thread that calls one function after the other, for which nobody waits."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable

import pytest
from django.db import connection

from events import unified_event_manager, writer
from events.background import Background


def do(background: Background, action: Callable[[], object]) -> None:
    background.run(background.prepare(action))  # type: ignore[arg-type]


def test_a_function_that_ends_the_thread_does_not(caplog: pytest.LogCaptureFixture) -> None:
    background, done = Background(), list[int]()
    do(background, lambda: sys.exit(3))
    do(background, lambda: done.append(1))
    background.drain(10)
    assert (done, background.waiting) == ([1], 0)
    assert "A job in the background failed" in caplog.text
    background.stop(10)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_had_trouble_is_not_left_to_the_next() -> None:
    background, left = Background(), list[object]()

    def have_trouble() -> None:
        connection.ensure_connection()
        connection.errors_occurred = True
        sys.exit(3)

    do(background, have_trouble)
    do(background, lambda: left.append(connection.connection))
    background.stop(10)
    assert left == [None]


def test_functions_are_called_one_after_the_other_also_around_a_stop_that_is_not_waited_for() -> None:
    background, begun, go_on, calls = Background(), threading.Event(), threading.Event(), list[str]()

    def slow() -> None:
        begun.set()
        assert go_on.wait(10)
        calls.append("slow")

    do(background, slow)
    assert begun.wait(10)
    background.stop(0)
    do(background, lambda: calls.append("next"))
    assert (calls, background.waiting) == ([], 2)
    go_on.set()
    background.drain(10)
    assert calls == ["slow", "next"]
    background.stop(10)
    assert background._thread is None


def test_it_starts_again_after_it_was_stopped() -> None:
    background, done = Background(), list[int]()
    for number in range(3):
        do(background, lambda number=number: done.append(number))  # type: ignore[misc]
        background.stop(10)
    assert done == [0, 1, 2]


def test_nobody_in_an_event_loop_is_held_up_by_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_LATER", 1)
    go_on, threads = threading.Event(), list[str]()

    async def bring() -> None:
        unified_event_manager.writer.later(lambda: go_on.wait(10))
        unified_event_manager.writer.later(lambda: threads.append(threading.current_thread().name))

    asyncio.run(bring())
    unified_event_manager.writer.later(lambda: threads.append("here"))  # who may be held up
    go_on.set()
    unified_event_manager.writer.drain()
    assert threads == ["here", "events-handlers"]


def test_what_is_not_done_in_time_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    go_on = threading.Event()
    unified_event_manager.writer.later(lambda: go_on.wait(10))
    with caplog.at_level(logging.ERROR, "events.writer"):
        unified_event_manager.writer.stop(0.1)
    go_on.set()
    assert "1 handlers of events are not done" in caplog.text
    unified_event_manager.writer.stop()
