"""What each page of the log takes, and how fast it is exported. Run in a process of its own for each database."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from itertools import islice
from statistics import median
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.conf import settings
from audit.evidence.sealer import Sealer
from audit.models import AuditEntry, AuditSeal
from audit.reading.export import Export
from audit.reading.formats import FORMATS, encoded
from audit.reading.paging import Key
from tests.bench.audit_log.data import fill

ROUNDS = 5
EXPORTED = 200_000
FILTERS = {
    "category": "category=security",
    "action, common": "action=updated",
    "action, rare": "action=logout",
    "action, unknown": "action=never_heard_of",
    "outcome, rare": "outcome__exact=denied",
    "priority, some 20 of all": "priority__exact=critical",
    "actor": "actor=user17",
    "actor, 5 % of all": "actor=user1",
    "user id": "user=17",
    "resource type": "resource_type=shop.invoice",
    "resource id": "resource_id=4711",
    "resource, 5 % of all": "resource_type=shop.order&resource_id=1",
    "correlation": "correlation=c-4711",
    "correlation, 5 % of all": "correlation=hot",
    "IP address": "address=10.1.7.7",
    "IP address, 5 % of all": "address=203.0.113.1",
    "period, 24 hours": "period=24h",
    "period, 30 days": "period=30d",
    "time range a year ago": "timestamp_to_0={old}",
    "search, found nowhere": "q=never_heard_of",
    "search, the id of a change": "q={change}",
    "search, the id of an event": "q={event}",
    "search, an actor of 5 % of all": "q=user1",
    "search, a resource of 5 % of all": "q=1",
    "category and outcome": "category=security&outcome__exact=denied",
    "actor and outcome": "actor=user1&outcome__exact=failure",
    "period and rare outcome": "period=30d&outcome__exact=denied",
    "period and priority of nearly none": "period=30d&priority__exact=critical",
    "actor and address that never meet": "actor=user17&address=203.0.113.1",
    "two of 5 % and a priority of nearly none": "actor=user1&address=203.0.113.1&priority__exact=critical",
    "category and action that never meet": "category=security&action=updated",
    "year-old range, actor of 5 %": "timestamp_to_0={old}&actor=user1",
}


class Figure(NamedTuple):
    """What one page took: its median and its longest time in milliseconds, and its queries."""

    page: str
    median: float
    longest: float
    queries: int


def measure(count: int) -> dict[str, Any]:
    """The figures of this process's database, filled with so many entries if it has fewer."""
    call_command("migrate", verbosity=0)
    started = time.perf_counter()
    if AuditEntry.objects.count() < count:
        fill(count)
        print(f"filled in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(User.objects.get_or_create(username="auditor", is_staff=True, is_superuser=True)[0])
    last = _seal()
    figures = [_timed(client, page, address) for page, address in _pages().items()]
    exports = {name: _export(name, last) for name in FORMATS}
    return {"vendor": connection.vendor, "rows": count, "pages": figures, "exports": exports}


def main() -> None:
    """Print the figures as JSON. The argument is how many entries there shall be."""
    print(json.dumps(measure(int(sys.argv[1]))))


def _pages() -> dict[str, str]:
    listed = reverse("admin:audit_auditentry_changelist")
    oldest = AuditEntry.objects.order_by("timestamp")[0]
    middle = AuditEntry.objects.get(pk=oldest.pk + AuditEntry.objects.count() // 2)
    change, event = (AuditEntry.objects.filter(source_category=c, pk__gt=middle.pk)[0].event_id for c in ("change", "audit"))
    known = {"old": oldest.timestamp.date().isoformat(), "change": change, "event": event}
    return {
        "list": listed,
        "list, in the middle": f"{listed}?before={Key.of(middle)}",
        **{f"list, {name}": f"{listed}?{query.format(**known)}" for name, query in FILTERS.items()},
        "entry": reverse("admin:audit_auditentry_change", args=[middle.pk]),
        "timeline of a correlation": f"{listed}timeline/?correlation=c-4711",
        "timeline of a correlation, 5 % of all": f"{listed}timeline/?correlation=hot",
        "timeline of an object": f"{listed}timeline/?resource_type=shop.order&resource_id=4711",
        "timeline of an object, much changed": f"{listed}timeline/?resource_type=shop.order&resource_id=1",
        "chart, 24 hours": f"{listed}chart/?period=24h",
        "chart, 7 days": f"{listed}chart/?period=7d",
        "chart, 30 days": f"{listed}chart/?period=30d",
        "integrity": f"{listed}integrity/",
        "API": "/api/audit/",
        "API, outcome": "/api/audit/?outcome=denied&page_size=500",
    }


def _timed(client: Client, page: str, address: str) -> Figure:
    taken = []
    client.get(address)  # what is read once a process
    for _ in range(ROUNDS):
        with CaptureQueriesContext(connection) as captured:
            taken.append(_seconds(lambda: client.get(address)))
    return Figure(page, median(taken) * 1_000, max(taken) * 1_000, len(captured))


def _seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    response = call()
    if response.status_code != 200:
        raise RuntimeError(f"{response.request['PATH_INFO']}: {response.status_code}")
    return time.perf_counter() - started


def _seal() -> int:
    """Seal the first 200,000 entries. The number of the last seal of these."""
    sealed = AuditSeal.objects.count()
    sealer = Sealer()
    for seal in islice(sealer.seal(), max(0, EXPORTED // settings().SEAL_MAX_ROWS - sealed)):
        sealed = seal.number
    sealer.release()
    return sealed


def _export(name: str, last: int) -> float:
    """Rows a second, of those that are sealed by the seals up to this number."""
    started, written = time.perf_counter(), [0]
    for _ in encoded(FORMATS[name], Export(last=last), written.append):
        pass
    return written[-1] / (time.perf_counter() - started)
