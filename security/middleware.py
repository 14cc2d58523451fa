"""The middleware that looks at each response for what the sources have to tell of it."""

from __future__ import annotations

import codecs
from collections.abc import Awaitable, Callable
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from events.handlers import call_isolated
from security.sources import django_log, logins, proxies, refusals, sessions, tokens

Tell = Callable[[], Any]
SOURCES: Final = (refusals, logins, tokens, sessions, proxies)


class SecurityMiddleware:
    """Tells of refusals, tokens and sessions, in sync and async views. Goes right after `events.context.EventContextMiddleware`, and before
    whatever reads `request.POST` on the way to the view (Django's CSRF check does so only once all middleware has passed the request on).

    A multipart form that names a charset other than UTF-8 is refused: `SuspiciousOperation`, which Django answers with 400. All other
    responses stay as they are, and trouble in telling never reaches them.
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
        _refuse_other_charsets(request)
        response = self.get_response(request)
        _tell_all(_look(request, response))
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        _refuse_other_charsets(request)
        response = await self.get_response(request)
        if found := _look(request, response):
            await sync_to_async(_tell_all)(found)
        return response


def _refuse_other_charsets(request: HttpRequest) -> None:
    """Django does so for other forms. A multipart form it reads by any codec of Python's that is named: some raise in the view, and some
    make halves of characters, which no answer can show."""
    if request.content_type != "multipart/form-data":
        return
    charset = (request.content_params or {}).get("charset")
    # Not where the project has chosen another: then nothing is read by this one.
    if charset and request.encoding in (None, charset) and not _is_utf_8(charset):
        request.encoding = "utf-8"
        # As Django does it: the page that shows the error in DEBUG would read the form.
        request._mark_post_parse_error()  # type: ignore[attr-defined]
        raise SuspiciousOperation("A multipart form names a charset other than UTF-8.")


def _is_utf_8(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name == "utf-8"
    except LookupError:  # Django would pass it over, and quote it raw in the log if it is no ASCII
        return False


def _look(request: HttpRequest, response: HttpResponseBase) -> list[Tell]:
    """What there is to tell. Almost always nothing: it must cost nothing either."""
    found = (source.look(request, response) for source in SOURCES)
    return [tell for tell in found if tell is not None]


def _tell_all(found: list[Tell]) -> None:
    for tell in found:
        call_isolated(tell)
