"""The API: read what one may see, emit, and how the system is doing."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from events.access import audiences_of
from events.api import schema
from events.api.base import APIView, Unavailable
from events.api.permissions import IsStaff, MayEmit
from events.api.reading import EventPagination, EventQuery, as_item, selection_of
from events.api.totals import journal_totals
from events.api.writing import prepare_events
from events.journal import read_head
from events.manager import unified_event_manager
from events.selection import Selection
from events.stats import stats


class Events(APIView):
    """`/api/events/`."""

    permission_classes = [IsAuthenticated, MayEmit]

    @extend_schema(
        operation_id="list_events",
        summary="Events that you may see",
        description="Newest first. Pages stay as they are while events arrive: follow `next` for older ones.",
        parameters=[EventQuery],
        responses={200: schema.PAGE, 400: schema.INVALID, 401: schema.UNAUTHENTICATED, 403: schema.FORBIDDEN},
    )
    def get(self, request: Request) -> Response:
        visible = selection_of(request).rows().filter(audience__in=sorted(audiences_of(request.user)))
        head = read_head()
        paginator = EventPagination()
        page = paginator.paginate_queryset(visible.values("position", "body"), request, self)
        return paginator.get_paginated_response([as_item(head, row["position"], row["body"]) for row in page or ()])

    @extend_schema(
        operation_id="emit_events",
        summary="Emit one event, or a list of up to 1,000",
        description=(
            "All or nothing: every event is checked first, and they are stored in one transaction. For staff. Who emitted, and "
            "from where, is noted by the server."
        ),
        request={"application/json": schema.NEW_EVENTS},
        examples=schema.NEW_EVENT_EXAMPLES,
        responses={
            201: schema.IDS,
            400: schema.INVALID,
            401: schema.UNAUTHENTICATED,
            403: schema.FORBIDDEN,
            413: schema.error("The body is too large."),
            415: schema.error("The body's media type is not JSON."),
            503: schema.error("The events could not be stored now."),
        },
    )
    def post(self, request: Request) -> Response:
        prepared = prepare_events(request.data)
        if not unified_event_manager.emit_all(prepared):
            raise Unavailable
        return Response({"ids": [one.event.id for one in prepared]}, 201)


class Event(APIView):
    """`/api/events/{id}/`."""

    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="get_event",
        summary="One event",
        description="404 if there is none, if you may not see it, or if it is not published yet.",
        responses={200: schema.FOUND, 401: schema.UNAUTHENTICATED, 404: schema.error("There is no such event for you.")},
    )
    def get(self, request: Request, event_id: str) -> Response:
        if not event_id.isprintable():  # PostgreSQL refuses to look for NUL
            raise NotFound
        visible = Selection().rows().filter(event_id=event_id, audience__in=sorted(audiences_of(request.user)))
        row = visible.order_by("-position").values_list("position", "body").first()
        if row is None:
            raise NotFound
        return Response(as_item(read_head(), *row))


class Stats(APIView):
    """`/api/events/stats/`. For staff: counters tell of what others do."""

    permission_classes = [IsStaff]

    @extend_schema(
        operation_id="get_stats",
        summary="Counters",
        description="Of the process that answers, since it started; `journal` tells of all processes, from the database. For staff.",
        responses={200: schema.COUNTERS, 401: schema.UNAUTHENTICATED, 403: schema.FORBIDDEN},
    )
    def get(self, request: Request) -> Response:
        return Response(stats.snapshot() | {"journal": journal_totals()})
