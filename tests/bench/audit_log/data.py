"""A year of audit entries, the same each time: many of some kinds, few of others, and a few things that have very many."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.db import connection

from audit.models import AuditEntry, new_salt
from audit.tracking.ids import id_at
from events.ids import new_id

BATCH = 5_000
ACTIONS = {
    "change": ["updated"] * 7 + ["created"] * 2 + ["deleted"],
    "audit": ["export", "share", "login", "download", "permission_change", "bulk_delete"],
    "security": ["login_success"] * 8 + ["login_failure", "logout"],
}
MODELS = [f"shop.{name}" for name in ("order", "invoice", "product", "customer", "address", "payment", "refund", "review")]
COLUMNS = [str(field.column) for field in AuditEntry._meta.concrete_fields if not field.primary_key]
# Things with very many entries: an object, an actor, a correlation, an address.
HOT = 0.05


def fill(rows: int) -> None:
    """Fill the empty log with so many entries. The indexes are made afterwards, which takes a third of the time."""
    indexes = AuditEntry._meta.indexes
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.remove_index(AuditEntry, index)
    write = _copy if connection.vendor == "postgresql" else _insert
    for start in range(0, rows, BATCH):
        write([_values(number, rows) for number in range(start, min(start + BATCH, rows))])
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.add_index(AuditEntry, index)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE audit_log" if connection.vendor == "postgresql" else "ANALYZE")


def _insert(batch: list[list[Any]]) -> None:
    marks = ",".join(["%s"] * len(COLUMNS))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO audit_log ({','.join(COLUMNS)}) VALUES ({marks})", batch)


def _copy(batch: list[list[Any]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY audit_log ({','.join(COLUMNS)}) FROM STDIN") as copy:
        for row in batch:
            copy.write_row(row)


END = datetime.now(UTC)


def _values(number: int, rows: int) -> list[Any]:
    """The columns of one entry. The last one happened now, the first one a year ago."""
    chance = random.Random(number)
    moment = END - timedelta(days=365) * ((rows - number) / rows)
    category = chance.choices(("change", "audit", "security"), (60, 32, 8))[0]
    action = chance.choice(ACTIONS[category])
    user = "1" if chance.random() < HOT else str(int(chance.paretovariate(0.5)) % 5_000)
    model = chance.choice(MODELS)
    key = "1" if chance.random() < HOT else str(chance.randrange(50_000))
    values: dict[str, Any] = {
        "event_id": id_at(moment) if category == "change" else new_id(),
        "event_type": {"change": f"{model}.{action}", "audit": f"document.{action}", "security": f"auth.{action}"}[category],
        "source_category": category,
        "action": action,
        "outcome": chance.choices(("success", "unknown", "failure", "denied"), (90, 7, 2, 1))[0],
        "priority": chance.choices(("normal", "low", "high", "critical"), (88, 8, 3.999, 0.001))[0],
        "timestamp": connection.ops.adapt_datetimefield_value(moment),
        "user_id": user,
        "actor_type": "user",
        "actor_id": user,
        "actor_label": f"user{user}",
        "impersonator": "",
        "resource_type": "" if category == "security" else model,
        "resource_id": "" if category == "security" else key,
        "resource_label": "" if category == "security" else f"No. {key}",
        "ip_address": "203.0.113.1" if chance.random() < HOT else f"10.{user[:1]}.{chance.randrange(256)}.{chance.randrange(64)}",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "session_id": f"s{chance.randrange(10**9)}",
        "correlation_id": "hot" if chance.random() < HOT else f"c-{number // 8}",
        "changes": _json({"status": ["open", "paid"], "total": [number, number + 1]}) if category == "change" else None,
        "data": _json({"action": action, "resource_type": model, "resource_id": key, "note": "x" * 80}),
        "metadata": _json({"actor": {"type": "user", "id": user, "label": f"user{user}"}, "outcome": "success"}),
        "personal_salt": new_salt(),
    }
    return [values[column] for column in COLUMNS]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
