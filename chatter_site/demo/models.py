"""What users upload, and the chunks that it is split into."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse

import audit


@audit.tracked(exclude=["updated_at"])
class Document(models.Model):
    """A text file that a user uploaded. Only its owner sees it."""

    class Status(models.TextChoices):
        """How far it is."""

        UPLOADED = "uploaded"
        PROCESSING = "processing"
        COMPLETED = "completed"
        FAILED = "failed"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="documents")
    name = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    status = models.CharField(max_length=16, choices=Status, default=Status.UPLOADED)
    progress = models.PositiveSmallIntegerField(default=0, help_text="Percent.")
    chunk_count = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=255, blank=True)
    uploaded_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-uploaded_at", "-pk"]
        indexes = [models.Index(fields=["owner", "-uploaded_at"], name="demo_document_of_owner")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """The page with its chunks."""
        return reverse("document", args=[self.pk])

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in (self.Status.COMPLETED, self.Status.FAILED)

    def as_json(self) -> dict[str, Any]:
        """What the page shows of it. Ids are text, as in events."""
        return {
            "id": str(self.pk),
            "name": self.name,
            "size": self.size,
            "status": self.status,
            "progress": self.progress,
            "chunk_count": self.chunk_count,
            "error": self.error,
            "uploaded_at": self.uploaded_at.isoformat(),
            "url": self.get_absolute_url(),
            "delete_url": reverse("document-delete", args=[self.pk]),
        }


class Chunk(models.Model):
    """A part of a document's text. `index` counts from 0."""

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks")
    index = models.PositiveIntegerField()
    text = models.TextField()

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["document", "index"], name="demo_chunk_once")]

    def __str__(self) -> str:
        return f"{self.document_id}[{self.index}]"
