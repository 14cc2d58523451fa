"""The audit log. Who did what is kept as values: a foreign key's cascade would erase history, SET NULL would edit it."""

from __future__ import annotations

import json
import secrets
from typing import Any

import orjson
from django.db import models
from django.db.models import Q

from events.types import MAX_ID_LENGTH, MAX_LABEL_LENGTH, MAX_TYPE_LENGTH, EventCategory, EventPriority

MAX_TEXT_LENGTH = 255
# The category of entries that record the change of an object (`audit.tracking`), and not an event.
CHANGE = "change"
CATEGORIES = [*((str(c), c.title()) for c in EventCategory), (CHANGE, "Change")]
SALT_LENGTH = 32  # hexadecimal: 128 bits


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


def new_salt() -> str:
    """The salt of a new row."""
    return secrets.token_hex(SALT_LENGTH // 2)


def _of_known(column: str, name: str) -> models.Index:
    """An index by a column and the moment, of the rows where the column is known: the others cost nothing."""
    return models.Index(fields=[column, "timestamp"], condition=Q((f"{column}__isnull", False)), name=name)


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
    # Without it the digest of the row tells nothing of the personal columns: erasing them erases it too.
    personal_salt = models.CharField(max_length=SALT_LENGTH, default=new_salt, editable=False)

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
        # What is looked for, each in the order of the pages (`audit.reading.paging`). The first also serves what has few values: its
        # columns are compared without reading the row. Not `db_index`: on PostgreSQL that makes a second index for LIKE.
        indexes = [
            models.Index(
                fields=["timestamp", "source_category", "outcome", "priority", "action", "resource_type"], name="audit_time"
            ),
            # What somebody looks for first, and the first index would look for among all the others.
            models.Index(fields=["timestamp"], condition=Q(priority=str(EventPriority.CRITICAL)), name="audit_critical_time"),
            # The id of a change begins with its moment, by which it is found (`audit.tracking.ids`): one index less on the way of each save.
            models.Index(fields=["event_id"], condition=~Q(source_category=CHANGE), name="audit_event"),
            _of_known("correlation_id", "audit_correlation_time"),
            _of_known("user_id", "audit_user_time"),
            models.Index(fields=["actor_label", "timestamp"], name="audit_actor_time"),
            models.Index(fields=["resource_id", "resource_type", "timestamp"], name="audit_resource_time"),
            _of_known("ip_address", "audit_address_time"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"


class SignedRecord(models.Model):
    """What `audit.evidence.seals` signs, as a row. Moments are text: what is stored is what was signed."""

    format = models.IntegerField()
    key_id = models.CharField("key", max_length=32)
    algorithm = models.CharField(max_length=16)
    signature = models.CharField(max_length=128)

    class Meta:
        abstract = True


class AuditSeal(SignedRecord):
    """A seal (`audit.evidence.seals.Seal`)."""

    # Given by the sealer. "Auto" makes it SQLite's rowid, so that no row has a second key by which REPLACE finds it.
    number = models.BigAutoField(primary_key=True)
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    count = models.IntegerField()
    digest = models.CharField(max_length=64)
    previous = models.CharField(max_length=64, blank=True)
    sealed_at = models.CharField(max_length=27)
    rows = models.TextField()

    class Meta:
        db_table = "audit_seal"
        default_permissions = ()
        indexes = [models.Index(fields=["last_id"], name="audit_seal_last")]

    def __str__(self) -> str:
        return f"seal {self.number}"


class AuditRemoval(SignedRecord):
    """What retention removed from the rows of a seal (`audit.evidence.seals.Removal`)."""

    id = models.BigAutoField(primary_key=True)
    seal = models.BigIntegerField()
    seal_digest = models.CharField(max_length=64)
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    category = models.CharField(max_length=16, blank=True)
    until = models.CharField(max_length=27)
    rows = models.TextField()
    archive = models.CharField(max_length=MAX_TEXT_LENGTH)
    archive_digest = models.CharField(max_length=64)
    reason = models.CharField(max_length=MAX_TEXT_LENGTH)
    actor = models.CharField(max_length=MAX_TEXT_LENGTH)
    removed_at = models.CharField(max_length=27)

    class Meta:
        db_table = "audit_removal"
        default_permissions = ()
        indexes = [
            models.Index(fields=["seal"], name="audit_removal_seal"),
            models.Index(fields=["last_id", "first_id"], name="audit_removal_rows"),
        ]

    def __str__(self) -> str:
        return f"removal of rows {self.first_id} to {self.last_id}"


class AuditErasure(SignedRecord):
    """That the personal columns of a row were erased (`audit.evidence.seals.Erasure`)."""

    id = models.BigAutoField(primary_key=True)
    row_id = models.BigIntegerField(db_index=True)  # not unique: a forged record must not stand before a true one
    personal = models.CharField(max_length=64)
    reason = models.CharField(max_length=MAX_TEXT_LENGTH)
    actor = models.CharField(max_length=MAX_TEXT_LENGTH)
    erased_at = models.CharField(max_length=27)

    class Meta:
        db_table = "audit_erasure"
        default_permissions = ()

    def __str__(self) -> str:
        return f"erasure of row {self.row_id}"


class LegalHold(SignedRecord):
    """Rows that must stay (`audit.evidence.holds.Hold`): those that have all the values that are given; "" is any, and `user_id` stands
    for all rows of a person. A row whose `releases` is not 0 ends the hold of that id, whose digest is `released`."""

    id = models.BigAutoField(primary_key=True)
    releases = models.BigIntegerField(default=0)
    released = models.CharField(max_length=64, blank=True)
    category = models.CharField(max_length=16, blank=True)
    user_id = models.CharField(max_length=MAX_LABEL_LENGTH, blank=True)
    resource_type = models.CharField(max_length=MAX_TYPE_LENGTH, blank=True)
    resource_id = models.CharField(max_length=MAX_TEXT_LENGTH, blank=True)
    reason = models.CharField(max_length=MAX_TEXT_LENGTH)
    actor = models.CharField(max_length=MAX_TEXT_LENGTH)
    placed_at = models.CharField(max_length=27)

    class Meta:
        db_table = "audit_hold"
        default_permissions = ()

    def __str__(self) -> str:
        return f"legal hold {self.id}"


class SealerLease(models.Model):
    """Which process seals, and until when it does unless it renews. One row."""

    id = models.SmallIntegerField(primary_key=True)
    holder = models.CharField(max_length=64)
    until = models.DateTimeField()

    class Meta:
        db_table = "audit_sealer"
        default_permissions = ()

    def __str__(self) -> str:
        return self.holder
