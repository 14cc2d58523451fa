"""Incidents of the past: opened when they began, and closed if they were quiet long enough since. Nobody is told, unless asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from events.conf import settings as events_settings
from events.ids import new_id
from security.alerts.raising import alert
from security.conf import settings
from security.importing.verdict import Attack
from security.incidents import MONITOR_NAME, incident_opened, incidents
from security.models import Evidence, Incident, Remark


def open_incidents(attacks: Iterable[Attack], now: datetime, alerting: bool) -> int:
    """Store an incident for each attack that has none yet; `alerting`: tell of them as of what happens now. How many are new."""
    opened = 0
    for attack in attacks:
        with transaction.atomic(using=events_settings().DATABASE):
            incident = _open(attack, now)
            if incident is None:
                continue
            opened += 1
            if alerting and alert(incident):
                incident_opened.send_robust(sender=Incident, incident=incident)
    return opened


def _open(attack: Attack, now: datetime) -> Incident | None:
    detection = attack.detection
    same = incidents().filter(kind=detection.kind, subject=detection.subject)
    is_over = attack.last + timedelta(seconds=settings().INCIDENT_QUIET) < now
    if same.filter(opened_at=attack.first).exists():
        return None
    if not is_over and same.exclude(state=Incident.State.CLOSED).exists():
        return None
    users = {seen.account for seen in attack.first_seen if seen.account and "@" not in seen.account}
    incident = incidents().create(
        kind=detection.kind,
        severity=attack.severity,
        state=Incident.State.CLOSED if is_over else Incident.State.OPEN,
        subject=detection.subject[:255],
        summary=detection.summary[:255],
        address=detection.address or "",
        account=detection.account if detection.account in users else "",
        numbers=dict(detection.numbers),
        events=attack.events,
        correlation_id=new_id(),
        opened_at=attack.first,
        last_event_at=attack.last,
        closed_at=attack.last + timedelta(seconds=settings().INCIDENT_QUIET) if is_over else None,
        closed_by=MONITOR_NAME if is_over else "",
    )
    _add_evidence(incident, attack)
    return incident


def _add_evidence(incident: Incident, attack: Attack) -> None:
    database = events_settings().DATABASE
    Remark.objects.using(database).create(
        incident=incident, act=Remark.Act.OPENED, author=MONITOR_NAME, text=f"Found in a log. {incident.summary}", at=attack.first
    )
    Evidence.objects.using(database).bulk_create(
        [
            Evidence(
                incident=incident,
                event_id=seen.event_id,
                event_type=seen.event_type,
                correlation_id=seen.correlation_id,
                at=seen.at,
            )
            for seen in [*attack.first_seen, *attack.last_seen]
        ],
        ignore_conflicts=True,
    )
