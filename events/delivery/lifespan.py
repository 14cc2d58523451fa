"""The server process's start and end: streams are ended as soon as the server is told to stop, not when it has waited for them."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from types import FrameType
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError

from events import background
from events.delivery.hub import Hub, get_hub
from events.manager import unified_event_manager

logger = logging.getLogger("events.hub")


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI lifespan protocol."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            hub = get_hub()
            try:
                await hub.start()
            except DatabaseError:
                logger.exception("The hub can't read the journal yet; it starts with the first stream")
            stop_on_signals(hub)
            await send({"type": "lifespan.startup.complete"})
        else:
            await get_hub().stop()
            await sync_to_async(background.stop_services)()
            await sync_to_async(unified_event_manager.shutdown)()
            await send({"type": "lifespan.shutdown.complete"})
            return


def stop_on_signals(hub: Hub) -> None:
    """Stop the hub on SIGINT and SIGTERM, then do what the server does on them.

    Uvicorn and Granian wait for open connections before they tell the application to shut down; a stream is open for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        previous = signal.getsignal(number)

        def stop(signum: int, frame: FrameType | None, previous: Any = previous) -> None:
            loop.call_soon_threadsafe(lambda: loop.create_task(hub.stop()))
            if callable(previous):
                previous(signum, frame)

        signal.signal(number, stop)
