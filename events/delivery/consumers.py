"""The two ways in for browsers: SSE and WebSocket. They check, refuse with a reason, and hand the open stream to the hub."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qs

import orjson
from channels.consumer import AsyncConsumer, get_handler_name
from channels.exceptions import StopConsumer
from django.db import DatabaseError, InterfaceError

from events.cursor import Cursor
from events.delivery.authentication import Credential
from events.delivery.backpressure import DaphneConnection, connection_of
from events.delivery.client import Client
from events.delivery.frames import SseWire, WebSocketWire, Wire
from events.delivery.hub import Busy, Hub, get_hub
from events.exceptions import InvalidEvent
from events.filters import EventFilter
from events.signals import stream_opened, stream_refused
from events.stats import stats

logger = logging.getLogger("events.hub")

Result = TypeVar("Result")
# Seconds, drawn anew for each: who is refused together must not come back together.
RETRY_AFTER = range(3, 11)
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx
]


@dataclass
class Refusal(Exception):
    """The stream may not be opened. `code` is WebSocket's, `field` names the parameter at fault."""

    status: int
    code: int
    error: str
    detail: str
    field: str | None = None

    def to_dict(self) -> dict[str, str]:
        """What the client is told."""
        named = {"field": self.field} if self.field else {}
        return {"error": self.error, **named, "detail": self.detail}

    @property
    def is_passing(self) -> bool:
        """Whether the client should come again after a while."""
        return self.status in (429, 503)


class StreamConsumer(AsyncConsumer):
    """What both have in common. The hub writes past the consumer, which only waits for the end of the connection."""

    parameters: ClassVar[frozenset[str]] = frozenset({"types", "categories", "min_priority", "cursor"})
    client: Client | None = None
    hub: Hub
    _joining: asyncio.Task[None] | None = None
    _connection: DaphneConnection | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As Channels does it, without what a stream does not need: a channel of its own (the hub listens for all), a task that waits
        for several sources, a look at the connections of Django's shared thread, where others' work may be waiting."""
        self.scope = scope
        self._connection = connection_of(send)
        self.base_send = self._connection.send if self._connection else send
        try:
            while True:
                message = await receive()
                await getattr(self, get_handler_name(message))(message)
        except StopConsumer:
            pass
        except asyncio.CancelledError:
            if self.client is None or not self.client.closed:
                raise  # the server ends us, not the hub
        finally:
            self._leave()

    def _join(self, client: Client) -> None:
        """Let the client catch up and go live, while the consumer listens for the end of the connection."""
        self._joining = asyncio.create_task(self.hub.join(client, self._cursor))

    async def _open(self, wire: Wire) -> Client:
        """Check the request and take the user's place. Raises Refusal."""
        query = self._query()
        for name in query.keys() - self.parameters:
            raise Refusal(400, 4400, "invalid", f"{name}: not a parameter of a stream".encode("ascii", "replace").decode(), name)
        try:
            wanted = EventFilter.from_query(query.get("types"), query.get("categories"), query.get("min_priority"))
            self._cursor = self._requested_cursor(query)
        except InvalidEvent as error:
            raise Refusal(400, 4400, "invalid", str(error), error.field) from None
        self.hub = get_hub()
        await self._or_unavailable(self.hub.start())
        self._refuse_if_stopping()
        credential = Credential.of(self.scope)
        identity = await self._or_unavailable(self.hub.identify(credential))
        if not identity.audiences:
            raise Refusal(401, 4401, "unauthenticated", "Sign in to open a stream.")
        client = Client(self.base_send, self._aborter(), wire, identity.user_id, identity.audiences, wanted, credential)
        if not self.hub.reserve(client):
            self._refuse_if_stopping()
            raise Refusal(429, 4429, "too_many_connections", f"{identity.name} has too many streams open.")
        self.client = client
        if not await self._or_unavailable(self.hub.confirm(client)):
            raise Refusal(429, 4429, "too_many_connections", f"{identity.name} has too many streams open.")
        return client

    def _refuse_if_stopping(self) -> None:
        if self.hub.stopping:
            raise Refusal(503, 4503, "stopping", "The server is stopping.")

    async def _or_unavailable(self, work: Awaitable[Result]) -> Result:
        """The result. Raises Refusal where the hub is busy or the database is away."""
        try:
            return await work
        except Busy:
            raise Refusal(503, 4503, "busy", "Many streams are opening. Come again.") from None
        except RuntimeError:
            self._refuse_if_stopping()  # its threads take no more work
            raise
        except (DatabaseError, InterfaceError) as error:
            stats.count("hub_errors")
            logger.warning("A stream can't be opened now: %s", error)
            raise Refusal(503, 4503, "unavailable", "The database does not answer. Come again.") from None

    def _aborter(self) -> Callable[[], object]:
        """What cuts the connection: the server does it when the application is cancelled, or Twisted where it is Daphne's."""
        task, connection = asyncio.current_task(), self._connection
        assert task is not None

        def abort() -> None:
            task.cancel()
            if connection is not None:
                connection.abort()

        return abort

    def _requested_cursor(self, query: dict[str, str]) -> Cursor | None:
        text = dict(self.scope["headers"]).get(b"last-event-id", b"").decode("latin-1") or query.get("cursor")
        return None if text is None else Cursor.parse(text)

    def _query(self) -> dict[str, str]:
        """The query's parameters; of one that is there several times, the values with commas between."""
        return {name: ",".join(values) for name, values in parse_qs(self.scope["query_string"].decode("latin-1"), True).items()}

    def _flag(self, name: str) -> bool:
        """Whether a parameter is 1. Raises Refusal for anything but 0 and 1."""
        value = self._query().get(name, "0")
        if value not in ("0", "1"):
            raise Refusal(400, 4400, "invalid", f"{name}: must be 0 or 1", name)
        return value == "1"

    async def _tell(self, refusal: Refusal) -> None:
        """Send `stream_refused`. What receivers raise is Django's to log."""
        if stream_refused.has_listeners(type(self)):
            await stream_refused.asend_robust(type(self), scope=self.scope, refusal=refusal)

    async def _tell_opened(self, client: Client) -> None:
        """Send `stream_opened`, as `_tell` does."""
        if stream_opened.has_listeners(type(self)):
            await stream_opened.asend_robust(type(self), scope=self.scope, user_id=client.user_id)

    def _leave(self) -> None:
        if self._joining is not None:
            self._joining.cancel()
        if self.client is not None:
            self.hub.leave(self.client)
            self.client = None


class SseConsumer(StreamConsumer):
    """`GET /events/stream`."""

    parameters = StreamConsumer.parameters | {"named"}

    async def http_request(self, message: dict[str, Any]) -> None:
        if message.get("more_body"):
            return
        try:
            if self.scope["method"] != "GET":
                raise Refusal(405, 0, "method", "Only GET opens a stream.")
            client = await self._open(SseWire(named=self._flag("named")))
        except Refusal as refusal:
            await self._refuse(refusal)
            await self._tell(refusal)
            raise StopConsumer from None
        await self.send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        self._join(client)
        await self._tell_opened(client)

    async def http_disconnect(self, message: dict[str, Any]) -> None:
        raise StopConsumer

    async def _refuse(self, refusal: Refusal) -> None:
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        if refusal.is_passing:
            headers.append((b"retry-after", str(random.choice(RETRY_AFTER)).encode()))  # noqa: S311
        if refusal.status == 405:
            headers.append((b"allow", b"GET"))
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": orjson.dumps(refusal.to_dict())})


class WebSocketConsumer(StreamConsumer):
    """`/ws/events/`. Accepts before it refuses: a browser's script is told a close code, but not an HTTP status."""

    parameters = StreamConsumer.parameters | {"batch"}

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        await self.send({"type": "websocket.accept"})
        try:
            client = await self._open(WebSocketWire(batched=self._flag("batch")))
        except Refusal as refusal:
            self._leave()
            await self._refuse(refusal)
            await self._tell(refusal)
            return
        self._join(client)
        await self._tell_opened(client)

    async def _refuse(self, refusal: Refusal) -> None:
        """Say why in a message: a close reason holds 123 bytes at most, and Daphne sends none."""
        later = {"retry_after": random.choice(RETRY_AFTER)} if refusal.is_passing else {}  # noqa: S311
        message = orjson.dumps({"stream": "refused", **refusal.to_dict(), **later}).decode()
        await self.send({"type": "websocket.send", "text": message})
        await self.send({"type": "websocket.close", "code": refusal.code, "reason": refusal.error})

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        """Clients have nothing to say."""

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        raise StopConsumer
