"""The audit log as it is stored, read past Django's fields: what was tampered with may be nothing that a field can read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.db import connections, models

from audit.canonical import CURRENT_FORMAT, FORMATS, Malformed, Row, loads
from audit.models import AuditEntry
from events.conf import settings

PAGE: Final = 1_000
COLUMNS: Final = FORMATS[CURRENT_FORMAT].columns
KINDS: Final = {name: type(AuditEntry._meta.get_field(name)) for name in COLUMNS}


def read(first_id: int, last_id: int | None = None, limit: int | None = None) -> Iterator[Row]:
    """The rows from one id to another, in order, at most `limit`, as their canonical form has them. Reads them page by page."""
    left = limit
    while left is None or left > 0:
        page = _page(first_id, last_id, PAGE if left is None else min(PAGE, left))
        yield from page
        if len(page) < PAGE:
            return
        first_id = page[-1]["id"] + 1
        left = None if left is None else left - len(page)


def _page(first_id: int, last_id: int | None, limit: int) -> list[Row]:
    alias = settings().DATABASE
    postgresql = connections[alias].vendor == "postgresql"
    columns = ", ".join(_expression(name, postgresql) for name in COLUMNS)
    upto = "" if last_id is None else f' AND "id" <= {int(last_id)}'
    with connections[alias].cursor() as cursor:
        cursor.execute(f'SELECT {columns} FROM "audit_log" WHERE "id" >= %s{upto} ORDER BY "id" LIMIT %s', [first_id, limit])
        return [{name: _value(name, value) for name, value in zip(COLUMNS, values, strict=True)} for values in cursor.fetchall()]


def _expression(name: str, postgresql: bool) -> str:
    kind = KINDS[name]
    if postgresql and issubclass(kind, models.JSONField):
        return f'"{name}"::text'
    if postgresql and issubclass(kind, models.GenericIPAddressField):
        return f'abbrev("{name}")'
    if postgresql and issubclass(kind, models.DateTimeField):
        return f"""to_char("{name}" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    # SQLite's driver converts by a column's declared type; an expression has none.
    return f'"{name}"' if postgresql or name == "id" else f'+"{name}"'


def _value(name: str, value: Any) -> Any:
    kind = KINDS[name]
    if value is None or issubclass(kind, models.BigAutoField):
        return value
    if not isinstance(value, str):
        return Malformed(repr(value))
    if issubclass(kind, models.JSONField):
        try:
            return loads(value)
        except ValueError:
            return Malformed(value)
    if issubclass(kind, models.DateTimeField) and not value.endswith("Z"):
        return _moment_of_sqlite(value)
    return value


def _moment_of_sqlite(text: str) -> str:
    """`2026-01-31 12:00:00.5`, which Django writes in UTC, as `2026-01-31T12:00:00.500000Z`."""
    day, _, time = text.partition(" ")
    second, _, fraction = time.partition(".")
    return f"{day}T{second}.{fraction.ljust(6, '0')}Z"
