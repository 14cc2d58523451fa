"""The audit log. Who did what is kept as values: a foreign key's cascade would erase history, SET NULL would edit it."""

from __future__ import annotations

import json
from typing import Any

import orjson
from django.db import models

from events.types import MAX_ID_LENGTH, MAX_LABEL_LENGTH, MAX_TYPE_LENGTH, EventCategory, EventPriority

MAX_TEXT_LENGTH = 255


class Outcome(models.TextChoices):
    """How an action ended, as whoever emitted the event said. UNKNOWN: nobody said."""

    SUCCESS = "success"
    FAILURE = "failure"
    DENIED = "denied"
    UNKNOWN = "unknown"


class EventEncoder(json.JSONEncoder):
    """Writes dates, UUIDs and decimals the way the journal does."""

    def encode(self, o: Any) -> str:
        return orjson.dumps(o, default=str).decode()


CHANGE = "change"
CATEGORIES = [*((str(c), c.title()) for c in EventCategory), (CHANGE, "Change")]


class AuditEntry(models.Model):
    """One audit event: what was done (`event_type`, `action`), how it ended, to what, by whom and from where.

    `user_id` is whose business it is, by default the user who did it; `actor_label` names who did it, in words of that time.
    `source_category` is `audit`, the category of the event that this one was derived from, or `change`: then `changes` holds the
    old and the new value of each field, `{"name": ["old", "new"]}`.
    """

    id = models.BigAutoField(primary_key=True)
    event_id = models.CharField("event id", max_length=MAX_ID_LENGTH)
    event_type = models.CharField("type", max_length=MAX_TYPE_LENGTH)
    source_category = models.CharField("category", max_length=16, choices=CATEGORIES)
    action = models.CharField(max_length=MAX_TYPE_LENGTH)
    outcome = models.CharField(max_length=16, choices=Outcome)
    priority = models.CharField(max_length=16, choices=[(str(p), p.title()) for p in EventPriority])
    timestamp = models.DateTimeField("time")
    user_id = models.CharField("user id", max_length=MAX_LABEL_LENGTH, null=True)
    actor_type = models.CharField(max_length=16, blank=True)
    actor_id = models.CharField("actor id", max_length=MAX_LABEL_LENGTH, null=True)
    actor_label = models.CharField("actor", max_length=MAX_TEXT_LENGTH, blank=True)
    impersonator = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True)
    resource_type = models.CharField(max_length=MAX_TYPE_LENGTH, blank=True)
    resource_id = models.CharField("resource id", max_length=MAX_TEXT_LENGTH, blank=True)
    resource_label = models.CharField("resource", max_length=MAX_TEXT_LENGTH, blank=True)
    ip_address = models.GenericIPAddressField("IP address", null=True)
    user_agent = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True)
    session_id = models.CharField("session", max_length=MAX_LABEL_LENGTH, null=True)
    correlation_id = models.CharField("correlation", max_length=MAX_LABEL_LENGTH, null=True)
    changes = models.JSONField(encoder=EventEncoder, null=True)
    data = models.JSONField(encoder=EventEncoder)
    metadata = models.JSONField(encoder=EventEncoder)

    class Meta:
        db_table = "audit_log"
        default_permissions = ("view",)
        ordering = ["-id"]
        verbose_name = "audit entry"
        verbose_name_plural = "audit log"
        permissions = [
            ("export_auditentry", "Can export the audit log"),
            ("verify_auditentry", "Can verify the audit log"),
        ]
        # What is looked for, each in the order of the pages (`audit.paging`). The first also serves what has few values: its
        # columns are compared without reading the row. Not `db_index`: on PostgreSQL that makes a second index for LIKE.
        indexes = [
            models.Index(
                fields=["timestamp", "source_category", "outcome", "priority", "action", "resource_type"], name="audit_time"
            ),
            models.Index(fields=["event_id"], name="audit_event"),
            models.Index(fields=["correlation_id", "timestamp"], name="audit_correlation_time"),
            models.Index(fields=["user_id", "timestamp"], name="audit_user_time"),
            models.Index(fields=["actor_label", "timestamp"], name="audit_actor_time"),
            models.Index(fields=["resource_id", "resource_type", "timestamp"], name="audit_resource_time"),
            models.Index(fields=["ip_address", "timestamp"], name="audit_address_time"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"
