"""Health: is the process alive (`/healthz`), can it do its work (`/readyz`)?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from django.db import DatabaseError, InterfaceError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from events.conf import settings
from events.journal import read_head
from events.models import JournalEntry
from events.types import utcnow

# An event gets its position within POLL_INTERVAL of its commit. What is this old was most likely committed long ago.
STUCK_AFTER: Final = timedelta(seconds=60)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers. Asks nobody else: restarting this process would not mend a database."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 if the database answers, its migrations are applied, and the journal can be read and is being published.

    Else 503, with `failed`: what is wrong, by the name of the check. The checks after a failed one are not made.
    """
    for name, check in CHECKS.items():
        try:
            trouble = check()
        except (DatabaseError, InterfaceError) as error:
            trouble = type(error).__name__
        if trouble:
            return JsonResponse({"status": "unavailable", "failed": {name: trouble}}, status=503)
    return JsonResponse({"status": "ok", "checks": list(CHECKS)})


def _database() -> str:
    with connections[settings().DATABASE].cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _migrations() -> str:
    executor = MigrationExecutor(connections[settings().DATABASE])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(plan)} not applied" if plan else ""


def _journal() -> str:
    read_head()
    return ""


def _outbox() -> str:
    waiting = JournalEntry.objects.using(settings().DATABASE).filter(position=None).order_by("id")
    oldest = waiting.values_list("timestamp", flat=True).first()
    return f"not published since {oldest.isoformat()}" if oldest and utcnow() - oldest > STUCK_AFTER else ""


CHECKS: Final[dict[str, Callable[[], str]]] = {
    "database": _database,
    "migrations": _migrations,
    "journal": _journal,
    "outbox": _outbox,
}
