"""Incidents for tests. Called in other processes too."""

from __future__ import annotations

from typing import Any

from events.types import utcnow
from security.alerts.raising import alert
from security.models import Incident


def incident(**fields: Any) -> Incident:
    """A saved incident, which nobody was alerted of."""
    now = utcnow()
    values: dict[str, Any] = {
        "kind": "brute_force",
        "severity": "high",
        "subject": "address 203.0.113.9",
        "summary": "5 failed logins within 300 s: address 203.0.113.9",
        "address": "203.0.113.9",
        "numbers": {"attempts": 5, "threshold": 5, "window": 300},
        "events": 5,
        "opened_at": now,
        "last_event_at": now,
    }
    return Incident.objects.create(**values | fields)


def alerted(**fields: Any) -> int:
    """The id of a saved incident that was alerted of."""
    one = incident(**fields)
    assert alert(one)
    return one.pk
