"""The API in OpenAPI's terms: what goes in and out, with examples. Describes; nothing here checks anything."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, inline_serializer
from rest_framework import serializers

from events.api.writing import MAX_EVENTS, SERVER_METADATA
from events.types import (
    MAX_ID_LENGTH,
    MAX_LABEL_LENGTH,
    MAX_TYPE_LENGTH,
    RESERVED_METADATA,
    TYPE_GRAMMAR,
    EventCategory,
    EventPriority,
)

Fields = serializers.Serializer[Any]

EVENT = {
    "id": "0b9f3c52-8a8e-4f0c-9d0e-3a7b6a1f2c4d",
    "type": "document.uploaded",
    "category": "realtime",
    "priority": "normal",
    "data": {"document_id": "doc_123"},
    "metadata": {"actor": {"type": "user", "id": "2", "label": "alice"}},
    "user_id": "2",
    "session_id": None,
    "correlation_id": "import-42",
    "source_system": None,
    "timestamp": "2026-01-31T12:00:00.000000+00:00",
    "cursor": "3f9c2a7d51e0:42",
}


class EventItem(Fields):
    """An event as on the wire, with its cursor."""

    id = serializers.CharField(max_length=MAX_ID_LENGTH)
    type = serializers.CharField(max_length=MAX_TYPE_LENGTH, help_text="What happened.")
    category = serializers.ChoiceField(list(EventCategory))
    priority = serializers.ChoiceField(list(EventPriority))
    data = serializers.DictField()  # type: ignore[assignment]  # DRF takes declared fields off the class
    metadata = serializers.DictField(
        help_text="`actor`, `request_id`, `derived_from`, `source_category`, `notification`, `replayed`, …"
    )
    user_id = serializers.CharField(allow_null=True, help_text="Whose event it is; null: everybody's.")
    session_id = serializers.CharField(allow_null=True)
    correlation_id = serializers.CharField(allow_null=True)
    source_system = serializers.CharField(allow_null=True)
    timestamp = serializers.DateTimeField()
    cursor = serializers.CharField(help_text="Where the event is in the journal: a stream can resume from here.")


class EventPage(Fields):
    """A page of events."""

    next = serializers.URLField(allow_null=True, help_text="Older events.")
    previous = serializers.URLField(allow_null=True, help_text="Newer events.")
    results = EventItem(many=True)


class ErrorPlace(Fields):
    """One thing that is wrong."""

    index = serializers.IntegerField(required=False, help_text="Which event of a list.")
    field = serializers.CharField()
    detail = serializers.CharField()


class InvalidRequest(Fields):
    """What is wrong with a request: `field` and `detail` are those of the first of `errors`."""

    error = serializers.ChoiceField(["invalid"])
    field = serializers.CharField()
    detail = serializers.CharField()
    errors = ErrorPlace(many=True)  # type: ignore[assignment]


class Refusal(Fields):
    """Why a request is refused."""

    error = serializers.CharField()
    detail = serializers.CharField()


class Ids(Fields):
    """The ids of the events, in the order in which they were sent."""

    ids = serializers.ListField(child=serializers.CharField())


def _counts() -> serializers.DictField:
    return serializers.DictField(child=serializers.IntegerField())


class JournalTotals(Fields):
    """The journal, which all processes share."""

    epoch = serializers.CharField()
    position = serializers.IntegerField(help_text="The last position given.")
    pruned = serializers.IntegerField(help_text="The last position that is no longer kept.")
    outbox = serializers.IntegerField(help_text="Events that wait for their position.")
    oldest = serializers.DateTimeField(allow_null=True, help_text="When the oldest event kept happened.")
    last_24_hours = inline_serializer(
        "RecentTotals",
        {"total": serializers.IntegerField(), "by_category": _counts(), "by_priority": _counts(), "by_type": _counts()},
    )


class Counters(Fields):
    """The counters of one process, and the journal's totals."""

    processed = serializers.IntegerField(help_text="Events that were emitted.")
    derived = serializers.IntegerField(help_text="Events that rules made of them.")
    by_category = _counts()
    by_priority = _counts()
    by_type = _counts()
    connections = serializers.IntegerField(help_text="Open streams.")
    errors = serializers.IntegerField(help_text="The sum of the errors below.")  # type: ignore[assignment]
    dropped = serializers.IntegerField(help_text="Events that were shed under overload.")
    lost = serializers.DictField(
        child=serializers.IntegerField(), help_text="Events that were shed or could not be written, by category."
    )
    invalid = serializers.IntegerField()
    handler_errors = serializers.IntegerField()
    write_errors = serializers.IntegerField()
    doorbell_errors = serializers.IntegerField()
    hub_errors = serializers.IntegerField()
    delivery_errors = serializers.IntegerField(help_text="Mails and webhooks that were given up.")
    counter_errors = serializers.IntegerField(help_text="Redis did not count for the security monitor, so the database did.")
    journal = JournalTotals()


def error(description: str) -> OpenApiResponse:
    """The answer to a refused request."""
    return OpenApiResponse(Refusal, description)


FOUND = OpenApiResponse(EventItem, "The event.", [OpenApiExample("An event", EVENT, response_only=True)])
PAGE = OpenApiResponse(
    EventPage,
    "A page.",
    [OpenApiExample("The only page", {"next": None, "previous": None, "results": [EVENT]}, response_only=True)],
)
IDS = OpenApiResponse(Ids, "Stored.", [OpenApiExample("One event", {"ids": [EVENT["id"]]}, response_only=True)])
PROBLEM = {"field": "type", "detail": "'Uploaded' is not a type name: lower-case words joined by dots, like 'document.uploaded'"}
INVALID = OpenApiResponse(
    InvalidRequest,
    "What is wrong, by the name of the field.",
    [
        OpenApiExample(
            "The third event of a list",
            {"error": "invalid", **PROBLEM, "errors": [{"index": 2, **PROBLEM}]},
            response_only=True,
        )
    ],
)
BY_CATEGORY = dict.fromkeys(map(str, EventCategory), 0) | {"realtime": 3}
BY_PRIORITY = dict.fromkeys(map(str, EventPriority), 0) | {"normal": 3}
BY_TYPE = {"document.uploaded": 3}
NOTHING_LOST = dict.fromkeys(map(str, EventCategory), 0)
ERRORS = dict.fromkeys(
    (
        "errors",
        "dropped",
        "invalid",
        "handler_errors",
        "write_errors",
        "doorbell_errors",
        "hub_errors",
        "delivery_errors",
        "counter_errors",
    ),
    0,
)
COUNTS = {"by_category": BY_CATEGORY, "by_priority": BY_PRIORITY, "by_type": BY_TYPE}
COUNTERS = OpenApiResponse(
    Counters,
    "The counters.",
    [
        OpenApiExample(
            "Three uploads",
            {"processed": 3, "derived": 0, **COUNTS, "connections": 2, **ERRORS, "lost": NOTHING_LOST}
            | {
                "journal": {
                    "epoch": "3f9c2a7d51e0",
                    "position": 42,
                    "pruned": 0,
                    "outbox": 0,
                    "oldest": EVENT["timestamp"],
                    "last_24_hours": {"total": 3, **COUNTS},
                }
            },
            response_only=True,
        )
    ],
)
UNAUTHENTICATED = error("Not signed in.")
FORBIDDEN = error("Signed in, and not allowed to.")

LABEL = {"type": "string", "nullable": True, "maxLength": MAX_LABEL_LENGTH, "pattern": r"^[ -~]*$"}
NEW_EVENT = {
    "type": "object",
    "required": ["type"],
    "additionalProperties": False,
    "properties": {
        "type": {
            "type": "string",
            "maxLength": MAX_TYPE_LENGTH,
            "pattern": "^" + TYPE_GRAMMAR.pattern.replace(r"\Z", "$"),
            "description": "What happened: lower-case words joined by dots.",
        },
        "category": {"type": "string", "enum": list(map(str, EventCategory)), "default": "realtime"},
        "priority": {"type": "string", "enum": list(map(str, EventPriority)), "description": "`normal`; `low` for analytics."},
        "data": {"type": "object", "additionalProperties": True},
        "metadata": {
            "type": "object",
            "additionalProperties": True,
            "description": "Anything but what the system sets: "
            + ", ".join(f"`{name}`" for name in sorted({*SERVER_METADATA, *RESERVED_METADATA})),
        },
        "user_id": LABEL | {"description": "Whose event it is; null: everybody's."},
        "correlation_id": LABEL,
        "source_system": LABEL,
    },
}
NEW_EVENTS = {"oneOf": [NEW_EVENT, {"type": "array", "items": NEW_EVENT, "minItems": 1, "maxItems": MAX_EVENTS}]}
NEW_EVENT_EXAMPLES = [
    OpenApiExample(
        "One event", {"type": "document.uploaded", "data": {"document_id": "doc_123"}, "user_id": "2"}, request_only=True
    ),
    OpenApiExample(
        "Several at once",
        [
            {"type": "job.started", "category": "workflow", "correlation_id": "import-42"},
            {"type": "job.failed", "category": "workflow", "priority": "high", "correlation_id": "import-42"},
        ],
        request_only=True,
    ),
]
