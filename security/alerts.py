"""One alert an incident."""

from __future__ import annotations

from typing import Any, Final

from events.conf import WriteMode
from events.context import Actor
from events.manager import emit
from events.types import EventCategory, EventPriority
from events.writer import usual_mode
from security.models import Incident, Severity

MONITOR: Final = Actor("system", None, "security monitor")
PRIORITIES: Final = {
    Severity.CRITICAL: EventPriority.CRITICAL,
    Severity.HIGH: EventPriority.HIGH,
    Severity.MEDIUM: EventPriority.HIGH,
    Severity.LOW: EventPriority.NORMAL,
}


def alert(incident: Incident) -> bool:
    """Raise `suspicious.<kind>` for an incident that was opened or got worse, with the transaction that is open. False if it can't be
    stored."""
    address = {"ip_address": incident.address} if incident.address else {}
    data: dict[str, Any] = {"message": incident.summary, **incident.numbers, **address, "incident_id": incident.pk}
    data |= {"severity": incident.severity, "subject": incident.subject}
    with usual_mode(WriteMode.WITH_CHANGE):
        return emit(
            f"suspicious.{incident.kind}",
            data,
            category=EventCategory.SECURITY,
            priority=PRIORITIES[Severity(incident.severity)],
            user_id=incident.account or None,
            correlation_id=incident.correlation_id,
            metadata={"actor": MONITOR.to_dict()} | address,
        )
