"""What the journal says about the whole system, where a process's counters only know that process."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from django.db.models import Count

from events.conf import settings
from events.journal import read_head
from events.models import JournalEntry
from events.stats import MAX_TYPES
from events.types import EventCategory, EventPriority, utcnow

PERIOD = timedelta(hours=24)


def journal_totals() -> dict[str, Any]:
    """Epoch and last position, what waits in the outbox, the oldest event kept, and the events of the last 24 hours by
    category, priority and (the most frequent) type."""
    head = read_head()
    rows = JournalEntry.objects.using(settings().DATABASE)
    oldest = rows.filter(position__isnull=False).order_by("position").values_list("timestamp", flat=True).first()
    return {
        "epoch": head.epoch,
        "position": head.position,
        "pruned": head.pruned,
        "outbox": rows.filter(position=None).count(),
        "oldest": oldest,
        "last_24_hours": _recent(),
    }


def _recent() -> dict[str, Any]:
    by_category = Counter(dict.fromkeys(map(str, EventCategory), 0))
    by_priority = Counter(dict.fromkeys(map(str, EventPriority), 0))
    by_type: Counter[str] = Counter()
    recent = JournalEntry.objects.using(settings().DATABASE).filter(timestamp__gte=utcnow() - PERIOD).order_by()
    for category, priority, event_type, number in recent.values_list("category", "priority", "event_type").annotate(
        n=Count("id")
    ):
        by_category[category] += number
        by_priority[priority] += number
        by_type[event_type] += number
    return {
        "total": by_type.total(),
        "by_category": dict(by_category),
        "by_priority": dict(by_priority),
        "by_type": dict(by_type.most_common(MAX_TYPES)),
    }
