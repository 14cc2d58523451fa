"""Verification of the audit log: of a database (`verify_audit`), or of an export, offline and with nothing but this package:

    python -m audit.evidence.verify export.jsonl --key 2026:ed25519-public:…

The exit status is 0 if everything is as it was sealed, 1 if something is not, 2 if the file or a key can't be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from audit.evidence.archive import Archive, BadExport
from audit.evidence.canonical import CURRENT_FORMAT, FORMATS, Row, loads, row_digest
from audit.evidence.keys import BadKey, Key, by_id, parse_keys
from audit.evidence.seals import Erasure, Removal, Seal, SealedRow, Signed, spans

# What a row may hold: the columns of any format.
COLUMNS: Final = frozenset(name for form in FORMATS.values() for name in form.columns)
# Rows of a seal that differ are compared with each other to see whether they changed places; more than these are not.
MAX_COMPARED: Final = 200


class Finding(NamedTuple):
    """Something that is not as it was sealed: what kind, in which rows (0 where it is about no row), and in words."""

    kind: str
    first_id: int
    last_id: int
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class Verifier:
    """Compares rows with their seals, seal by seal in order. `findings` is what it found; `rows`, `seals`, `removed`, `erased` and `unsealed`
    are how many it saw.

    `anchors` are the digests of seals that were noted outside of the database, by number. The first seal must be number 1 unless
    `begins_anywhere`. Where the rows are a selection (`is_complete` is False), rows that are not there mean nothing, and a seal of which
    there is none need not say what it sealed.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        anchors: Mapping[int, str] | None = None,
        is_complete: bool = True,
        begins_anywhere: bool = False,
    ) -> None:
        self.findings: list[Finding] = []
        self.rows = self.seals = self.removed = self.erased = self.unsealed = 0
        self.last: Seal | None = None
        self.is_complete = is_complete
        self._begins_anywhere = begins_anywhere
        self._keys = by_id(keys)
        self._anchors = dict(anchors or {})

    def seal(self, seal: Seal, rows: Iterable[Row], removals: Iterable[Removal], erasures: Iterable[Erasure]) -> None:
        """Verify the next seal, and the rows that the log holds in its range and before it, in the order of their ids."""
        self.seals += 1
        dropped = self._verify_chain(seal)
        self._verify_signature(seal, seal.number, seal.first_id, seal.last_id, f"seal {seal.number}")
        removed = self._removed(seal, removals)
        erased = {erasure.row_id: erasure for erasure in erasures if self._is_valid_erasure(seal, erasure)}
        version = seal.format if seal.format in FORMATS else CURRENT_FORMAT
        actual = [(row["id"], self._digest(row, version, erased.get(row["id"])), row) for row in rows if row["id"] not in dropped]
        self.rows += len(actual)
        self.last = seal
        if not (seal.rows or actual or self.is_complete):
            return  # what it sealed is left out, and compared with nothing
        try:
            sealed = seal.sealed_rows()
        except ValueError as error:
            self._find("seal changed", seal.first_id, seal.last_id, str(error))
        else:
            self._compare(seal, version, sealed, actual, removed)

    def finish(self, unsealed: Iterable[int] = ()) -> None:
        """All seals were given. `unsealed` are the ids of the rows after the last."""
        waiting = list(unsealed)
        self.unsealed = len(waiting)
        number, last_id = (self.last.number, self.last.last_id) if self.last else (0, 0)
        behind = [row_id for row_id in waiting if row_id <= last_id]
        self._find_rows("row inserted", behind, "among those that are not sealed yet, with the id of an older one")
        missing = sorted(anchored for anchored in self._anchors if anchored > number)
        if missing and self.is_complete:
            first = last_id + 1
            message = (
                f"seals {number + 1} to {missing[-1]} are gone, with whatever they sealed from row {first} on: they were anchored"
            )
            self._find("tail dropped", first, max(waiting, default=first), message)

    def _verify_chain(self, seal: Seal) -> range:
        """The ids of the rows whose seal is missing before this one."""
        last = self.last
        anchor = self._anchors.get(seal.number)
        if anchor is not None and anchor != seal.digest_of_all:
            message = f"seal {seal.number} was made anew: it is not the one that was anchored"
            self._find("seal re-made", seal.first_id, seal.last_id, message)
        if last is None:
            if seal.number == 1 or self._begins_anywhere:
                return range(0)
            self._find("seal dropped", 1, seal.first_id - 1, f"the log begins with seal {seal.number}: those before it are gone")
            return range(1, seal.first_id)
        if seal.number != last.number + 1 or seal.first_id != last.last_id + 1:
            message = f"seal {seal.number} (rows {seal.first_id} to {seal.last_id}) does not follow on seal {last.number} (to row {last.last_id})"
            self._find("seal dropped", last.last_id + 1, seal.first_id - 1, message)
            return range(last.last_id + 1, seal.first_id)
        if seal.previous != last.digest_of_all:
            message = f"seal {seal.number} was made after another seal {last.number} than the one that is there"
            self._find("seal re-made", last.first_id, last.last_id, message)
        return range(0)

    def _verify_signature(self, signed: Signed, number: int, first_id: int, last_id: int, name: str) -> bool:
        """Whether what is about the seal of this number was signed with a key that may have signed it."""
        key = self._keys.get(signed.key_id)
        if key is None:
            self._find("key unknown", first_id, last_id, f"{name} is signed with the key {signed.key_id!r}, which was not given")
        elif signed.format not in FORMATS:
            self._find("format unknown", first_id, last_id, f"{name} is of the format {signed.format}")
        elif not signed.is_signed_by(key):
            self._find("signature wrong", first_id, last_id, f"{name} was not signed with the key {key.id!r} as it stands")
        elif key.last is not None and number > key.last:
            message = f"{name} is signed with the key {key.id!r}, which was retired after seal {key.last}"
            self._find("key retired", first_id, last_id, message)
        else:
            return True
        return False

    def _is_valid_erasure(self, seal: Seal, erasure: Erasure) -> bool:
        row_id = erasure.row_id
        return self._verify_signature(erasure, seal.number, row_id, row_id, f"the erasure of row {row_id}")

    def _removed(self, seal: Seal, removals: Iterable[Removal]) -> frozenset[int]:
        found: set[int] = set()
        for removal in removals:
            name = f"the removal of rows {removal.first_id} to {removal.last_id}"
            if removal.seal == seal.number and self._verify_signature(
                removal, seal.number, removal.first_id, removal.last_id, name
            ):
                found |= removal.ids()
        return frozenset(found)

    def _digest(self, row: Row, version: int, erasure: Erasure | None) -> str:
        if erasure is None or not is_blank(row, version):
            return digest_or_none(row, version)
        self.erased += 1
        return digest_or_none(row, version, erasure.personal)

    def _compare(
        self,
        seal: Seal,
        version: int,
        sealed: Sequence[SealedRow],
        actual: Sequence[tuple[int, str, Row]],
        removed: frozenset[int],
    ) -> None:
        expected = {row.id: row.digest for row in sealed}
        ids = [row_id for row_id, _, _ in actual]
        gone = sorted(expected.keys() - ids)
        self.removed += len(removed.intersection(gone))
        if self.is_complete:
            self._find_rows(
                "row deleted", [row_id for row_id in gone if row_id not in removed], f"sealed by seal {seal.number}, and gone"
            )
        repeated = {row_id for before, row_id in pairwise(ids) if before >= row_id}
        added = [row_id for row_id in ids if row_id not in expected or row_id in repeated]
        self._find_rows("row inserted", added, f"seal {seal.number} does not know it")
        changed = {row_id: row for row_id, digest, row in actual if row_id in expected and digest != expected[row_id]}
        moved = _moved(changed, expected, version) if len(changed) <= MAX_COMPARED else {}
        for row_id, origin in moved.items():
            self._find("rows reordered", row_id, row_id, f"row {row_id} holds what was sealed as row {origin}")
        self._find_rows(
            "row changed", [row_id for row_id in changed if row_id not in moved], f"not what seal {seal.number} sealed"
        )

    def _find_rows(self, kind: str, ids: Iterable[int], what: str) -> None:
        for first, last in spans(ids):
            self._find(kind, first, last, f"{f'row {first}' if first == last else f'rows {first} to {last}'}: {what}")

    def _find(self, kind: str, first_id: int, last_id: int, message: str) -> None:
        self.findings.append(Finding(kind, first_id, last_id, message))


def is_blank(row: Row, version: int) -> bool:
    """Whether the personal columns of a row hold nothing, as erasing leaves them."""
    return all(row[name] in (None, "", {}) for name in (*FORMATS[version].personal, "personal_salt"))


def digest_or_none(row: Row, version: int, personal: str | None = None) -> str:
    """The digest of a row; "" for one that holds what has no canonical form, or other columns than a row of the log."""
    try:
        return row_digest(row, version, personal) if row.keys() <= COLUMNS else ""
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


def _moved(changed: Mapping[int, Row], expected: Mapping[int, str], version: int) -> dict[int, int]:
    """Which of the changed rows hold what was sealed under the id of another of them, and under which."""
    return {
        row_id: other
        for row_id, row in changed.items()
        for other in changed
        if other != row_id and digest_or_none(row | {"id": other}, version) == expected[other]
    }


def verify_export(lines: Iterable[str], keys: Iterable[Key], anchors: Mapping[int, str] | None = None) -> Verifier:
    """Verify the lines of an export; the result says what was found. Raises BadExport."""
    archive = Archive(lines)
    verifier = Verifier(keys, is_complete=archive.is_complete, begins_anywhere=True, anchors=anchors)
    for part in archive.parts():
        verifier.seal(*part)
    verifier.finish(row["id"] for row in archive.unsealed)
    return verifier


def read_anchors(lines: Iterable[str]) -> dict[int, str]:
    """The digests of seals by number, as `AUDIT["ANCHOR_FILE"]` has them: the first that was noted of each, so that one which was
    made anew and noted again is found. What an interrupted write left of a line is passed over."""
    anchors: dict[int, str] = {}
    for line in lines:
        try:
            record = loads(line)
            anchors.setdefault(int(record["number"]), str(record["digest"]))
        except (ValueError, TypeError, KeyError):
            continue
    return anchors


def summary(verifier: Verifier) -> str:
    """What was verified, in a line."""
    head = verifier.last
    upto = f", up to row {head.last_id} (seal {head.number} of {head.sealed_at})" if head else ""
    extra = "".join(
        f", {n} {word}"
        for n, word in ((verifier.removed, "removed"), (verifier.erased, "erased"), (verifier.unsealed, "not sealed yet"))
        if n
    )
    what = "" if verifier.is_complete else "a selection: "
    return f"{what}{verifier.rows} rows in {verifier.seals} seals{extra}{upto}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify a file. The exit status."""
    parser = argparse.ArgumentParser(prog="python -m audit.evidence.verify", description="Verify an export of the audit log.")
    parser.add_argument("export", type=Path, help="a file of JSON Lines, as export_audit writes it")
    parser.add_argument(
        "--key", action="append", required=True, metavar="ID:ALGORITHM:HEX", help="a key; more than one if it changed"
    )
    parser.add_argument("--anchors", type=Path, metavar="FILE", help="the file that heads were anchored to")
    options = parser.parse_args(arguments)
    try:
        keys = parse_keys(options.key)
        anchors = read_anchors(options.anchors.open(encoding="utf-8", errors="replace")) if options.anchors else None
        with options.export.open(encoding="utf-8") as lines:
            verifier = verify_export(lines, keys, anchors)
    except (BadKey, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (BadExport, UnicodeDecodeError) as error:
        sys.stderr.write(f"{options.export}: {error}\n")
        return 1
    for finding in verifier.findings:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(f"{'FAILED' if verifier.findings else 'OK'}: {summary(verifier)}\n")
    return 1 if verifier.findings else 0


if __name__ == "__main__":
    sys.exit(main())
