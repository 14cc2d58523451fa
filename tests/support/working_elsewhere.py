"""Works on incidents, cool-offs and the audit log where these are in another database than the accounts. Called in another process."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.db.backends.signals import connection_created
from django.test import Client

from audit.models import AuditEntry
from events import unified_event_manager
from events.models import JournalEntry
from events.types import utcnow
from security.memory import Kind, memory, seen_proxies
from security.models import CoolOff, Delivery, Evidence, Incident, Remark

TABLES = [model._meta.db_table for name in ("events", "audit", "security") for model in apps.get_app_config(name).get_models()]
ADMIN, API = "/admin/", "/api/audit/"
INCIDENTS, ENTRIES = f"{ADMIN}security/incident/", f"{ADMIN}audit/auditentry/"
# Not `compare_audit`: what is tracked must be in the same database as the log.
COMMANDS: list[tuple[Any, ...]] = [
    ("release_cool_off",), ("tend_incidents",), ("deliver_alerts",), ("seal_audit",), ("verify_audit",), ("audit_keys",),
    ("hold_audit",), ("prune_audit", "--older-than", "30", "--dry-run"), ("prune_events", "--older-than", "30"),
    ("check", "--database", "log"),
]  # fmt: skip

# What was asked of the database that has no events.
strayed: list[str] = []


def _watch(connection: Any, **kwargs: Any) -> None:
    if connection.alias == "default":
        connection.execute_wrappers.append(_note)


def _note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    if re.search(rf"\b({'|'.join(TABLES)})\b", sql):
        strayed.append(sql)
    return execute(sql, params, many, context)


def work() -> dict[str, Any]:
    """Open each page and do each act as an administrator. What came of it."""
    connection_created.connect(_watch)
    connections.close_all()
    incident, cool_off = _made()
    client = Client()
    client.force_login(User.objects.get(username="admin"))
    pages = {page: client.get(page).status_code for page in _pages(incident, cool_off)}
    _act(client, incident, cool_off)
    wrong = {page: status for page, status in pages.items() if status != 200}
    for command in COMMANDS:
        call_command(*command, stdout=StringIO(), stderr=StringIO())
    unified_event_manager.shutdown()
    done = Incident.objects.using("log").get(pk=incident.pk)
    return {
        "wrong": wrong,
        "strayed": strayed,
        "state": done.state,
        "remarks": list(Remark.objects.using("log").filter(incident=incident).order_by("id").values_list("act", flat=True)),
        "audited": sorted(
            AuditEntry.objects.using("log")
            .filter(event_type__regex="^(incident|proxy|auth.cool_off)")
            .values_list("event_type", flat=True)
        ),
        "cool_offs": CoolOff.objects.using("log").count(),
        "proxies": seen_proxies(),
        "delivered": list(Delivery.objects.using("log").values_list("state", flat=True)),
    }


def _made() -> tuple[Incident, CoolOff]:
    """What there is to work on, by the ways that it comes about."""
    from security.alerts.raising import alert

    now = utcnow()
    incident = Incident.objects.using("log").create(
        kind="brute_force", severity="high", subject="address 203.0.113.9", summary="x", address="203.0.113.9", account="1",
        correlation_id="c-1", opened_at=now, last_event_at=now,
    )  # fmt: skip
    assert alert(incident)
    Evidence.objects.using("log").create(incident=incident, event_id="e", event_type="auth.login_failure", at=now)
    memory.add(Kind.PROXY, "outside", "8.8.8.8")
    cool_off = CoolOff.objects.using("log").create(
        subject="address 203.0.113.9", address="203.0.113.9", since=now, until=now + timedelta(hours=1)
    )
    return incident, cool_off


def _pages(incident: Incident, cool_off: CoolOff) -> list[str]:
    entry, event = AuditEntry.objects.using("log").latest("id"), JournalEntry.objects.using("log").latest("id")
    return [
        INCIDENTS, f"{INCIDENTS}?state__exact=open&kind=brute_force&q=203.0.113.9", f"{INCIDENTS}dashboard/",
        f"{INCIDENTS}{incident.pk}/change/", f"{ADMIN}security/cooloff/", f"{ADMIN}security/cooloff/{cool_off.pk}/change/",
        ENTRIES, f"{ENTRIES}?q=c-1&category=security&period=24h", f"{ENTRIES}{entry.pk}/change/",
        f"{ENTRIES}timeline/?correlation=c-1", f"{ENTRIES}chart/", f"{ENTRIES}integrity/", f"{ENTRIES}export/?as=csv",
        API, f"{API}?category=security", f"{API}{entry.pk}/", f"{API}export/?as=jsonl",
        f"{ADMIN}events/journalentry/", f"{ADMIN}events/journalentry/{event.pk}/change/", "/api/events/stats/", "/readyz",
    ]  # fmt: skip


def _act(client: Client, incident: Incident, cool_off: CoolOff) -> None:
    for act in ("acknowledge", "note", "close"):
        assert client.post(f"{INCIDENTS}{incident.pk}/act/{act}/", {"text": "seen"}).status_code == 302
    client.post(f"{INCIDENTS}dashboard/forget-proxy/", {"address": "8.8.8.8"})
    client.post(f"{ADMIN}security/cooloff/", {"action": "release", "_selected_action": [cool_off.pk]})
    assert client.post(f"{ENTRIES}integrity/", {"from": "1"}).status_code == 200
