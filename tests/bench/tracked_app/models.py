"""The models. What tracks the second one is named by TRACKED_BY, and imported only then: each is in another environment."""

from __future__ import annotations

import os
from typing import Any

from django.db import models

TRACKED_BY = os.environ.get("TRACKED_BY", "")


class Fields(models.Model):
    """A few fields of the usual kinds."""

    name = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField(default=0)
    status = models.CharField(max_length=16, default="uploaded")
    progress = models.PositiveSmallIntegerField(default=0)
    chunk_count = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=255, blank=True)
    uploaded_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class Bare(Fields):
    """Tracked by nobody."""


class Tracked(Fields):
    """Tracked by one of the packages."""

    if TRACKED_BY == "django-simple-history":
        from simple_history.models import HistoricalRecords

        history: Any = HistoricalRecords()


if TRACKED_BY == "ours":
    import audit

    audit.track(Tracked)
elif TRACKED_BY == "django-auditlog":
    from auditlog.registry import auditlog

    auditlog.register(Tracked)
