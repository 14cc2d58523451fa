"""Threads of the hub's own for what reads the database, so that streams never wait for Django's shared thread, nor it for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

Result = TypeVar("Result")


class DatabaseThreads:
    """At most `size` threads. Their connections are kept while there is work, and with `keep` between. With `rest` a thread sleeps
    that many times as long as it worked, while more work waits: Python runs one thread at a time, and others have work too."""

    def __init__(self, name: str, size: int, keep: bool = False, rest: float = 0.0) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._size = size
        # Handing work to a thread costs more than waiting for a turn, and so many at once would hold up the event loop.
        self._turns = asyncio.Semaphore(size + 1)
        self._keep = keep
        self._rest = rest
        self._took = 0.0
        self.unfinished = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` returns. Raises what it raises."""
        self.unfinished += 1
        try:
            async with self._turns:
                return await asyncio.get_running_loop().run_in_executor(self._pool, self._do, work)
        finally:
            self.unfinished -= 1

    def _do(self, work: Callable[[], Result]) -> Result:
        if self._rest and self.unfinished > self._size:
            time.sleep(self._rest * self._took)
        started = time.thread_time()
        for connection in connections.all(initialized_only=True):  # Django does it after a request; here is none
            if connection.errors_occurred:
                connection.close()
        try:
            return work()
        finally:
            self._took = time.thread_time() - started
            if not self._keep and self.unfinished <= self._size:
                connections.close_all()

    def stop(self) -> None:
        """Take no more work. Doesn't wait for what is being done."""
        self._pool.submit(connections.close_all)
        self._pool.shutdown(wait=False)
