"""The audit log as it is stored, read past Django's fields: what was tampered with may be nothing that a field can read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import orjson
from django.db import OperationalError, connections, models

from audit.evidence.canonical import CURRENT_FORMAT, FORMATS, MALFORMED, MAX_DIGITS, Malformed, Row, dumps, loads
from audit.models import AuditEntry
from events.conf import settings

PAGE: Final = 1_000
COLUMNS: Final = FORMATS[CURRENT_FORMAT].columns
KINDS: Final = {name: type(AuditEntry._meta.get_field(name)) for name in COLUMNS}
JSON_COLUMNS: Final = tuple(name for name, kind in KINDS.items() if issubclass(kind, models.JSONField))
MOMENTS: Final = tuple(name for name, kind in KINDS.items() if issubclass(kind, models.DateTimeField))
# What a row holds beside its id if nobody tampered with it.
PLAIN: Final = frozenset({str, type(None)})
# Half the digits that `loads` takes, and far fewer levels.
LONG_NUMBER: Final = re.compile(f"[0-9]{{{MAX_DIGITS // 2}}}")
MANY_BRACKETS: Final = 100


def read(first_id: int, last_id: int | None = None, limit: int | None = None) -> Iterator[Row]:
    """The rows from one id to another, in order, at most `limit`, as their canonical form has them. Reads them page by page."""
    for row in _stored(first_id, last_id, limit):
        for name in JSON_COLUMNS:
            row[name] = _parsed(row[name])
        yield row


def texts(first_id: int, last_id: int | None = None) -> Iterator[Row]:
    """As `read`, but with the JSON columns as JSON texts of one line, which `loads` takes for the same values.

    The columns in which something else is found are named under `MALFORMED`.
    """
    return _with_texts(_stored(first_id, last_id))


def texts_of(ids: Sequence[int]) -> Iterator[Row]:
    """As `texts`, the rows of these ids, which are in order."""
    for start in range(0, len(ids), PAGE):
        page = ids[start : start + PAGE]
        yield from _with_texts(_select(f'"id" IN ({",".join(map(str, page))})', PAGE))


def _stored(first_id: int, last_id: int | None = None, limit: int | None = None) -> Iterator[Row]:
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = _select(f'"id" >= {int(first_id)}' + ("" if last_id is None else f' AND "id" <= {int(last_id)}'), size)
        yield from page
        if len(page) < PAGE:
            return
        first_id = page[-1]["id"] + 1
        left = None if left is None else left - len(page)


def _select(condition: str, limit: int) -> list[Row]:
    """The rows, by id. What is of no kind that the column has is `Malformed`; JSON columns are the texts that the database has."""
    alias, postgresql = settings().DATABASE, _is_postgresql()
    columns = ", ".join(_expression(name, postgresql) for name in COLUMNS)
    sql = f'SELECT {columns} FROM "audit_log" WHERE {condition} ORDER BY "id" LIMIT {limit}'
    try:
        found = _fetched(alias, sql)
    except OperationalError:
        if postgresql:
            raise
        with _undecoded(alias):
            found = _fetched(alias, sql)
    return [_row(values, postgresql) for values in found]


def _fetched(alias: str, sql: str) -> list[tuple[Any, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


@contextmanager
def _undecoded(alias: str) -> Iterator[None]:
    """Within the block SQLite gives bytes where a text is no UTF-8, and does not fail."""

    def decoded(text: bytes) -> str | bytes:
        try:
            return text.decode()
        except UnicodeDecodeError:
            return text

    connection = connections[alias].connection
    connection.text_factory = decoded
    try:
        yield
    finally:
        connection.text_factory = str


def _is_postgresql() -> bool:
    return connections[settings().DATABASE].vendor == "postgresql"


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


def _row(values: Sequence[Any], postgresql: bool) -> Row:
    row = dict(zip(COLUMNS, values, strict=True))
    if not PLAIN.issuperset(map(type, values[1:])):
        row |= {name: Malformed(repr(value)) for name, value in row.items() if name != "id" and type(value) not in PLAIN}
    if not postgresql:
        for name in MOMENTS:
            row[name] = _moment_of_sqlite(row[name])
    return row


def _moment_of_sqlite(text: Any) -> Any:
    """`2026-01-31 12:00:00.5`, which Django writes in UTC, as `2026-01-31T12:00:00.500000Z`."""
    if type(text) is not str or text.endswith("Z"):
        return text
    day, _, time = text.partition(" ")
    second, _, fraction = time.partition(".")
    return f"{day}T{second}.{fraction.ljust(6, '0')}Z"


def _parsed(text: Any) -> Any:
    if type(text) is not str:
        return text
    try:
        return loads(text)
    except ValueError:
        return Malformed(text)


def _with_texts(rows: Iterable[Row]) -> Iterator[Row]:
    is_plain: Callable[[str], bool] = _is_plain_jsonb if _is_postgresql() else _is_plain
    for row in rows:
        for name in JSON_COLUMNS:
            text = row[name]
            if type(text) is str and not is_plain(text):
                row[name] = _line_of(text)
        if Malformed in map(type, row.values()):
            row[MALFORMED] = [name for name, value in row.items() if type(value) is Malformed]
        yield row


def _is_plain(text: str) -> bool:
    """Whether `loads` surely takes the text, and it is one line: told at a fraction of what `loads` costs.

    So is all that was written with orjson. What has a key twice, or a number that is no double, does not come back the same.
    """
    try:
        return orjson.dumps(orjson.loads(text)) == text.encode()
    except (ValueError, TypeError):
        return False


def _is_plain_jsonb(text: str) -> bool:
    """As `_is_plain`, of the text of a `jsonb`, which is JSON of one line, without a key twice and without exponents."""
    return text.count("{") + text.count("[") < MANY_BRACKETS and not LONG_NUMBER.search(text)


def _line_of(text: str) -> str:
    """The JSON text as one line; a `Malformed` where it has no canonical form."""
    try:
        dumps(loads(text))
    except (ValueError, RecursionError):
        return Malformed(text)
    # A line break in JSON is white space: in a string it is written with a backslash.
    return text.replace("\n", " ").replace("\r", " ")
