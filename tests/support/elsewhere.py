"""What is done at the same moment, on a connection of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connections

Value = TypeVar("Value")


def _connected(do: Callable[[], Value]) -> Value:
    try:
        return do()
    finally:
        connections.close_all()


@contextmanager
def beginning_elsewhere(do: Callable[[], Value]) -> Iterator[Future[Value]]:
    """Begin it in another thread. At the end of the block it is done, or has raised what is raised here."""
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(_connected, do)
        yield begun
        begun.result()


def elsewhere(do: Callable[[], Value]) -> Value:
    """Do it in another thread, to its end. What it gives."""
    with beginning_elsewhere(do) as begun:
        return begun.result()


@contextmanager
def meanwhile(signal: Any, sender: Any, do: Callable[[], object]) -> Iterator[None]:
    """Do it when the signal is sent for the first time."""
    left = [do]

    def receiver(**kwargs: Any) -> None:
        if left:
            left.pop()()

    signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)
    assert not left, "the signal was not sent"
