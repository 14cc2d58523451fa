"""What the tests of the audit log share: entries and seals, who looks at them, and a hand that goes around the triggers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client

from audit.conf import seal_keys
from audit.evidence import log
from audit.evidence.sealer import Sealer
from audit.evidence.verify import Verifier
from audit.models import AuditEntry
from audit.recorder import recorder
from audit.testing import unprotected
from events.ids import new_id
from events.testing import wait_published
from events.types import create_audit_event

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
# What the reading itself records.
READING = "audit_log."
DATA = {"reason": "Größe ☃", "n": 1e16, "ratio": 0.1, "list": [1.0, None, True], "deep": {"b": {}, "a": "\u2028"}}


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
    wait_published()  # that somebody signed in, and may do more, is written beside
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


def write(number: int = 1, **fields: Any) -> list[int]:
    """Write so many entries. Their ids."""
    events = [
        create_audit_event(
            "model.delete",
            DATA | {"model_id": n},
            **{"user_id": "7", "metadata": {"ip_address": "203.0.113.9", "user_agent": "Probe/1"}} | fields,
        )
        for n in range(number)
    ]
    recorder.write(events)
    ids = [event.id for event in events]
    return list(AuditEntry.objects.filter(event_id__in=ids).order_by("id").values_list("id", flat=True))


def write_old(moment: datetime, number: int = 1, **fields: Any) -> list[int]:
    """As `write`, as if they had been written at the moment."""
    return write(number, timestamp=moment, **fields)


def seal() -> int:
    """Seal what is settled. How many seals were made."""
    sealer = Sealer()
    made = list(sealer.seal())
    sealer.release()
    return len(made)


def verify(anchors: dict[int, str] | None = None) -> Verifier:
    """Verify the log with the keys of the settings."""
    return log.verify(seal_keys(), anchors)


def found(anchors: dict[int, str] | None = None) -> list[tuple[str, int, int]]:
    """What verification finds: the kind, and the rows."""
    return [(finding.kind, finding.first_id, finding.last_id) for finding in verify(anchors).findings]


def execute(sql: str, *parameters: Any) -> int:
    """Run a statement. How many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.rowcount


def tamper(sql: str, *parameters: Any) -> None:
    """Run a statement as who may drop triggers does, and puts them back."""
    with unprotected():
        assert execute(sql, *parameters)
