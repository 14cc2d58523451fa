"""What runs in a process of one contestant when tracking is measured: `python -m tests.bench.tracked_saves '{…}'` prints JSON.

It uses nothing of the project but the models, so that it runs in the peers' environment too.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from typing import Any

import django
from django.apps import apps
from django.conf import settings

APPS = {
    "ours": ["events", "audit"],
    "django-auditlog": ["auditlog"],
    "django-easy-audit": ["easyaudit"],
    "django-simple-history": ["simple_history"],
}


# Where they write: the app and the model.
LOGS = {
    "ours": ("audit", "AuditEntry"),
    "django-auditlog": ("auditlog", "LogEntry"),
    "django-easy-audit": ("easyaudit", "CRUDEvent"),
    "django-simple-history": ("tracked_app", "HistoricalTracked"),
}


def main() -> None:
    """Set Django up for one contestant, make the tables, measure."""
    order = json.loads(sys.argv[1])
    settings.configure(
        SECRET_KEY="bench",
        DATABASES={"default": order["database"]},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            *APPS[order["by"]],
            "tests.bench.tracked_app",
        ],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DJANGO_EASY_AUDIT_REGISTERED_CLASSES=["tracked_app.Tracked"],  # it follows all models unless told
        MIDDLEWARE=["events.context.EventContextMiddleware"] if order["by"] == "ours" else [],
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)  # what has no migrations refers to what has
    log = apps.get_model(*LOGS[order["by"]])._default_manager
    before = log.count()
    took = measure(order["rounds"], order["saves"])
    written, expected = log.count() - before, (order["rounds"] + 1) * (1 + 2 * order["saves"])
    if written != expected:
        sys.exit(f"{order['by']} wrote {written} entries of {expected} changes: what was measured is not what it claims to be")
    print(json.dumps(took))


def measure(rounds: int, saves: int) -> dict[str, float]:
    """Microseconds a save, bare and tracked, in a transaction and in autocommit. They take turns; the medians."""
    from django.db import transaction

    from tests.bench.tracked_app.models import Bare, Tracked

    took: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, model in (("bare", Bare), ("tracked", Tracked)):
            row: Any = model._default_manager.create(name="a")
            row = model._default_manager.get(pk=row.pk)
            inside = timed(row, saves, transaction.atomic())  # with its commit: some write only then
            outside = timed(row, saves, nullcontext())
            if number:  # the first round warms up
                took.setdefault(f"{name}, transaction", []).append(inside)
                took.setdefault(f"{name}, autocommit", []).append(outside)
    return {name: median(values) for name, values in took.items()}


def timed(row: Any, saves: int, block: AbstractContextManager[Any]) -> float:
    """Microseconds a save that changes two fields, in the block."""
    started = time.perf_counter()
    with block:
        for number in range(saves):
            row.name, row.progress = f"document {number}", number % 100
            row.save()
    return (time.perf_counter() - started) / saves * 1e6


if __name__ == "__main__":
    main()
