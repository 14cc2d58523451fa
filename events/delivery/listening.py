"""Hears the doorbells of other processes, and says in the log when it does not and when it does again: once each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer
from redis.exceptions import RedisError

from events.batch import PROCESS
from events.conf import settings
from events.doorbell import GROUP, shared_layer
from events.stats import stats

logger = logging.getLogger("events.hub")

UNREACHABLE: Final = (OSError, RedisError)
# Goes on by itself while it can't reach Redis, and tells nobody but this log.
LIBRARY_LOG: Final = logging.getLogger("channels_redis.pubsub")
# A ring that everybody passes over, because it comes from this process.
KNOCK: Final = {"type": "events.published", "sender": PROCESS}


class Listener:
    """Calls `hear` with each ring, and `missed` when some may have been lost. Both in the event loop."""

    def __init__(self, hear: Callable[[dict[str, Any]], None], missed: Callable[[], None]) -> None:
        self._hear = hear
        self._missed = missed
        self._is_deaf = False

    async def listen(self) -> None:
        """Listen for ever, or not at all where no channel layer reaches other processes."""
        layer = shared_layer()
        if layer is None:
            return
        LIBRARY_LOG.addFilter(self._passes)
        try:
            while True:
                try:
                    await self._listen(layer)
                except UNREACHABLE as error:
                    self._lost(error)
                except Exception:  # whatever happens here must not end the listening: log, count, listen again
                    stats.count("hub_errors")
                    logger.exception("The hub can't listen for the doorbell; it tries again")
                await asyncio.sleep(settings().POLL_INTERVAL)
        finally:
            LIBRARY_LOG.removeFilter(self._passes)

    async def _listen(self, layer: BaseChannelLayer) -> None:
        channel = await layer.new_channel()
        knocking = asyncio.create_task(self._knock(layer, channel))
        try:
            await layer.group_add(GROUP, channel)
            self._missed()
            while True:
                message = await layer.receive(channel)
                self._found()
                self._hear(message)
        finally:
            knocking.cancel()
            with suppress(*UNREACHABLE):
                await layer.group_discard(GROUP, channel)

    async def _knock(self, layer: BaseChannelLayer, channel: str) -> None:
        """While nothing can be heard, ring for this process alone: what then comes shows that the way is open again."""
        while True:
            await asyncio.sleep(settings().POLL_INTERVAL)
            if self._is_deaf:
                with suppress(ChannelFull, *UNREACHABLE):
                    async with asyncio.timeout(settings().POLL_INTERVAL):
                        await layer.send(channel, KNOCK)

    def _passes(self, record: logging.LogRecord) -> bool:
        """A filter of the library's log, which has a traceback a second: of an outage we tell ourselves."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, UNREACHABLE):
            self._lost(error)
        return not self._is_deaf

    def _lost(self, error: BaseException) -> None:
        stats.count("hub_errors")
        if not self._is_deaf:
            self._is_deaf = True
            late = settings().POLL_INTERVAL
            logger.warning(
                "The hub does not hear the doorbell (%s: %s). It reads the journal: events of other processes come up to %s s late.",
                type(error).__name__, error, late,
            )  # fmt: skip

    def _found(self) -> None:
        if self._is_deaf:
            self._is_deaf = False
            logger.warning("The hub hears the doorbell again.")
            self._missed()
