"""The export of the audit log as JSON Lines, written and read: docs/audit-format.md. Needs neither Django nor a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Final, NamedTuple, TypeVar

from audit.canonical import Row, dumps, loads
from audit.seals import Erasure, Removal, Seal, Signed

EXPORT_FORMAT: Final = 1

AnySigned = TypeVar("AnySigned", bound=Signed)


class BadExport(ValueError):
    """A file that is no export of the audit log, or not a whole one."""


class Part(NamedTuple):
    """A seal of an export, with what belongs to it."""

    seal: Seal
    rows: list[Row]
    removals: list[Removal]
    erasures: list[Erasure]


class Export:
    """Reads an export (docs/audit-format.md), one seal after the other. Raises BadExport, naming the line."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = enumerate(lines, 1)
        header = self._next("audit_export")[1]
        if header.get("format") != EXPORT_FORMAT or not isinstance(header.get("complete"), bool):
            raise BadExport(f"line 1: is no header of the export format {EXPORT_FORMAT}")
        self.is_complete: bool = header["complete"]
        self.unsealed: list[Row] = []

    def parts(self) -> Iterator[Part]:
        """The seals. When all were taken, `unsealed` holds the rows after the last."""
        rows: list[Row] = []
        removals: list[Removal] = []
        erasures: list[Erasure] = []
        seals = 0
        while True:
            kind, values = self._next("row", "removal", "erasure", "seal", "end")
            if kind == "row":
                rows.append(values)
            elif kind == "removal":
                removals.append(_signed(Removal, values))
            elif kind == "erasure":
                erasures.append(_signed(Erasure, values))
            elif kind == "seal":
                seals += 1
                yield Part(_signed(Seal, values), rows, removals, erasures)
                rows, removals, erasures = [], [], []
            elif values.get("seals") != seals:
                raise BadExport(f"the end tells of {values.get('seals')} seals, there are {seals}")
            else:
                self.unsealed = rows
                return

    def _next(self, *kinds: str) -> tuple[str, dict[str, Any]]:
        number, line = next(self._lines, (0, ""))
        if not number:
            raise BadExport("is cut off: its last line is missing")
        try:
            record = loads(line)
        except ValueError as error:
            raise BadExport(f"line {number}: is no JSON: {error}") from None
        if isinstance(record, dict) and len(record) == 1:
            ((kind, values),) = record.items()
            if kind in kinds and isinstance(values, dict) and (kind != "row" or isinstance(values.get("id"), int)):
                return kind, values
        raise BadExport(f"line {number}: is none of {', '.join(kinds)}")


def _signed(cls: type[AnySigned], values: dict[str, Any]) -> AnySigned:
    try:
        return cls.from_values(values)
    except ValueError as error:
        raise BadExport(str(error)) from None


def write_lines(parts: Iterable[Part], is_complete: bool = True, unsealed: Iterable[Row] = ()) -> Iterator[str]:
    """The lines of an export, as `Export` reads them. `is_complete` is False where the rows are a selection."""
    yield _line("audit_export", {"format": EXPORT_FORMAT, "complete": is_complete})
    seals = 0
    for part in parts:
        seals += 1
        for signed in (*part.removals, *part.erasures):
            yield _line(signed.KIND, asdict(signed))
        for row in part.rows:
            yield _line("row", row)
        yield _line(part.seal.KIND, asdict(part.seal))
    for row in unsealed:
        yield _line("row", row)
    yield _line("end", {"seals": seals})


def _line(kind: str, values: dict[str, Any]) -> str:
    return dumps({kind: values}) + "\n"
