"""Threads that do something at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

Answer = TypeVar("Answer")


def run_together(number: int, work: Callable[[int], Answer]) -> list[Answer]:
    """What the calls of `work` in so many threads, at the same moment, give. Raises what one of them raises."""
    start = threading.Barrier(number)

    def run(n: int) -> Answer:
        start.wait(10)
        try:
            return work(n)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(run, range(number), timeout=60))
