"""Puts the streams beside a Django application: `application = with_events(get_asgi_application())`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import URLPattern, path, re_path

from events.context import ScopeContextMiddleware
from events.delivery.authentication import Application, authenticated
from events.delivery.consumers import SseConsumer, WebSocketConsumer
from events.delivery.lifespan import lifespan

STREAM_PATH = "events/stream"
WEBSOCKET_PATH = "ws/events/"


def with_events(django_application: Application, websocket_urlpatterns: Sequence[URLPattern] = ()) -> Application:
    """An ASGI application that serves the streams, the lifespan protocol and, for everything else, Django.

    Your own consumers' `websocket_urlpatterns` get what the streams have: the origin checked, the user in the scope, and
    the context for the events that they emit.
    """
    stream = authenticated(SseConsumer.as_asgi())
    sockets = URLRouter(
        [
            path(WEBSOCKET_PATH, WebSocketConsumer.as_asgi()),
            *websocket_urlpatterns,
            re_path("", _no_such_socket),  # type: ignore[arg-type]  # Channels routes to ASGI applications with it
        ]
    )
    return ProtocolTypeRouter(
        {
            "http": URLRouter([path(STREAM_PATH, stream), re_path("", django_application)]),  # type: ignore[arg-type]
            "websocket": same_origin(authenticated(ScopeContextMiddleware(sockets))),
            "lifespan": lifespan,
        }
    )


def same_origin(application: Application) -> Application:
    """Refuses a WebSocket that a page of another host opens. Browsers always say where a page is from; what says nothing is none."""
    validated = AllowedHostsOriginValidator(application)

    async def check(scope: dict[str, Any], receive: Any, send: Any) -> None:
        from_browser = any(name == b"origin" for name, _ in scope["headers"])
        await (validated if from_browser else application)(scope, receive, send)

    return check


async def _no_such_socket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4404})
