"""Which published events of the journal: one description for the API, the tail, replay and its dry run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import QuerySet

from events.access import HUBS
from events.conf import settings
from events.filters import EventFilter
from events.models import JournalEntry


@dataclass(frozen=True)
class Selection:
    """Events that `wanted` lets through, that happened from `since` until before `until`, of a user, of a correlation.

    None leaves a part open.
    """

    wanted: EventFilter = field(default_factory=EventFilter)
    since: datetime | None = None
    until: datetime | None = None
    user_id: str | None = None
    correlation_id: str | None = None

    def rows(self) -> QuerySet[JournalEntry]:
        """The rows of the journal, in no order. Those in the outbox are not among them: they are not published."""
        conditions = {
            "timestamp__gte": self.since,
            "timestamp__lt": self.until,
            "user_id": self.user_id,
            "correlation_id": self.correlation_id,
        }
        given = {name: value for name, value in conditions.items() if value is not None}
        published = JournalEntry.objects.using(settings().DATABASE).filter(position__isnull=False).exclude(audience=HUBS)
        return self.wanted.restrict(published.filter(**given))
