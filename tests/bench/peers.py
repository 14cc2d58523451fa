"""What the project is measured against, an ASGI application each, to be run by the same server programs.

GET /events streams. GET /publish?n=&gap_ms= emits n events of `SIZE` bytes, each with "t": the moment, in unix nanoseconds.
Runs in the peers' own virtual environment, which has nothing of the project.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

# Bytes of an event's JSON. An event of the project has an envelope of some 330 (id, actor, timestamp and so on).
SIZE = 400
TEXT = [(b"content-type", b"text/plain")]
STREAM = [(b"content-type", b"text/event-stream")]
Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def payload(number: int) -> dict[str, Any]:
    """An event that looks like one of the project's."""
    return {
        "id": f"{number:036d}", "type": "document.uploaded", "category": "realtime", "priority": "normal",
        "data": {"document_id": "123", "pad": "x" * (SIZE - 190)}, "t": time.time_ns(),
    }  # fmt: skip


def frame(number: int) -> bytes:
    """The event as server-sent events have it."""
    return b"event: message\ndata: " + json.dumps(payload(number)).encode() + b"\n\n"


async def publish_each(scope: dict[str, Any], send: Any, emit: Callable[[int], Awaitable[object]]) -> None:
    """Answer /publish: emit one event at a time."""
    query = parse_qs(scope["query_string"].decode())
    gap = float(query.get("gap_ms", ["0"])[0])
    for number in range(int(query["n"][0])):
        await emit(number)
        await asyncio.sleep(gap / 1000)
    await send({"type": "http.response.start", "status": 200, "headers": TEXT})
    await send({"type": "http.response.body", "body": b"ok"})


def with_lifespan(application: Application) -> Application:
    """The application, which also answers the lifespan protocol."""

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            return await application(scope, receive, send)
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return None

    return answer


def make_floor() -> Application:
    """The least: the publisher itself writes to every connection. No queue, no task, no journal, no authentication."""
    streams: set[Any] = set()
    sockets: set[Any] = set()

    async def emit(number: int) -> None:
        if streams:
            body = {"type": "http.response.body", "body": frame(number), "more_body": True}
            for send in streams:
                await send(body)
        if sockets:
            text = {"type": "websocket.send", "text": json.dumps(payload(number))}
            for send in sockets:
                await send(text)

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/publish":
            return await publish_each(scope, send, emit)
        is_socket = scope["type"] == "websocket"
        if is_socket:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "hi"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": STREAM})
            await send({"type": "http.response.body", "body": b": hi\n\n", "more_body": True})
        group = sockets if is_socket else streams
        group.add(send)
        while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
            pass
        group.discard(send)
        return None

    return with_lifespan(application)


def make_queues() -> Application:
    """The usual: a queue and a task a client; what has come in meanwhile is sent as one."""
    queues: set[asyncio.Queue[bytes]] = set()

    async def emit(number: int) -> None:
        sent = frame(number)
        for queue in queues:
            queue.put_nowait(sent)

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/publish":
            return await publish_each(scope, send, emit)
        await send({"type": "http.response.start", "status": 200, "headers": STREAM})
        await send({"type": "http.response.body", "body": b": hi\n\n", "more_body": True})
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        queues.add(queue)
        while True:
            parts = [await queue.get()]
            while not queue.empty():
                parts.append(queue.get_nowait())
            await send({"type": "http.response.body", "body": b"".join(parts), "more_body": True})

    return with_lifespan(application)


def set_django_up() -> None:
    """Django for the peers that are made for it."""
    import django
    from django.conf import settings

    url, prefix = os.environ.get("REDIS_URL"), os.environ.get("REDIS_PREFIX")
    layer: dict[str, Any] = {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 100_000}}
    if url:
        layer = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [url], "prefix": prefix}}
    settings.configure(
        SECRET_KEY="bench", ALLOWED_HOSTS=["*"], USE_TZ=True, ROOT_URLCONF="tests.bench.peers_urls",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "channels", "django_eventstream"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, CHANNEL_LAYERS={"default": layer},
    )  # fmt: skip
    django.setup()


def make_channels() -> Application:
    """Channels: a consumer a browser, in a group."""
    set_django_up()
    from channels.generic.http import AsyncHttpConsumer
    from channels.layers import get_channel_layer

    class Consumer(AsyncHttpConsumer):
        async def http_request(self, message: dict[str, Any]) -> None:  # the base class's would wait for the end of the answer
            await self.channel_layer.group_add("events", self.channel_name)
            await self.send_headers(headers=STREAM)
            await self.send_body(b": hi\n\n", more_body=True)

        async def event_message(self, message: dict[str, Any]) -> None:
            body = b"event: message\ndata: " + json.dumps(message["event"]).encode() + b"\n\n"
            await self.send_body(body, more_body=True)

    async def emit(number: int) -> None:
        await get_channel_layer().group_send("events", {"type": "event.message", "event": payload(number)})

    consumer = Consumer.as_asgi()

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/publish":
            await publish_each(scope, send, emit)
        else:
            await consumer(scope, receive, send)

    return with_lifespan(application)


def make_eventstream() -> Application:
    """django-eventstream, without storage."""
    set_django_up()
    from asgiref.sync import sync_to_async
    from django.core.asgi import get_asgi_application
    from django_eventstream import send_event

    django_application = get_asgi_application()

    async def emit(number: int) -> None:
        await sync_to_async(send_event)("bench", "message", payload(number))

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/publish":
            await publish_each(scope, send, emit)
        else:
            await django_application(scope, receive, send)

    return with_lifespan(application)


def make_starlette() -> Application:
    """sse-starlette, with a queue a client as its documentation has it."""
    from sse_starlette.sse import EventSourceResponse

    queues: set[asyncio.Queue[dict[str, Any]]] = set()

    async def emit(number: int) -> None:
        event = payload(number)
        for queue in queues:
            queue.put_nowait(event)

    async def stream() -> Any:
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        queues.add(queue)
        try:
            yield {"comment": "hi"}
            while True:
                yield {"event": "message", "data": json.dumps(await queue.get())}
        finally:
            queues.discard(queue)

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/publish":
            await publish_each(scope, send, emit)
        else:
            await EventSourceResponse(stream())(scope, receive, send)

    return with_lifespan(application)


MAKERS: dict[str, Callable[[], Application]] = {
    "floor": make_floor,
    "queues": make_queues,
    "channels": make_channels,
    "eventstream": make_eventstream,
    "starlette": make_starlette,
}


def __getattr__(name: str) -> Application:
    """`tests.bench.peers:floor` and so on: only what is asked for is made, and imported."""
    if name not in MAKERS:
        raise AttributeError(name)
    application = globals()[name] = MAKERS[name]()
    return application
