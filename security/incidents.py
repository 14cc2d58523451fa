"""What a person does with an incident."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from events.conf import settings as events_settings
from events.manager import emit
from events.types import EventCategory, utcnow
from security.models import Incident, Remark

RESOURCE = "security.incident"


def acknowledge(incident: Incident, author: str, text: str = "") -> bool:
    """A person looks after it from now on. False, and nothing is done, if it is not open."""
    return _act(incident, Remark.Act.ACKNOWLEDGED, author, text, [Incident.State.OPEN], state=Incident.State.ACKNOWLEDGED)


def note(incident: Incident, author: str, text: str) -> bool:
    """Something is said about it, closed or not."""
    return _act(incident, Remark.Act.NOTED, author, text, list(Incident.State))


def close(incident: Incident, author: str, text: str = "") -> bool:
    """It is over. False, and nothing is done, if it is closed already."""
    not_closed = [Incident.State.OPEN, Incident.State.ACKNOWLEDGED]
    closed = {"state": Incident.State.CLOSED, "closed_at": utcnow(), "closed_by": author[:255]}
    return _act(incident, Remark.Act.CLOSED, author, text, not_closed, **closed)


def _act(incident: Incident, act: Remark.Act, author: str, text: str, states: list[Incident.State], **values: Any) -> bool:
    alias = events_settings().DATABASE
    with transaction.atomic(using=alias):
        found = Incident.objects.using(alias).select_for_update().filter(pk=incident.pk, state__in=states)
        if not (found.update(**values) if values else found.exists()):
            return False
        for name, value in values.items():
            setattr(incident, name, value)
        Remark.objects.using(alias).create(incident=incident, act=act, author=author[:255], text=text, at=utcnow())
        emit(
            f"incident.{act}",
            {
                "action": str(act),
                "resource_type": RESOURCE,
                "resource_id": str(incident.pk),
                "resource_label": str(incident),
                "kind": incident.kind,
                "text": text,
            },
            category=EventCategory.AUDIT,
            metadata={"outcome": "success"},
        )
    return True
