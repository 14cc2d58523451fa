"""Waiting for a condition: tests never sleep for luck."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

INTERVAL = 0.01


def wait_for(condition: Callable[[], Value], what: str = "", timeout: float = 10.0) -> Value:
    """The first true value of `condition`. Raises TimeoutError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout} s: {what or condition}")
        time.sleep(INTERVAL)
    return value


async def await_for(condition: Callable[[], Value], what: str = "", timeout: float = 10.0) -> Value:
    """As `wait_for`, where an event loop runs; `condition` is called in the loop."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout} s: {what or condition}")
        await asyncio.sleep(INTERVAL)
    return value
