"""The journal: one table that is the outbox until events are published, and the sequenced log from then on."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from events.access import STAFF_CATEGORIES
from events.encoding import decode
from events.types import MAX_ID_LENGTH, MAX_LABEL_LENGTH, MAX_TYPE_LENGTH, EventCategory, EventPriority, UnifiedEvent


class JournalEntry(models.Model):
    """One event. `position` is its place in publication order; None while it waits in the outbox."""

    id = models.BigAutoField(primary_key=True)
    position = models.BigIntegerField(null=True, unique=True)
    event_id = models.CharField(max_length=MAX_ID_LENGTH)
    event_type = models.CharField("type", max_length=MAX_TYPE_LENGTH)
    category = models.CharField(max_length=16, choices=[(str(c), c.title()) for c in EventCategory])
    priority = models.CharField(max_length=16, choices=[(str(p), p.title()) for p in EventPriority])
    audience = models.CharField(max_length=MAX_LABEL_LENGTH + 8)
    user_id = models.CharField(max_length=MAX_LABEL_LENGTH, null=True)
    correlation_id = models.CharField(max_length=MAX_LABEL_LENGTH, null=True)
    timestamp = models.DateTimeField()
    # JSON text and not a JSON column: it goes to the browsers byte for byte (docs/wire.md).
    body = models.TextField()
    private = models.TextField(blank=True)

    class Meta:
        db_table = "events_journal"
        ordering = ["-position"]
        verbose_name = "event"
        permissions = [(f"view_{c}_events", f"Can view {c} events") for c in sorted(STAFF_CATEGORIES)]
        indexes = [
            models.Index(fields=["id"], name="events_outbox", condition=Q(position__isnull=True)),
            models.Index(fields=["timestamp"], name="events_timestamp"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"

    @property
    def event(self) -> UnifiedEvent:
        """The event as it was emitted."""
        return decode(self.body, self.private)


class JournalHead(models.Model):
    """One row, the lock under which positions are given. `pruned` is the last position that is no longer kept."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    epoch = models.CharField(max_length=16)
    position = models.BigIntegerField(default=0)
    pruned = models.BigIntegerField(default=0)

    class Meta:
        db_table = "events_journal_head"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="events_one_head")]

    def __str__(self) -> str:
        return f"{self.epoch}:{self.position}"


class HubLease(models.Model):
    """A server process whose hub runs: it renews `seen_at` while it lives."""

    process = models.CharField(max_length=32, primary_key=True)
    seen_at = models.DateTimeField()

    class Meta:
        db_table = "events_hub_lease"
        default_permissions = ()

    def __str__(self) -> str:
        return self.process


class OpenStream(models.Model):
    """A stream that is open in a process, for the others to count."""

    id = models.CharField(max_length=32, primary_key=True)
    process = models.CharField(max_length=32, db_index=True)
    user_id = models.CharField(max_length=MAX_LABEL_LENGTH, db_index=True)

    class Meta:
        db_table = "events_open_stream"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.user_id} in {self.process}"
