"""The middleware that looks at each response for what the sources have to tell of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from events.handlers import call_isolated
from security.sources import django_log, logins, proxies, refusals, sessions, tokens

Tell = Callable[[], Any]
SOURCES: Final = (refusals, logins, tokens, sessions, proxies)


class SecurityMiddleware:
    """Tells of refusals, tokens and sessions, in sync and async views. Goes right after `events.context.EventContextMiddleware`.

    The response stays as it is, and trouble in telling never reaches it.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        django_log.connect()  # a server sets Django up anew, and with its logging goes what was attached to it
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._acall(request)
        response = self.get_response(request)
        _tell_all(_look(request, response))
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        if found := _look(request, response):
            await sync_to_async(_tell_all)(found)
        return response


def _look(request: HttpRequest, response: HttpResponseBase) -> list[Tell]:
    """What there is to tell. Almost always nothing: it must cost nothing either."""
    found = (source.look(request, response) for source in SOURCES)
    return [tell for tell in found if tell is not None]


def _tell_all(found: list[Tell]) -> None:
    for tell in found:
        call_isolated(tell)
