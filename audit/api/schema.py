"""The audit log's API in OpenAPI's terms: what goes out, with examples. Describes; nothing here checks anything."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

from audit.models import CATEGORIES, Outcome
from audit.reading.formats import FORMATS
from events.types import EventPriority

Fields = serializers.Serializer[Any]

ENTRY = {
    "id": 42,
    "event_id": "0b9f3c52-8a8e-4f0c-9d0e-3a7b6a1f2c4d",
    "event_type": "auth.user.updated",
    "source_category": "change",
    "action": "updated",
    "outcome": "success",
    "priority": "normal",
    "timestamp": "2026-01-31T12:00:00.000000+00:00",
    "user_id": "2",
    "actor_type": "user",
    "actor_id": "2",
    "actor_label": "alice",
    "impersonator": "",
    "resource_type": "auth.user",
    "resource_id": "7",
    "resource_label": "bob",
    "ip_address": "203.0.113.9",
    "user_agent": "curl/8",
    "session_id": None,
    "correlation_id": "import-42",
    "changes": {"email": ["bob@example.com", "bob@example.org"]},
    "data": {},
    "metadata": {},
}


class AuditItem(Fields):
    """An entry of the audit log."""

    id = serializers.IntegerField()
    event_id = serializers.CharField()
    event_type = serializers.CharField(help_text="What happened.")
    source_category = serializers.ChoiceField(CATEGORIES, help_text="Where the entry comes from.")
    action = serializers.CharField(help_text="What was done.")
    outcome = serializers.ChoiceField(Outcome.choices)
    priority = serializers.ChoiceField(list(EventPriority))
    timestamp = serializers.DateTimeField()
    user_id = serializers.CharField(allow_null=True, help_text="Whose business it is.")
    actor_type = serializers.CharField(allow_blank=True)
    actor_id = serializers.CharField(allow_blank=True)
    actor_label = serializers.CharField(allow_blank=True, help_text="Who did it, in words of that time.")
    impersonator = serializers.CharField(allow_blank=True, help_text="Who acted in the actor's name.")
    resource_type = serializers.CharField(allow_blank=True)
    resource_id = serializers.CharField(allow_blank=True)
    resource_label = serializers.CharField(allow_blank=True)
    ip_address = serializers.CharField(allow_null=True)
    user_agent = serializers.CharField(allow_blank=True)
    session_id = serializers.CharField(allow_null=True)
    correlation_id = serializers.CharField(allow_null=True)
    changes = serializers.DictField(allow_null=True, help_text="Old and new value by field.")
    data = serializers.DictField()  # type: ignore[assignment]  # DRF takes declared fields off the class
    metadata = serializers.DictField()


class AuditPage(Fields):
    """A page of entries."""

    next = serializers.URLField(allow_null=True, help_text="Older entries.")
    previous = serializers.URLField(allow_null=True, help_text="Newer entries.")
    results = AuditItem(many=True)


FOUND = OpenApiResponse(AuditItem, "The entry.", [OpenApiExample("An entry", ENTRY, response_only=True)])
PAGE = OpenApiResponse(
    AuditPage,
    "A page.",
    [OpenApiExample("The only page", {"next": None, "previous": None, "results": [ENTRY]}, response_only=True)],
)
MEDIA_TYPES = sorted({form.media_type.partition(";")[0] for form in FORMATS.values()})
EXPORTS = {
    (200, media_type): OpenApiResponse(OpenApiTypes.STR, "The entries, a line each, with their seals.")
    for media_type in MEDIA_TYPES
}
