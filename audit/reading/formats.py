"""An export as JSON Lines, CSV and OCSF: how each piece of it is written. What it holds: `audit.reading.export`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from operator import itemgetter
from typing import Any, Final, NamedTuple

import orjson

from audit.evidence.archive import Header
from audit.evidence.canonical import Row
from audit.evidence.rows import JSON_COLUMNS
from audit.evidence.seals import unpack
from audit.models import AuditEntry
from audit.reading.export import Export, Piece
from audit.reading.ocsf import as_ocsf

# What is told of an entry. The salt is for those who verify: JSON Lines have it.
FIELDS: Final = tuple(field.name for field in AuditEntry._meta.concrete_fields if field.name != "personal_salt")
COLUMNS_OF: Final = itemgetter(*FIELDS)
# A cell that begins so, or after white space, is a formula to a spreadsheet: https://owasp.org/www-community/attacks/CSV_Injection
FORMULA: Final = frozenset("=+-@\t\r\n＝＋－＠")
CHUNK: Final = 64 * 1024


class Format(NamedTuple):
    """How an export is written: the name by which it is asked for, its media type, what ends a file's name; what comes first in an
    export with this header, a piece of it, and what ends one of so many seals and rows."""

    name: str
    title: str
    media_type: str
    suffix: str
    begin: Callable[[Header], bytes]
    lines: Callable[[Piece, bool], Iterable[bytes]]
    end: Callable[[int, int], bytes]


def encoded(form: Format, export: Export, progress: Callable[[int], object] = lambda rows: None) -> Generator[bytes]:
    """The export in chunks of some 64 KB. `progress` is told how many rows were written so far."""
    header = export.header()
    chunk = bytearray(form.begin(header))
    seals = rows = 0
    for piece in export.pieces(header):
        seals += piece.seal is not None
        rows += len(piece.rows)
        for line in form.lines(piece, header.complete):
            chunk += line
            if len(chunk) >= CHUNK:
                yield bytes(chunk)
                chunk.clear()
        progress(rows)
    yield bytes(chunk + form.end(seals, rows))


def _json_line(value: Any) -> bytes:
    # What somebody put into a seal in place of a text or a number is told as well as it can be: its signature is wrong anyway.
    return orjson.dumps(value, default=repr, option=orjson.OPT_APPEND_NEWLINE)


def _begin_json(header: Header) -> bytes:
    return _json_line({"audit_export": header.values()})


def _json_lines(piece: Piece, is_complete: bool) -> Iterator[bytes]:
    """The lines of docs/audit-format.md. A selection leaves out what a seal says of its rows where none of them is selected."""
    for signed in (*piece.removals, *piece.erasures):
        yield _json_line({signed.KIND: signed})
    for row in piece.rows:
        yield _json_line({"row": with_fragments(row)})
    if (seal := piece.seal) is not None:
        yield _json_line({seal.KIND: seal if piece.rows or is_complete else replace(seal, rows="")})


def _end_json(seals: int, rows: int) -> bytes:
    return _json_line({"end": {"seals": seals, "rows": rows}})


def with_fragments(row: Row) -> Row:
    """The row for orjson, its JSON texts as they are: parsing them would take most of the time."""
    return row | {name: orjson.Fragment(text) for name in JSON_COLUMNS if type(text := row[name]) is str}


def _csv_lines(piece: Piece, is_complete: bool) -> Iterator[bytes]:
    """Lines of RFC 4180: the columns in the order of `FIELDS`, seal and digest."""
    return csv_lines([*map(defused, COLUMNS_OF(row)), number, digest] for row, number, digest in sealed(piece))


def csv_lines(lines: Iterable[Iterable[Any]]) -> Iterator[bytes]:
    """The lines, encoded together."""
    text = io.StringIO()
    # All quoted: a spreadsheet may take another character than the comma for what separates cells, and it may stand within one.
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(lines)
    yield text.getvalue().encode()


def defused(value: Any) -> Any:
    """A value as a cell that no spreadsheet computes: a text that would be a formula begins with an apostrophe."""
    if isinstance(value, str) and value and (value[0] in FORMULA or (value[0].isspace() and value.lstrip()[:1] in FORMULA)):
        return f"'{value}"
    return value


def _ocsf_lines(piece: Piece, is_complete: bool) -> Iterator[bytes]:
    """Events of the Open Cybersecurity Schema Framework, each a JSON object."""
    return (_json_line(as_ocsf(with_fragments(row), number, digest)) for row, number, digest in sealed(piece))


def sealed(piece: Piece) -> Iterator[tuple[Row, int | None, str]]:
    """The rows, each with the number of its seal and the digest that this holds of it; None and "" where no seal does."""
    number, known = None, {}
    if piece.seal is not None and piece.rows:
        number = piece.seal.number
        with suppress(ValueError):  # somebody changed the seal
            known = {row.id: row.digest for row in unpack(piece.seal.rows)}
    for row in piece.rows:
        digest = known.get(row["id"], "")
        yield row, number if digest else None, digest


FORMATS: Final = {
    form.name: form
    for form in (
        Format("jsonl", "JSON Lines", "application/x-ndjson", "jsonl", _begin_json, _json_lines, _end_json),
        Format(
            "csv", "CSV", "text/csv; charset=utf-8", "csv",
            lambda header: b"".join(csv_lines([[*FIELDS, "seal", "digest"]])), _csv_lines, lambda seals, rows: b"",
        ),
        Format("ocsf", "OCSF", "application/x-ndjson", "ocsf.jsonl", lambda header: b"", _ocsf_lines, lambda seals, rows: b""),
    )
}  # fmt: skip
