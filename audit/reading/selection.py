"""Which entries of the log: one description for the API and the command."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from django.db.models import Q, QuerySet

from audit.models import CHANGE, AuditEntry
from audit.tracking.ids import period_of
from events.conf import settings

# What a part of a selection is compared with, where its name is another than the column's.
LOOKUPS = {
    "category": "source_category",
    "actor": "actor_label",
    "correlation": "correlation_id",
    "address": "ip_address",
    "since": "timestamp__gte",
    "until": "timestamp__lt",
}


@dataclass(frozen=True)
class Selection:
    """Entries whose columns are exactly what is given, and that happened from `since` until before `until`.

    None leaves a part open. All parts are served by an index.
    """

    category: str | None = None
    action: str | None = None
    outcome: str | None = None
    priority: str | None = None
    actor: str | None = None
    user_id: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    correlation: str | None = None
    address: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def given(self) -> dict[str, str]:
        """The parts that are not open, as text."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) for name, value in parts.items() if value is not None}

    def rows(self) -> QuerySet[AuditEntry]:
        """The entries, in no order."""
        entries = AuditEntry.objects.using(settings().DATABASE)
        return entries.filter(**{LOOKUPS.get(name, name): getattr(self, name) for name in self.given()})


def searched(text: str) -> list[Q]:
    """The conditions, of which an entry meets any, by which the search looks for the whole of a text; none where there is no text.

    Quotation marks around it are left out.
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    columns = ("correlation_id", "user_id", "actor_label", "resource_id")
    return [*_with_id(text), *(Q((column, text)) for column in columns)] if text else []


def _with_id(event_id: str) -> list[Q]:
    """What finds the entry with an id: that of an event by its index, that of a change by the moment that it begins with."""
    found = [Q(event_id=event_id) & ~Q(source_category=CHANGE)]
    period = period_of(event_id)
    if period is not None:
        found.append(Q(timestamp__gte=period[0], timestamp__lt=period[1], event_id=event_id))
    return found
