"""Exports the audit log as JSON Lines that verify offline (`python -m audit.verify`); the format: docs/audit-format.md."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from audit import log, rows
from audit.archive import Part, write_lines
from audit.canonical import Row


def parts(first: int = 0, last: int | None = None, wanted: Callable[[Row], bool] | None = None) -> Iterator[Part]:
    """The seals from one number to another with their rows: all, or those that are `wanted`. Reads them one seal at a time."""
    for part in log.parts(first, last):
        yield part if wanted is None else part._replace(rows=[row for row in part.rows if wanted(row)])


def lines(first: int = 0, last: int | None = None, wanted: Callable[[Row], bool] | None = None) -> Iterator[str]:
    """The lines of an export of these seals, each with its end. Without `last` also the rows that have no seal yet."""
    unsealed: Iterator[Row] = iter(())
    if last is None:
        newest = log.last_seal()
        last = newest.number if newest else 0
        unsealed = (row for row in rows.read(newest.last_id + 1 if newest else 1) if wanted is None or wanted(row))
    return write_lines(parts(first, last, wanted), is_complete=wanted is None, unsealed=unsealed)


def write(path: Path, export: Iterator[str]) -> str:
    """Write the lines to a new file, to the disk. Their SHA-256, in hexadecimal. Raises OSError, FileExistsError too."""
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for line in export:
            encoded = line.encode("utf-8", "surrogatepass")
            digest.update(encoded)
            file.write(encoded)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
