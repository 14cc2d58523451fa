"""Deletes old events from the journal: always its beginning, so that a client that comes back late is told `gap`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Min, QuerySet
from django.utils import timezone

from events.conf import settings
from events.journal import read_head
from events.models import JournalEntry, JournalHead

BATCH_SIZE: Final = 1_000
# Between batches, so that who waits to write gets its turn: on SQLite nobody queues for the lock.
PAUSE: Final = 0.01
# An event whose emitter gave it a time far in the future must not keep all that follow it forever.
CLOCK_SKEW: Final = timedelta(days=1)


def prunable(older_than: datetime | None = None, keep: int = 0) -> int:
    """The last position of the journal's beginning that is older than the moment and not among the last `keep` events."""
    head = read_head()
    last = head.position - keep
    if older_than is not None:
        kept = _rows().filter(position__gt=head.pruned, timestamp__gte=older_than, timestamp__lt=timezone.now() + CLOCK_SKEW)
        first_kept = kept.aggregate(first=Min("position"))["first"]
        last = min(last, head.position if first_kept is None else first_kept - 1)
    return max(head.pruned, last)


def count(upto: int) -> int:
    """How many published events have a position up to this one."""
    return _rows().filter(position__lte=upto).count()


def prune(upto: int) -> Iterator[int]:
    """Delete the published events up to a position, in batches; yields how many each deleted. The outbox stays untouched.

    Each batch is one transaction in which `JournalHead.pruned` moves on: nobody sees events gone that the head says are kept.
    """
    alias = settings().DATABASE
    upto = min(upto, read_head().position)
    first = _rows().aggregate(first=Min("position"))["first"]
    bound = upto if first is None else min(upto, first - 1)
    while True:
        with transaction.atomic(using=alias):
            deleted, _ = _rows().filter(position__lte=bound).delete()
            # Last, because publishers wait for the head.
            JournalHead.objects.using(alias).filter(id=1, pruned__lt=bound).update(pruned=bound)
        if deleted:
            yield deleted
        if bound >= upto:
            return
        bound = min(upto, bound + BATCH_SIZE)
        time.sleep(PAUSE)


def _rows() -> QuerySet[JournalEntry]:
    return JournalEntry.objects.using(settings().DATABASE)
