"""Puts the streams beside a Django application: `application = with_events(get_asgi_application())`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.urls import URLPattern, path, re_path

from events.context import ScopeContextMiddleware
from events.delivery.authentication import Application, authenticated
from events.delivery.consumers import Refusal, SseConsumer, WebSocketConsumer
from events.delivery.lifespan import lifespan
from events.signals import stream_refused

FOREIGN: Final = Refusal(403, 4403, "origin", "A page of another site opened it.")
STREAM_PATH = "events/stream"
WEBSOCKET_PATH = "ws/events/"


def with_events(django_application: Application, websocket_urlpatterns: Sequence[URLPattern] = ()) -> Application:
    """An ASGI application that serves the streams, the lifespan protocol and, for everything else, Django.

    Your own consumers' `websocket_urlpatterns` get what the streams have: the origin checked, the user in the scope, and
    the context for the events that they emit.
    """
    others = authenticated(ScopeContextMiddleware(URLRouter([*websocket_urlpatterns, _everything(_no_such_socket)])))
    sockets = URLRouter([path(WEBSOCKET_PATH, WebSocketConsumer.as_asgi()), _everything(others)])
    return ProtocolTypeRouter(
        {
            "http": URLRouter([path(STREAM_PATH, SseConsumer.as_asgi()), _everything(django_application)]),
            "websocket": same_origin(sockets),
            "lifespan": lifespan,
        }
    )


def same_origin(application: Application) -> Application:
    """Refuses a WebSocket that a page of another host or port opens, unless `CSRF_TRUSTED_ORIGINS` names its origin, and sends `stream_refused`.

    Browsers always say where a page is from; a client that does not is none.
    """
    trusted = OriginValidator(application, settings.CSRF_TRUSTED_ORIGINS)

    async def check(scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if _may_open(headers.get(b"origin"), headers.get(b"host", ""), trusted):
            await application(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close"})
        if stream_refused.has_listeners(OriginValidator):
            await stream_refused.asend_robust(OriginValidator, scope=scope, refusal=FOREIGN)

    return check


def _may_open(origin: str | None, host: str, trusted: OriginValidator) -> bool:
    """Whether a page from there may open a WebSocket here. What is no origin is not one of ours."""
    if origin is None:
        return True
    try:
        parsed = urlsplit(origin)
        return bool((parsed.netloc == host and _is_allowed(host)) or trusted.valid_origin(parsed))
    except ValueError:
        return False


def _is_allowed(host: str) -> bool:
    allowed = settings.ALLOWED_HOSTS or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    return validate_host(split_domain_port(host)[0], allowed)


def _everything(application: Application) -> URLPattern:
    """A route for what the routes before it left."""
    return re_path("", application)  # type: ignore[arg-type]  # Channels routes to ASGI applications with it


async def _no_such_socket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4404})
