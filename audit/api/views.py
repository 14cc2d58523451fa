"""The API of the audit log: read pages of it, one entry, and export what is selected."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from audit.access import record_entry, record_list
from audit.api import schema
from audit.api.permissions import MayExport, MayView
from audit.api.reading import AFTER, BEFORE, PAGE_SIZE, AuditQuery, ExportQuery, asked, keys_of
from audit.models import AuditEntry
from audit.reading.formats import FIELDS, FORMATS
from audit.reading.paging import MAX_ID, Key, read_page
from audit.reading.selection import Selection
from audit.reading.streaming import UNRECORDED, export_response
from events.api.base import APIView, Unavailable
from events.api.schema import FORBIDDEN, INVALID, UNAUTHENTICATED, error

REFUSALS = {401: UNAUTHENTICATED, 403: FORBIDDEN}
NOT_JSON = {406: error("The answer is JSON, which the client does not accept.")}


class Entries(APIView):
    """`/api/audit/`."""

    permission_classes = [IsAuthenticated, MayView]

    @extend_schema(
        operation_id="list_audit_entries",
        summary="Entries of the audit log",
        description="Newest first. Follow `next` for older ones. That you read them is recorded. For staff with `audit.view_auditentry`.",
        parameters=[AuditQuery],
        responses={200: schema.PAGE, 400: INVALID, **REFUSALS, **NOT_JSON},
    )
    def get(self, request: Request) -> Response:
        selection, rest = asked(request, AuditQuery)
        page = read_page([selection.rows()], rest.get("page_size", PAGE_SIZE), **keys_of(rest.get("cursor")))
        record_list("api", selection.given())
        return Response(
            {
                "next": _link(request, BEFORE, page.older),
                "previous": _link(request, AFTER, page.newer),
                "results": [as_item(entry) for entry in page.entries],
            }
        )


class Entry(APIView):
    """`/api/audit/{id}/`."""

    permission_classes = [IsAuthenticated, MayView]

    @extend_schema(
        operation_id="get_audit_entry",
        summary="One entry of the audit log",
        description="That you read it is recorded. For staff with `audit.view_auditentry`.",
        responses={200: schema.FOUND, 404: error("There is no such entry."), **REFUSALS, **NOT_JSON},
    )
    def get(self, request: Request, entry_id: str) -> Response:
        number = int(entry_id) if entry_id.isdecimal() and len(entry_id) < 20 else MAX_ID + 1
        entry = Selection().rows().filter(pk=number).first() if number <= MAX_ID else None
        if entry is None:
            raise NotFound
        record_entry(entry.pk)
        return Response(as_item(entry))


class Export(APIView):
    """`/api/audit/export/`."""

    permission_classes = [IsAuthenticated, MayView, MayExport]

    @extend_schema(
        operation_id="export_audit_entries",
        summary="Export entries of the audit log",
        description=(
            "A stream, in the order of recording. `jsonl`: entries, seals and signed records, which verify offline "
            "(`python -m audit.evidence.verify`), filtered or not. `csv` (what spreadsheets would compute is defused) and `ocsf`: each entry with "
            "the number of its seal and the digest that this holds. That you export them is recorded. For staff with "
            "`audit.view_auditentry` and `audit.export_auditentry`."
        ),
        parameters=[ExportQuery],
        responses={**schema.EXPORTS, 400: INVALID, **REFUSALS, 503: error("The export could not be recorded now.")},
    )
    def get(self, request: Request) -> HttpResponseBase:
        selection, rest = asked(request, ExportQuery)
        exported = export_response(request._request, FORMATS[rest["as"]], selection.rows(), selection.given())
        if exported is None:
            raise Unavailable(UNRECORDED)
        return exported

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        # `as` says what is wanted, whatever the media types that the client accepts.
        return super().perform_content_negotiation(request, force=True)


def as_item(entry: AuditEntry) -> dict[str, Any]:
    """An entry for the answer: its columns by name."""
    return {name: getattr(entry, name) for name in FIELDS}


def _link(request: Request, prefix: str, key: Key | None) -> str | None:
    return None if key is None else replace_query_param(request.build_absolute_uri(), "cursor", f"{prefix}{key}")
