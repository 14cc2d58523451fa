"""Entries as JSON Lines, CSV and OCSF. One row after the other: an export of any length takes the same memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import orjson
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from audit.models import AuditEntry
from audit.ocsf import as_ocsf

FIELDS = tuple(field.name for field in AuditEntry._meta.concrete_fields)
# Read as the text that the database has, and written as such: parsing it would take most of the time.
JSON_FIELDS = frozenset({"changes", "data", "metadata"})
CHUNK = 500
# A cell that begins so is a formula to a spreadsheet: https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

Row = dict[str, Any]


def rows(queryset: QuerySet[AuditEntry]) -> Iterator[Row]:
    """The entries, oldest first, each a dictionary of its columns (`FIELDS`); those of `JSON_FIELDS` as JSON text or None."""
    texts = {f"{name}_text": Cast(name, TextField()) for name in JSON_FIELDS}
    columns = [f"{name}_text" if name in JSON_FIELDS else name for name in FIELDS]
    for values in queryset.annotate(**texts).order_by("timestamp", "id").values_list(*columns).iterator(CHUNK):
        yield dict(zip(FIELDS, values, strict=True))


class Format(NamedTuple):
    """How an export is written: the name by which it is asked for, its media type, what ends a file's name, what comes first, and
    one row as bytes with the end of its line."""

    name: str
    title: str
    media_type: str
    suffix: str
    header: bytes
    line: Callable[[Row], bytes]


def encoded(form: Format, found: Iterable[Row]) -> Iterator[list[bytes]]:
    """The export's lines in lists of up to `CHUNK`; the first begins with the header."""
    lines = map(form.line, found)
    if form.header:
        yield [form.header]
    while chunk := list(islice(lines, CHUNK)):
        yield chunk


def as_json_line(row: Row) -> bytes:
    """The row as a JSON object."""
    return orjson.dumps(with_fragments(row), option=orjson.OPT_APPEND_NEWLINE)


def with_fragments(row: Row) -> Row:
    """The row for orjson, its JSON columns as they are."""
    return row | {name: orjson.Fragment(row[name]) for name in JSON_FIELDS if row[name] is not None}


def as_csv_line(row: Row) -> bytes:
    """The row as a line of RFC 4180, in the order of `FIELDS`. What a spreadsheet would take for a formula begins with an apostrophe."""
    return _csv_line([defused(value) for value in row.values()])


def defused(value: Any) -> str:
    """A value as a cell that no spreadsheet computes."""
    text = "" if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _csv_line(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()


def as_ocsf_line(row: Row) -> bytes:
    """The row as an event of the Open Cybersecurity Schema Framework, as a JSON object."""
    return orjson.dumps(as_ocsf(with_fragments(row)), option=orjson.OPT_APPEND_NEWLINE)


FORMATS = {
    form.name: form
    for form in (
        Format("jsonl", "JSON Lines", "application/x-ndjson", "jsonl", b"", as_json_line),
        Format("csv", "CSV", "text/csv; charset=utf-8", "csv", _csv_line(FIELDS), as_csv_line),
        Format("ocsf", "OCSF", "application/x-ndjson", "ocsf.jsonl", b"", as_ocsf_line),
    )
}
