"""Ends cool-offs."""

from __future__ import annotations

from django.db import transaction

from events.conf import settings as events_settings
from events.manager import emit
from events.types import EventCategory
from security.models import CoolOff


def release(subject: str, author: str) -> bool:
    """End the cool-off of a subject; `author` says who did it. False if there is none."""
    alias = events_settings().DATABASE
    with transaction.atomic(using=alias):
        number, _ = CoolOff.objects.using(alias).filter(subject=subject).delete()
        if number:
            data = {"action": "released", "resource_type": "security.cooloff", "resource_id": subject, "author": author}
            emit("cooloff.released", data, category=EventCategory.AUDIT, metadata={"outcome": "success"})
    return bool(number)
