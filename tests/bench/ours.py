"""The project as it is, with a way to have the server's process emit.

GET /publish?n=&gap_ms=&user=&burst= emits n events one after the other, or with `burst` all at once. What an event says is as
long as what the peers send: `SIZE` bytes of JSON.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import parse_qs

import events
from chatter_site.asgi import application as site
from tests.bench.peers import SIZE

# What is around the data in an event's body.
ENVELOPE = 330


async def publish_one(user: str | None) -> None:
    """Emit one event, to everybody or to a user."""
    data = {"t": time.time_ns(), "pad": "x" * (SIZE - ENVELOPE - 16)}
    if not await events.aemit("document.uploaded", data, user_id=user):
        raise RuntimeError("an event was not stored")


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application."""
    if scope["type"] != "http" or scope["path"] != "/publish":
        await site(scope, receive, send)
        return
    query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode()).items()}
    number, gap, user = int(query["n"]), float(query.get("gap_ms", 0)), query.get("user")
    if query.get("burst"):
        await asyncio.gather(*(publish_one(user) for _ in range(number)))
    else:
        for _ in range(number):
            await publish_one(user)
            await asyncio.sleep(gap / 1000)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"ok"})
