"""Tells the hubs of other processes that events were published: one channel-layer message a batch, the events inside.

A ring may be lost, late or doubled: hubs see the gap and read the journal. So nothing here waits for the channel layer, and
trouble with it is logged, counted and otherwise nobody's business.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from typing import Final

from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer, InMemoryChannelLayer, get_channel_layer
from redis.exceptions import RedisError

from events.batch import Batch
from events.conf import settings
from events.stats import stats

logger = logging.getLogger("events.doorbell")

GROUP: Final = "events"
MAX_WAITING: Final = 1_000
SEND_TIMEOUT: Final = 5.0
PAUSE_AFTER_ERROR: Final = 1.0


def shared_layer() -> BaseChannelLayer | None:
    """The channel layer that reaches other processes; None where there is none, or only the in-memory one."""
    layer = get_channel_layer(settings().CHANNEL_LAYER)
    return None if isinstance(layer, InMemoryChannelLayer) else layer


class Doorbell:
    """Rings from a thread of its own, which has an event loop: channel layers are asynchronous, publishers are not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: queue.Queue[Batch | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._silent_until = 0.0
        self._is_broken = False

    def ring(self, batch: Batch) -> None:
        """Send the batch to the other processes, soon. Returns at once; drops it while the channel layer is in trouble."""
        if shared_layer() is None or time.monotonic() < self._silent_until:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events-doorbell", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(batch)
        except queue.Full:
            stats.count("doorbell_errors")

    def stop(self) -> None:
        """Send what waits, then end the thread. It starts again with the next ring."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._waiting.put(None)
                thread.join(SEND_TIMEOUT)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            while (batch := self._waiting.get()) is not None:
                runner.run(self._send(batch))

    async def _send(self, batch: Batch) -> None:
        layer = shared_layer()
        if layer is None or time.monotonic() < self._silent_until:
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await layer.group_send(GROUP, batch.to_message())
            if self._is_broken:
                self._is_broken = False
                logger.warning("The doorbell rings again.")
        except (OSError, TimeoutError, RedisError, ChannelFull) as error:
            self._silent_until = time.monotonic() + PAUSE_AFTER_ERROR
            stats.count("doorbell_errors")
            if not self._is_broken:  # once an outage
                self._is_broken = True
                logger.warning("The doorbell does not ring (%s: %s). Hubs read the journal instead.", type(error).__name__, error)
