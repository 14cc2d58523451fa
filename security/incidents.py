"""Incidents: opened once, updated while they go on, closed when they are quiet or by a person."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet
from django.dispatch import Signal

from events.conf import settings as events_settings
from events.ids import new_id
from events.manager import emit
from events.types import EventCategory, utcnow
from security.alerts.raising import alert
from security.conf import settings
from security.detection import Detection, Observation
from security.evidence import add_evidence, add_what_led_to_it
from security.models import SEVERITIES, Incident, Remark, Severity

logger = logging.getLogger("security.incidents")

# Sent after the commit, with `incident`; sender is Incident. Escalated: it got worse.
incident_opened = Signal()
incident_escalated = Signal()

RESOURCE: Final = "security.incident"
MONITOR_NAME: Final = "security monitor"
CLOSED_AT_ONCE: Final = 100
NOT_CLOSED: Final = [Incident.State.OPEN, Incident.State.ACKNOWLEDGED]
MAX_REMARK_LENGTH: Final = 4_000


class NotTold(Exception):
    """The alert of an incident could not be stored."""


def report(detection: Detection, seen: Observation) -> Incident | None:
    """Open an incident, or put what was seen into the one that is open for this kind and subject. The incident.

    Who opens it alerts, and who makes it worse: incident and alert are stored together, or neither is. None if they could not be: the
    next event tries again. Raises DatabaseError.
    """
    try:
        with transaction.atomic(using=events_settings().DATABASE):
            incident = _open(detection, seen)
            is_new, was = incident.events == 0, incident.severity
            _update(incident, detection, seen, is_new)
            if is_new:
                _remark(incident, Remark.Act.OPENED, MONITOR_NAME, detection.summary)
            if is_new or incident.severity != was:
                if not alert(incident):
                    raise NotTold(str(incident))
                _send_later(incident_opened if is_new else incident_escalated, incident)
    except NotTold:
        logger.error("The alert of an incident could not be stored, the next event tries again: %s", detection.summary)
        return None
    return incident


def _open(detection: Detection, seen: Observation) -> Incident:
    """The open incident of the detection, locked; made if there is none, with no events yet.

    Who loses a race to make it waits, at the unique constraint, until the other has committed. Between that and the next look, it may
    have been closed.
    """
    found = _locked(detection)
    while found is None:
        made = Incident(
            kind=detection.kind,
            severity=detection.severity,
            subject=detection.subject,
            correlation_id=seen.correlation_id or new_id(),
            opened_at=utcnow(),
            last_event_at=seen.at,
        )
        incidents().bulk_create([made], ignore_conflicts=True)
        found = _locked(detection)
    return found


def _locked(detection: Detection) -> Incident | None:
    same = incidents().select_for_update().filter(kind=detection.kind, subject=detection.subject)
    return same.exclude(state=Incident.State.CLOSED).first()


def _update(incident: Incident, detection: Detection, seen: Observation, is_new: bool) -> None:
    incident.severity = max(Severity(incident.severity), detection.severity, key=SEVERITIES.index)
    incident.summary, incident.numbers = detection.summary[:255], dict(detection.numbers)
    incident.address, incident.account = detection.address or incident.address, detection.account or incident.account
    attempts = detection.numbers.get("attempts", 1) if is_new else 1
    incident.events += max(seen.number, attempts)
    incident.last_event_at = max(incident.last_event_at, min(seen.at, utcnow()))
    incident.save(update_fields=["severity", "summary", "numbers", "address", "account", "events", "last_event_at"])
    if is_new:
        add_what_led_to_it(incident, detection, seen)
    add_evidence(incident, seen)


def _send_later(signal: Signal, incident: Incident) -> None:
    send = partial(signal.send_robust, sender=Incident, incident=incident)
    transaction.on_commit(send, using=events_settings().DATABASE, robust=True)


def acknowledge(incident: Incident, author: str, text: str = "") -> bool:
    """A person looks after it from now on. False, and nothing is done, if it is not open."""
    return _act(incident, Remark.Act.ACKNOWLEDGED, author, text, [Incident.State.OPEN], state=Incident.State.ACKNOWLEDGED)


def note(incident: Incident, author: str, text: str) -> bool:
    """Something is said about it, closed or not; at most 4,000 characters are kept. False if it can't be audited: so too below."""
    return _act(incident, Remark.Act.NOTED, author, text, list(Incident.State))


def close(incident: Incident, author: str, text: str = "") -> bool:
    """It is over. False, and nothing is done, if it is closed already. What goes on opens another."""
    return _act(incident, Remark.Act.CLOSED, author, text, NOT_CLOSED, **_closed(author))


def close_quiet() -> int:
    """Close incidents without an event for `SECURITY["INCIDENT_QUIET"]` seconds, acknowledged ones too, some at a time. How many were:
    each is closed by one process. Raises DatabaseError."""
    before = utcnow() - timedelta(seconds=settings().INCIDENT_QUIET)
    quiet = incidents().filter(state__in=NOT_CLOSED, last_event_at__lt=before).order_by("last_event_at")[:CLOSED_AT_ONCE]
    text = f"no event for {settings().INCIDENT_QUIET} s"
    closed = [
        _act(incident, Remark.Act.CLOSED, MONITOR_NAME, text, NOT_CLOSED, quiet_since=before, **_closed(MONITOR_NAME))
        for incident in quiet
    ]
    return sum(closed)


def _closed(author: str) -> dict[str, Any]:
    return {"state": Incident.State.CLOSED, "closed_at": utcnow(), "closed_by": author[:255]}


def _act(
    incident: Incident,
    act: Remark.Act,
    author: str,
    text: str,
    states: list[Incident.State],
    quiet_since: Any = None,
    **values: Any,
) -> bool:
    """Change the incident if it is in one of the states, say so in a remark, and audit it: all, or nothing."""
    author, text = _storable(author, 255), _storable(text, MAX_REMARK_LENGTH)
    with transaction.atomic(using=events_settings().DATABASE):
        found = incidents().select_for_update().filter(pk=incident.pk, state__in=states)
        if quiet_since is not None:
            found = found.filter(last_event_at__lt=quiet_since)
        if not (found.update(**values) if values else found.exists()):
            return False
        _remark(incident, act, author, text)
        data = {"action": str(act), "resource_type": RESOURCE, "resource_id": str(incident.pk), "resource_label": str(incident)}
        data |= {"kind": incident.kind, "author": author, "text": text}
        audited = emit(f"incident.{act}", data, category=EventCategory.AUDIT, metadata={"outcome": "success"})
        if not audited:
            transaction.set_rollback(True, using=events_settings().DATABASE)
            return False
    for name, value in values.items():
        setattr(incident, name, value)
    return True


def _storable(text: str, limit: int) -> str:
    """What every database takes."""
    return text[:limit].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _remark(incident: Incident, act: Remark.Act, author: str, text: str) -> None:
    remarks = Remark.objects.using(events_settings().DATABASE)
    remarks.create(incident=incident, act=act, author=author[:255], text=text, at=utcnow())


def incidents() -> QuerySet[Incident]:
    """Where they are."""
    return Incident.objects.using(events_settings().DATABASE)
