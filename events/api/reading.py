"""What a caller asks of the journal, and the pages that it gets."""

from __future__ import annotations

from typing import Any

import orjson
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.pagination import Cursor as PageCursor
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from events.access import is_staff
from events.api.base import Invalid, Problem
from events.exceptions import InvalidFilter
from events.filters import EventFilter
from events.journal import Head
from events.selection import Selection
from events.types import MAX_LABEL_LENGTH, EventCategory, EventPriority

MAX_PAGE_SIZE = 500
MAX_POSITION = 2**63 - 1


class EventQuery(serializers.Serializer[Any]):
    """The parameters of `GET /api/events/`."""

    types = serializers.CharField(required=False, help_text="Types or patterns, comma-separated: `document.*,*.failed`.")
    categories = serializers.CharField(required=False, help_text=f"Comma-separated, of: {', '.join(EventCategory)}.")
    min_priority = serializers.ChoiceField(list(EventPriority), required=False, help_text="Leave out what is less urgent.")
    since = serializers.DateTimeField(required=False, help_text="Events from this moment on (ISO 8601).")
    until = serializers.DateTimeField(required=False, help_text="Events before this moment (ISO 8601).")
    correlation_id = serializers.CharField(required=False, max_length=MAX_LABEL_LENGTH, help_text="The id that they share.")
    user = serializers.CharField(
        required=False,
        max_length=MAX_LABEL_LENGTH,
        help_text="The id of the user whose events they are. Other users': staff only.",
    )
    page_size = serializers.IntegerField(required=False, min_value=1, max_value=MAX_PAGE_SIZE, help_text="50 unless given.")
    cursor = serializers.CharField(required=False, help_text="A page, as `next` and `previous` name it.")


def selection_of(request: Request) -> Selection:
    """What the request asks for. Raises Invalid for malformed, unknown and doubled parameters, and PermissionDenied."""
    given = request.query_params
    problems = [Problem(name, "is not a parameter of this page") for name in given if name not in EventQuery().fields]
    problems += [Problem(name, "is given more than once") for name, values in given.lists() if len(values) > 1]
    query = EventQuery(data=given.dict())
    if not query.is_valid():
        problems += [Problem(name, str(details[0])) for name, details in query.errors.items()]
    if problems:
        raise Invalid(problems)
    values = query.validated_data
    user = values.get("user")
    if user is not None and not is_staff(request.user) and user != str(request.user.pk):
        raise PermissionDenied("Only staff may ask for the events of another user.")
    try:
        wanted = EventFilter.from_query(*(values.get(name) for name in ("types", "categories", "min_priority")))
    except InvalidFilter as error:
        raise Invalid([Problem(error.field, error.reason)]) from None
    return Selection(wanted, values.get("since"), values.get("until"), user, values.get("correlation_id"))


class EventPagination(CursorPagination):
    """Pages of the journal, newest first. They stay as they are while events arrive: positions only grow."""

    ordering = "-position"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    def decode_cursor(self, request: Request) -> PageCursor | None:
        try:
            cursor: PageCursor | None = super().decode_cursor(request)
            if cursor is not None and cursor.position is not None and not 0 <= int(cursor.position) <= MAX_POSITION:
                raise ValueError(cursor.position)
        except (NotFound, ValueError):
            raise Invalid([Problem("cursor", "is not the cursor of a page")]) from None
        return cursor


def as_item(head: Head, position: int | None, body: str) -> orjson.Fragment:
    """An event as on the wire, with its cursor (docs/wire.md)."""
    return orjson.Fragment(f'{body[:-1]},"cursor":"{head.epoch}:{position}"}}')
