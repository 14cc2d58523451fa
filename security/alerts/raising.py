"""One alert an incident: to the administrators' browsers at once, by mail and to webhooks through `security.alerts.deliveries`; of too many
at once only the first by themselves."""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction

from events.conf import WriteMode
from events.conf import settings as events_settings
from events.context import Actor
from events.manager import emit
from events.types import EventCategory, EventPriority, utcnow
from events.writer import usual_mode
from security.alerts.allowance import may_notify, may_tell
from security.alerts.digests import deliveries, place
from security.conf import settings
from security.models import SEVERITIES, Delivery, Incident, Severity

MONITOR: Final = Actor("system", None, "security monitor")
PRIORITIES: Final = {
    Severity.CRITICAL: EventPriority.CRITICAL,
    Severity.HIGH: EventPriority.HIGH,
    Severity.MEDIUM: EventPriority.HIGH,
    Severity.LOW: EventPriority.NORMAL,
}


def alert(incident: Incident) -> bool:
    """Raise `suspicious.<kind>` for an incident that was opened or got worse, and put its mails and webhooks on their way: all with the
    transaction that is open, or none of it.

    The rules make of the event one audit entry and, unless the incident is a LOW one, one realtime event for the administrators; only a
    CRITICAL one's is flagged for a browser notification, unless there were too many (`security.alerts.allowance`). True if it is stored,
    or will be with the transaction. Raises DatabaseError, InvalidEvent as `events.emit`.
    """
    alias = events_settings().DATABASE
    with transaction.atomic(using=alias), usual_mode(WriteMode.WITH_CHANGE):
        _put_on_the_way(incident)
        stored = emit(
            f"suspicious.{incident.kind}",
            _told(incident),
            category=EventCategory.SECURITY,
            priority=PRIORITIES[Severity(incident.severity)],
            user_id=incident.account or None,
            correlation_id=incident.correlation_id or None,
            metadata=_metadata(incident),
        )
        if not stored:
            transaction.set_rollback(True, using=alias)
    return stored


def _told(incident: Incident) -> dict[str, Any]:
    """The event's data: the detector's numbers, and what the incident is."""
    address = {"ip_address": incident.address} if incident.address else {}
    numbers = dict(incident.numbers)
    return (
        {"message": incident.summary}
        | numbers
        | address
        | {
            "incident_id": incident.pk,
            "severity": str(incident.severity),
            "subject": incident.subject,
        }
    )


def _metadata(incident: Incident) -> dict[str, Any]:
    """Where it came from, and whether browsers are told without a notification."""
    address = {"ip_address": incident.address} if incident.address else {}
    is_quiet = incident.severity == Severity.CRITICAL and not may_notify()
    return {"actor": MONITOR.to_dict()} | address | ({"quiet": True} if is_quiet else {})


def _put_on_the_way(incident: Incident) -> None:
    """A delivery for each target, or a place in its digest where it heard enough; mails only where it is bad enough. What was sent,
    given up, or is not sent yet when the incident gets worse is sent anew."""
    is_mailed = SEVERITIES.index(Severity(incident.severity)) >= SEVERITIES.index(Severity(settings().ALERT_MAIL_SEVERITY))
    targets = [("mail", address) for address in settings().ALERT_MAIL if is_mailed]
    # In one order, in which everybody locks what is counted of them.
    targets = sorted({*targets, *(("webhook", url) for url in settings().ALERT_WEBHOOKS)})
    allowed = may_tell(targets, Severity(incident.severity))
    told = {target for target, is_allowed in zip(targets, allowed, strict=True) if is_allowed}
    if len(told) < len(targets):
        told |= _on_their_way(incident)
    place(incident, {target: target not in told for target in targets})
    now = utcnow()
    deliveries().bulk_create(
        [
            Delivery(incident=incident, channel=channel, target=target, next_attempt_at=now)
            for channel, target in targets
            if (channel, target) in told
        ],
        update_conflicts=True,
        unique_fields=["incident", "channel", "target"],
        update_fields=["state", "attempts", "next_attempt_at", "last_error"],
    )


def _on_their_way(incident: Incident) -> set[tuple[str, str]]:
    """The targets that are to hear of the incident by itself already: that will say how bad it is by then, and no digest need. Who asks
    puts it on its way anew, as an attempt that has begun may still say how bad it was; until then the rows are locked."""
    pending = deliveries().select_for_update().filter(incident=incident, state=Delivery.State.PENDING)
    return set(pending.values_list("channel", "target"))
