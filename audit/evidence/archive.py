"""An export as a file: written with its digest; in JSON Lines (docs/audit-format.md) also read. Needs neither Django nor a database."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Self, TypeVar

from audit.evidence.anchors import Anchor
from audit.evidence.canonical import Row, loads
from audit.evidence.seals import Erasure, Removal, Seal, Signed, is_moment

EXPORT_FORMAT: Final = 1

AnySigned = TypeVar("AnySigned", bound=Signed)


class BadExport(ValueError):
    """A file that is no export of the audit log, or not a whole one."""


class Header(NamedTuple):
    """What an export says of itself: whether no row is left out (`complete`) of the seals `from_seal` to `to_seal`, which is one less
    where there are none; when it was made, and the newest seal that the log had then."""

    complete: bool
    from_seal: int
    to_seal: int
    exported_at: str
    newest: Anchor | None

    def values(self) -> dict[str, Any]:
        """For the first line."""
        return {"format": EXPORT_FORMAT, **self._asdict(), "newest": self.newest._asdict() if self.newest else None}

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Self:
        """What `values` gave. Raises ValueError."""
        if values.get("format") != EXPORT_FORMAT or values.keys() != {"format", *cls._fields}:
            raise ValueError(f"is no header of the export format {EXPORT_FORMAT}")
        newest = values["newest"]
        header = cls(**{name: values[name] for name in cls._fields} | {"newest": newest and Anchor.from_values(newest)})
        if type(header.complete) is not bool or not type(header.from_seal) is type(header.to_seal) is int:
            raise ValueError("says of itself what is of another kind")
        if (
            not 0 < header.from_seal <= header.to_seal + 1
            or not isinstance(header.exported_at, str)
            or not is_moment(header.exported_at)
        ):
            raise ValueError("says of itself what can't be")
        return header


class Part(NamedTuple):
    """A seal with what belongs to it: the rows of its range, and those of no seal's range since the seal before it."""

    seal: Seal
    rows: list[Row]
    removals: list[Removal]
    erasures: list[Erasure]


class Archive:
    """Reads an export, one seal after the other. Raises BadExport, naming the line. `header` is what it says of itself."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = enumerate(lines, 1)
        _, values = self._next("audit_export")
        try:
            self.header = Header.from_values(values)
        except ValueError as error:
            raise BadExport(f"line 1: {error}") from None
        self.unsealed: list[Row] = []

    def parts(self) -> Iterator[Part]:
        """The seals. When all were taken, `unsealed` holds the rows after the last."""
        rows: list[Row] = []
        signed: dict[str, list[Any]] = {Removal.KIND: [], Erasure.KIND: []}
        seen = {"seals": 0, "rows": 0}
        while True:
            kind, values = self._next("row", *signed, Seal.KIND, "end")
            if kind == "row":
                rows.append(values)
                seen["rows"] += 1
            elif kind == Seal.KIND:
                seen["seals"] += 1
                yield Part(_signed(Seal, values), rows, signed[Removal.KIND], signed[Erasure.KIND])
                rows, signed = [], {Removal.KIND: [], Erasure.KIND: []}
            elif kind == "end":
                self.unsealed = rows
                return self._finish(values, seen)
            else:
                signed[kind].append(_signed(Removal if kind == Removal.KIND else Erasure, values))

    def _finish(self, end: dict[str, Any], seen: dict[str, int]) -> None:
        if end != seen:
            raise BadExport(f"the end tells of {end}, there are {seen}")
        number, _ = next(self._lines, (0, ""))
        if number:
            raise BadExport(f"line {number}: is after the end")

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


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which is on the disk afterwards. Raises OSError, FileExistsError too."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write(file: BinaryIO, chunks: Iterable[bytes]) -> str:
    """Write an export. Its SHA-256, in hexadecimal."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    return digest.hexdigest()
