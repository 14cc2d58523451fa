"""Entries of the audit log for tests, and who looks at them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client

from audit.models import AuditEntry
from audit.testing import unprotected
from events.ids import new_id

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
# What the reading itself records.
READING = "audit_log."


def entry(number: int = 0, **fields: Any) -> AuditEntry:
    """A saved entry, `number` minutes after START."""
    values: dict[str, Any] = {
        "event_id": new_id(),
        "event_type": "model.delete",
        "source_category": "audit",
        "action": "delete",
        "outcome": "success",
        "priority": "normal",
        "timestamp": START + timedelta(minutes=number),
        "data": {},
        "metadata": {},
    }
    return AuditEntry.objects.create(**values | fields)


def account(name: str, *permissions: str, staff: bool = True, superuser: bool = False) -> Client:
    """A signed-in client of a new user with these permissions; the log is empty afterwards."""
    user = User.objects.create_user(name, is_staff=staff, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    empty_log()
    return client


def empty_log() -> None:
    """Forget the entries that preparing a test made."""
    with unprotected():
        AuditEntry.objects.all().delete()


def readings() -> list[tuple[str, dict[str, Any]]]:
    """What was recorded of the reading: type, and what was looked at."""
    found = AuditEntry.objects.filter(event_type__startswith=READING).order_by("id")
    return [(one.event_type.removeprefix(READING), one.data) for one in found]
