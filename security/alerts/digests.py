"""Alerts beyond a target's allowance, told together: a digest is a delivery of its own, which counts while it is held.

One of a target is held at a time, from its first alert until it is due; then it is closed, and sent as any other. What comes later goes
into the next one. An alert counts in its own transaction, with the digest's row locked, so that each is counted, in one digest; an incident
that gets worse and is told by itself is taken out of the one that is still held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import QuerySet

from events.conf import settings as events_settings
from events.types import utcnow
from security.conf import settings
from security.models import SEVERITIES, Delivery, Incident, Severity


class Line(NamedTuple):
    """So many incidents of a kind and a severity."""

    severity: Severity
    kind: str
    number: int


def place(incident: Incident, held: Mapping[tuple[str, str], bool]) -> None:
    """For each target (channel and where to), whether it is to hear of the incident in a digest: count it there, once, as bad as it is by
    now; or take it out of the digest that is still held, as it is told by itself. Digests are locked in the order of the targets. Raises
    DatabaseError."""
    told_in = dict(incident.digests)
    for (channel, target), is_held in held.items():
        if is_held:
            _count(_held(channel, target), incident, told_in)
        elif told_in:
            _take_out(channel, target, incident, told_in)
    if told_in != incident.digests:
        incident.digests = told_in
        incident.save(update_fields=["digests"])


def close_due(now: datetime) -> None:
    """Nothing is added to digests any more that are due: they are to be sent. Any process may do it. Raises DatabaseError."""
    due = deliveries().filter(state=Delivery.State.HELD, next_attempt_at__lte=now)
    for pk in list(due.values_list("pk", flat=True)):  # one by one: an alert locks several, in its order
        deliveries().filter(pk=pk, state=Delivery.State.HELD).update(state=Delivery.State.PENDING)


def digests_of(incident: Incident) -> QuerySet[Delivery]:
    """Those that the incident was told in, or will be."""
    return deliveries().filter(pk__in=list(incident.digests))


def lines(digest: Delivery) -> list[Line]:
    """What it counted: the worst first, of equal ones the most frequent."""
    found = [
        Line(Severity(severity), kind, number) for severity, kinds in digest.counts.items() for kind, number in kinds.items()
    ]
    return sorted(found, key=lambda line: (-SEVERITIES.index(line.severity), -line.number, line.kind))


def totals(digest: Delivery) -> dict[Severity, int]:
    """How many incidents of each severity, the worst first."""
    found: Counter[Severity] = Counter()
    for line in lines(digest):
        found[line.severity] += line.number
    return dict(found)


def deliveries() -> QuerySet[Delivery]:
    """Where deliveries are, digests among them."""
    return Delivery.objects.using(events_settings().DATABASE)


def _count(digest: Delivery, incident: Incident, told_in: dict[str, str]) -> None:
    if was := told_in.get(str(digest.pk)):
        _add(digest, was, incident.kind, -1)
    _add(digest, incident.severity, incident.kind, 1)
    digest.held_until = utcnow()
    digest.save(update_fields=["counts", "held_until"])
    told_in[str(digest.pk)] = str(incident.severity)


def _take_out(channel: str, target: str, incident: Incident, told_in: dict[str, str]) -> None:
    """A digest that counts nothing any more is forgotten, or it would be sent."""
    digest = _locked(channel, target)
    if digest and (was := told_in.pop(str(digest.pk), None)):
        _add(digest, was, incident.kind, -1)
        if digest.counts:
            digest.save(update_fields=["counts"])
        else:
            digest.delete()


def _held(channel: str, target: str) -> Delivery:
    """The digest of a target that is held, locked; made if there is none. Between the two, it may have been closed or forgotten."""
    while (found := _locked(channel, target)) is None:
        now = utcnow()
        due = now + timedelta(seconds=settings().DIGEST_INTERVAL)
        made = Delivery(
            channel=channel, target=target, state=Delivery.State.HELD, next_attempt_at=due, held_since=now, held_until=now
        )
        deliveries().bulk_create([made], ignore_conflicts=True)
    return found


def _locked(channel: str, target: str) -> Delivery | None:
    return deliveries().select_for_update().filter(state=Delivery.State.HELD, channel=channel, target=target).first()


def _add(digest: Delivery, severity: str, kind: str, number: int) -> None:
    kinds = digest.counts.setdefault(str(severity), {})
    kinds[kind] = kinds.get(kind, 0) + number
    if not kinds[kind]:
        del kinds[kind]
    if not kinds:
        del digest.counts[str(severity)]
