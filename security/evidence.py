"""The events that belong to an incident: of all of them the first and the latest are kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from django.db.models import QuerySet

from events.conf import settings
from events.models import JournalEntry
from events.types import EventCategory
from security.adapter import LOGIN_SUCCESS
from security.detection import Detection, Observation
from security.detectors.words import LOGIN_FAILURES
from security.models import Evidence, Incident
from security.observations import observation_of

# So many are kept from the beginning, and as many of the latest.
KEPT: Final = 20
# Among so many are those looked for that led to an incident.
LOOKED_AT: Final = 200


def add_evidence(incident: Incident, seen: Observation) -> None:
    """Keep the event; of more than enough, one in the middle goes. Raises DatabaseError."""
    _keep(incident, [seen])
    if incident.events > 2 * KEPT:
        kept = _evidence().filter(incident=incident)
        first, latest = kept.order_by("id").values("id")[:KEPT], kept.order_by("-id").values("id")[:KEPT]
        kept.exclude(id__in=first).exclude(id__in=latest).delete()


def add_what_led_to_it(incident: Incident, detection: Detection, seen: Observation) -> None:
    """Keep the first of the events that were counted before the one that opens the incident, as far as the journal has them. Raises
    DatabaseError."""
    first = detection.numbers.get("first_failure")
    if isinstance(first, str) and datetime.fromisoformat(first) < seen.at:
        _keep(incident, list(_earlier(detection, seen, datetime.fromisoformat(first)))[: KEPT - 1])


def _earlier(detection: Detection, seen: Observation, first: datetime) -> Iterator[Observation]:
    # What leads to a login that is suspicious are failed ones, told one by one, in summaries, or as refused.
    types = LOGIN_FAILURES if seen.event_type in LOGIN_FAILURES | {LOGIN_SUCCESS} else [seen.event_type]
    rows = JournalEntry.objects.using(settings().DATABASE).filter(
        category=EventCategory.SECURITY, event_type__in=types, timestamp__gte=first, timestamp__lte=seen.at
    )
    for row in rows.order_by("timestamp", "id")[:LOOKED_AT]:
        found = observation_of(row.event)
        known = {"address": found.network, "account": found.account, "username": found.username_hash}
        if found.event_id != seen.event_id and detection.numbers["keys"].items() <= known.items():
            yield found


def _keep(incident: Incident, observations: list[Observation]) -> None:
    found = [
        Evidence(
            incident=incident,
            event_id=seen.event_id,
            event_type=seen.event_type,
            correlation_id=seen.correlation_id,
            at=seen.at,
        )
        for seen in observations
    ]
    _evidence().bulk_create(found, ignore_conflicts=True)


def _evidence() -> QuerySet[Evidence]:
    return Evidence.objects.using(settings().DATABASE)
