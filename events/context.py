"""Who an event comes from and where: set once for a request, a connection or a command, read when an event is emitted."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.crypto import salted_hmac
from django.utils.functional import LazyObject, empty

from events.client_ip import client_ip
from events.ids import new_id
from events.types import UnifiedEvent

# Ids that come from outside: nothing that could break a log line or a header.
ID_GRAMMAR = re.compile(r"[A-Za-z0-9._:\-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it. `type` is user, token (somebody by an API token; the id is the user's, a token's own may be the secret), command,
    task or system; `id` is None where there is none; `label` is for people. `impersonator` is who really did it, in this actor's name.
    """

    type: str
    id: str | None
    label: str
    impersonator: Actor | None = None

    def to_dict(self) -> dict[str, Any]:
        """For an event's metadata."""
        values: dict[str, Any] = {"type": self.type, "id": self.id, "label": self.label}
        return values | {"impersonator": self.impersonator.to_dict()} if self.impersonator else values


@dataclass(frozen=True)
class Context:
    """Where events come from. What is None is not known."""

    actor: Actor | None = None
    request_id: str | None = None
    correlation_id: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    session_id: str | None = None

    def current_actor(self) -> Actor | None:
        """The actor at this moment."""
        return self.actor

    async def acurrent_actor(self) -> Actor | None:
        """The actor at this moment, found without blocking the event loop."""
        return self.current_actor()

    def current_session(self) -> str | None:
        """The session at this moment, as `session_label` names it."""
        return self.session_id


@dataclass(frozen=True)
class RequestContext(Context):
    """The context of an HTTP request. User and session are looked up when an event is emitted: DRF finds a token's user
    in the view, and a login changes both. An actor that was set (`act_as`) goes before the user.

    What authenticated the request is read from `request.auth`, as DRF sets it, and who impersonates its user from
    `request.impersonator`, as django-impersonate sets it.
    """

    request: HttpRequest | None = None

    def current_actor(self) -> Actor | None:
        if self.actor is not None:
            return self.actor
        user = getattr(self.request, "user", None)
        if not _is_unresolved(user):
            return self._actor_of(user)
        with _resolution() as is_first:
            return self._actor_of(user) if is_first else None

    async def acurrent_actor(self) -> Actor | None:
        if self.actor is not None or not _is_unresolved(getattr(self.request, "user", None)):
            return self.current_actor()
        with _resolution() as is_first:
            return self._actor_of(await cast("Any", self.request).auser()) if is_first else None

    def _actor_of(self, user: Any) -> Actor | None:
        by_token = getattr(self.request, "auth", None) is not None
        return user_actor(user, by_token=by_token, impersonator=getattr(self.request, "impersonator", None))

    def current_session(self) -> str | None:
        return session_label(getattr(getattr(self.request, "session", None), "session_key", None))


def _is_unresolved(user: Any) -> bool:
    return isinstance(user, LazyObject) and user._wrapped is empty


_is_resolving: ContextVar[bool] = ContextVar("events_is_resolving", default=False)


@contextmanager
def _resolution() -> Iterator[bool]:
    """While a request's user is looked up. Whether it is not already: what looks a user up may save something itself (when they were last
    seen), and asks who does that. Nobody knows yet."""
    if _is_resolving.get():
        yield False
        return
    token = _is_resolving.set(True)
    try:
        yield True
    finally:
        _is_resolving.reset(token)


_current: ContextVar[Context | None] = ContextVar("events_context", default=None)


def current_context() -> Context:
    """The context in force here."""
    return _current.get() or process_context()


@cache
def process_context() -> Context:
    """The context outside of any request: the management command that runs, else the system itself."""
    program = Path(sys.argv[0])
    is_django = program.name in ("manage.py", "django-admin") or program.parts[-2:] == ("django", "__main__.py")
    if is_django and len(sys.argv) > 1:
        return Context(Actor("command", None, sys.argv[1]))
    return Context(Actor("system", None, "system"))


@contextmanager
def use_context(context: Context) -> Iterator[Context]:
    """Make `context` the one in force within the block."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


@contextmanager
def correlate(correlation_id: str | None = None) -> Iterator[str]:
    """Give all events of the block one correlation id: yours, or a new one. Yields it."""
    correlation_id = correlation_id or new_id()
    with use_context(replace(current_context(), correlation_id=correlation_id)):
        yield correlation_id


@contextmanager
def act_as(actor: Actor) -> Iterator[None]:
    """Make `actor` the one who does what is done in the block."""
    with use_context(replace(current_context(), actor=actor)):
        yield


def user_actor(user: Any, *, by_token: bool = False, impersonator: Any = None) -> Actor | None:
    """The actor that a signed-in user is, or another principal that says `is_authenticated`; None for an anonymous one. `impersonator` is the user who acts in their name."""
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    pk, name = getattr(user, "pk", None), getattr(user, "get_username", user.__str__)  # a machine's principal may have neither
    label = str(name() or "")
    return Actor("token" if by_token else "user", None if pk is None else str(pk), label, user_actor(impersonator))


def task_actor(name: str, task_id: str | None = None) -> Actor:
    """The actor that a background task is, by its name and the id of its run, if there is one: `with act_as(task_actor(…)):`."""
    return Actor("task", task_id, name)


def session_label(session_key: str | None) -> str | None:
    """A name for a session that can't be turned back into its key: who reads a log must not be able to take a session over."""
    return salted_hmac("events.session", session_key).hexdigest()[:32] if session_key else None


def enrich(event: UnifiedEvent) -> UnifiedEvent:
    """A copy of the event, completed with what the context knows and the event does not say itself."""
    context = current_context()
    return _enriched(event, context, context.current_actor())


async def aenrich(event: UnifiedEvent) -> UnifiedEvent:
    """As `enrich`, where an event loop runs."""
    context = current_context()
    return _enriched(event, context, await context.acurrent_actor())


def _enriched(event: UnifiedEvent, context: Context, actor: Actor | None) -> UnifiedEvent:
    metadata: dict[str, Any] = {}
    if actor is not None:
        metadata["actor"] = actor.to_dict()
    if context.request_id is not None:
        metadata["request_id"] = context.request_id
    if context.ip_address is not None:
        metadata["ip_address"] = context.ip_address
    if context.user_agent is not None:
        metadata["user_agent"] = context.user_agent
    return replace(
        event,
        metadata=metadata | event.metadata,
        session_id=event.session_id or context.current_session(),
        correlation_id=event.correlation_id or context.correlation_id,
    )


def request_context(request: HttpRequest) -> RequestContext:
    """The context of an HTTP request. Ids that the client sends are taken if they are well-formed."""
    headers = request.headers
    request_id = _accept_id(headers.get("X-Request-ID")) or new_id()
    return RequestContext(
        request_id=request_id,
        correlation_id=_accept_id(headers.get("X-Correlation-ID")) or request_id,
        ip_address=client_ip(request.META.get("REMOTE_ADDR"), headers.get("X-Forwarded-For")),
        user_agent=_printable(headers.get("User-Agent", "")),
        request=request,
    )


def scope_context(scope: dict[str, Any]) -> Context:
    """The context of an ASGI connection (a Channels consumer), with the user and session that its middleware found."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
    request_id = _accept_id(headers.get("x-request-id")) or new_id()
    peer = scope.get("client")
    return Context(
        actor=user_actor(scope.get("user"), by_token=scope.get("auth") is not None, impersonator=scope.get("impersonator")),
        request_id=request_id,
        correlation_id=_accept_id(headers.get("x-correlation-id")) or request_id,
        ip_address=client_ip(peer[0] if peer else None, headers.get("x-forwarded-for")),
        user_agent=_printable(headers.get("user-agent", "")),
        session_id=session_label(getattr(scope.get("session"), "session_key", None)),
    )


def _accept_id(value: str | None) -> str | None:
    return value if value and ID_GRAMMAR.match(value) else None


def _printable(value: str) -> str | None:
    return "".join(c for c in value[:256] if c.isprintable()) or None


class ScopeContextMiddleware:
    """ASGI middleware: sets the context for Channels consumers. Goes inside the middleware that finds the user."""

    def __init__(self, inner: Callable[..., Awaitable[None]]) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        with use_context(scope_context(scope)):
            await self.inner(scope, receive, send)


class EventContextMiddleware:
    """Sets the context for each request, in sync and async views, and answers with its `X-Request-ID`."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._acall(request)
        with use_context(request_context(request)) as context:
            return _labelled(self.get_response(request), context)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        with use_context(request_context(request)) as context:
            return _labelled(await self.get_response(request), context)


def _labelled(response: HttpResponseBase, context: Context) -> HttpResponseBase:
    response.headers.setdefault("X-Request-ID", context.request_id or "")
    # What is streamed is made after the middleware is done. A file emits nothing, and the server may send it by itself.
    if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
        parts: Any = response.streaming_content
        response.streaming_content = _ain(context, parts) if response.is_async else _in(context, parts)
    return response


def _in(context: Context, parts: Iterable[bytes]) -> Iterator[bytes]:
    """The parts, each made in the context."""
    iterator = iter(parts)
    while True:
        with use_context(context):
            part = next(iterator, None)
        if part is None:
            return
        yield part


async def _ain(context: Context, parts: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """As `_in`, where an event loop runs."""
    iterator = aiter(parts)
    while True:
        with use_context(context):
            part = await anext(iterator, None)
        if part is None:
            return
        yield part
