"""The audit log. Who did what is kept as values: a foreign key's cascade would erase history, SET NULL would edit it."""

from __future__ import annotations

import json
from typing import Any

import orjson
from django.db import models

from events.types import MAX_ID_LENGTH, MAX_LABEL_LENGTH, MAX_TYPE_LENGTH, EventCategory, EventPriority

MAX_TEXT_LENGTH = 255
# The category of entries that record the change of an object (`audit.tracking`), and not an event.
CHANGE = "change"
CATEGORIES = [*((str(c), c.title()) for c in EventCategory), (CHANGE, "Change")]


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


class AuditEntry(models.Model):
    """One audit event, or one change of an object: what was done (`event_type`, `action`), how it ended, to what, by whom and
    from where.

    `user_id` is whose business it is, by default the user who did it; `actor_label` names who did it, in words of that time.
    `source_category` is `audit`, or the category of the event that this one was derived from, or `change` for a change of an object,
    whose `changes` has old and new value by field; of a many-to-many field, the rows that went and those that came.
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
    actor_label = models.CharField("actor", max_length=MAX_TEXT_LENGTH, blank=True)
    resource_type = models.CharField(max_length=MAX_TYPE_LENGTH, blank=True)
    resource_id = models.CharField("resource id", max_length=MAX_TEXT_LENGTH, blank=True)
    ip_address = models.GenericIPAddressField("IP address", null=True)
    user_agent = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True)
    session_id = models.CharField("session", max_length=MAX_LABEL_LENGTH, null=True)
    correlation_id = models.CharField("correlation", max_length=MAX_LABEL_LENGTH, null=True)
    actor_type = models.CharField(max_length=16, blank=True, default="")
    actor_id = models.CharField("actor id", max_length=MAX_LABEL_LENGTH, blank=True, default="")
    impersonator = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True, default="")
    resource_label = models.CharField("resource", max_length=MAX_TEXT_LENGTH, blank=True, default="")
    changes = models.JSONField(encoder=EventEncoder, null=True)
    data = models.JSONField(encoder=EventEncoder)
    metadata = models.JSONField(encoder=EventEncoder)

    class Meta:
        db_table = "audit_log"
        default_permissions = ("view",)
        ordering = ["-id"]
        verbose_name = "audit entry"
        verbose_name_plural = "audit log"
        # What the admin looks for and follows. Not `db_index`: on PostgreSQL that makes a second index for LIKE.
        indexes = [
            models.Index(fields=["timestamp"], name="audit_timestamp"),
            models.Index(fields=["event_id"], name="audit_event"),
            models.Index(fields=["correlation_id"], name="audit_correlation"),
            models.Index(fields=["user_id"], name="audit_user"),
            models.Index(fields=["actor_label"], name="audit_actor"),
            models.Index(fields=["resource_id", "resource_type"], name="audit_resource"),
            models.Index(fields=["ip_address"], name="audit_address"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"
