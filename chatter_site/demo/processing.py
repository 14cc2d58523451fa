"""Splits documents into chunks in the background: two threads in the server process.

This is the demo's shortcut: no other service to run. A real project would hand the work to its task queue (Celery, RQ,
Procrastinate, Django's tasks), which outlives the process; the events would be emitted in the same way.
"""

from __future__ import annotations

import logging
import math
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from chatter_site.demo.chunking import split
from chatter_site.demo.models import Chunk, Document
from chatter_site.demo.notices import announce
from events.sse import EventType

logger = logging.getLogger("chatter_site.demo")

# Progress is told in at most this many steps, each a transaction.
STEPS = 20
# Each step renews `updated_at`; who has been silent for so long is not coming back.
ABANDONED_AFTER = timedelta(seconds=60)
INTERRUPTED = "Interrupted: the server stopped while it worked on this file. Upload it again."

_pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="demo-documents")


def start_processing(document_id: int, text: str) -> Future[None]:
    """Have a document's text processed in the background, in the context of the request: the events share its correlation id."""
    future = _pool.submit(copy_context().run, _run, document_id, text)
    future.add_done_callback(_report)
    return future


def _run(document_id: int, text: str) -> None:
    try:
        process(document_id, text)
    except Document.DoesNotExist:
        logger.info("Document %s was deleted while it was processed", document_id)
    except DatabaseError:
        logger.exception("Document %s could not be processed", document_id)
        fail(document_id, "The chunks could not be stored. Upload the file again.")
    finally:
        connections.close_all()


def _report(future: Future[None]) -> None:
    if not future.cancelled() and (error := future.exception()):
        logger.error("A document's processing broke off", exc_info=error)


def process(document_id: int, text: str) -> None:
    """Split the text, store the chunks step by step, tell of each. Raises Document.DoesNotExist if it is deleted meanwhile."""
    with transaction.atomic():
        document = _locked(document_id)
        if document.is_finished:  # it waited for so long that its owner was told it had failed
            return
        document.status, document.started_at = Document.Status.PROCESSING, timezone.now()
        document.save()
        announce(EventType.DOCUMENT_PROCESSING_STARTED, document)
    chunks = split(text)
    step = math.ceil(len(chunks) / STEPS)
    for first in range(0, len(chunks), step):
        _store(document_id, chunks, range(first, min(first + step, len(chunks))))
    _complete(document_id)


def _store(document_id: int, chunks: list[str], indexes: range) -> None:
    with transaction.atomic():
        document = _locked(document_id)
        Chunk.objects.bulk_create(Chunk(document=document, index=index, text=chunks[index]) for index in indexes)
        document.chunk_count = indexes.stop
        document.progress = 100 * indexes.stop // len(chunks)
        document.save()
        announce(
            EventType.DOCUMENT_PROCESSING_PROGRESS,
            document,
            progress=float(document.progress),
            chunks_created=document.chunk_count,
        )


def _complete(document_id: int) -> None:
    with transaction.atomic():
        document = _locked(document_id)
        document.status, document.finished_at = Document.Status.COMPLETED, timezone.now()
        document.save()
        seconds = (document.finished_at - (document.started_at or document.uploaded_at)).total_seconds()
        announce(
            EventType.DOCUMENT_PROCESSING_COMPLETED,
            document,
            chunks_created=document.chunk_count,
            processing_time=round(max(0.0, seconds), 3),
        )


def fail(document_id: int, error: str) -> None:
    """Mark a document as failed, drop its chunks, and tell why. Raises Document.DoesNotExist."""
    with transaction.atomic():
        document = _locked(document_id)
        document.chunks.all().delete()
        document.status, document.error, document.chunk_count = Document.Status.FAILED, error, 0
        document.finished_at = timezone.now()
        document.save()
        announce(EventType.DOCUMENT_PROCESSING_FAILED, document, error=error)


def fail_abandoned(owner: User) -> None:
    """Mark as failed what a process left unfinished that died. Done when the owner looks: another process may be at work."""
    unfinished = Document.objects.filter(owner=owner, status__in=[Document.Status.UPLOADED, Document.Status.PROCESSING])
    for document_id in unfinished.filter(updated_at__lt=timezone.now() - ABANDONED_AFTER).values_list("pk", flat=True):
        fail(document_id, INTERRUPTED)


def _locked(document_id: int) -> Document:
    return Document.objects.select_for_update().get(pk=document_id)
