"""Compares what the log holds with its seals, and its seals with each other. Needs neither Django nor a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from audit.evidence.anchors import Anchor
from audit.evidence.archive import Header
from audit.evidence.canonical import CURRENT_FORMAT, FORMATS, Row, digest_or_none, is_blank
from audit.evidence.keys import Key, by_id
from audit.evidence.seals import Erasure, Removal, Seal, SealedRow, Signed, is_moment, moment, spans

# Rows of a seal that differ are compared with each other to see whether they changed places; more than these are not.
MAX_COMPARED: Final = 200
# A seal is there, for whoever looks, this long after it says that it was made: it was stored, and clocks differ.
STORED_WITHIN: Final = timedelta(minutes=1)


class Finding(NamedTuple):
    """Something that is not as it was sealed: what kind, in which rows (0 where it is about no row), and in words."""

    kind: str
    first_id: int
    last_id: int
    message: str

    def __str__(self) -> str:
        return printable(f"{self.kind}: {self.message}")


class Verifier:
    """Compares rows with their seals, seal by seal in order. `findings` is what it found; `rows`, `seals`, `removed`, `erased` and `unsealed`
    are how many it saw, `first` is the number of the first seal and `last` the last one, `later` the number of the newest that was anchored
    after an export.

    `anchors` are what was noted of seals outside of the database, by number. Without a header it is the whole log: from seal 1 on, to
    the newest that was anchored. An export is what its header says that it is. Where the rows are a selection (`is_complete` is False),
    rows that are not there mean nothing, and a seal of which there is none need not say what it sealed.
    """

    def __init__(self, keys: Iterable[Key], anchors: Mapping[int, Anchor] | None = None, header: Header | None = None) -> None:
        self.findings: list[Finding] = []
        self.rows = self.seals = self.removed = self.erased = self.unsealed = 0
        self.first = self.later = 0
        self.last: Seal | None = None
        self.anchors = dict(anchors or {})
        self.header = header
        self.is_complete = header is None or header.complete
        self._keys = by_id(keys)

    def seal(self, seal: Seal, rows: Iterable[Row], removals: Iterable[Removal], erasures: Iterable[Erasure]) -> None:
        """Verify the next seal, and the rows that the log holds in its range and before it, in the order of their ids."""
        self.seals += 1
        self.first = self.first or seal.number
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
        last_id = self.last.last_id if self.last else 0
        behind = [row_id for before, row_id in pairwise([last_id, *waiting]) if row_id <= max(before, last_id)]
        self._find_rows("row inserted", behind, "among those that are not sealed yet, with the id of an older one")
        if waiting and not self.last and self.header:
            self._find(
                "not sealed", waiting[0], waiting[-1], f"none of the {len(waiting)} rows has a seal: nothing shows what they were"
            )
        self._verify_end(last_id + 1, max(waiting, default=last_id + 1))

    def _verify_end(self, first_id: int, last_id: int) -> None:
        """Look for seals that should be there after the last one, and would hold the rows from one id to another, as far as is known."""
        number = self.last.number if self.last else self.header.from_seal - 1 if self.header else 0
        gone, why = self._gone_by_header() if self.header else (max(self.anchors, default=0), "they were anchored")
        if gone > number:
            message = f"seals {number + 1} to {gone} are gone, with whatever they sealed from row {first_id} on: {why}"
            self._find("tail dropped", first_id, last_id, message)

    def _gone_by_header(self) -> tuple[int, str]:
        """Up to which seal an export must go by what it says of itself, and by the anchors from before it was made; and why.

        It is not signed. So it is held against the anchors, and the rest is told: when it says that it was made, and what was sealed since.
        """
        assert self.header is not None
        newest = self.header.newest
        if newest and newest.number in self.anchors and self.anchors[newest.number].digest != newest.digest:
            message = f"seal {newest.number}, which was the newest when it was exported, is not the one that was anchored"
            self._find("seal re-made", newest.last_id, newest.last_id, message)
        before = moment(datetime.fromisoformat(self.header.exported_at) - STORED_WITHIN)
        later = [anchor for anchor in self.anchors.values() if anchor.number > (newest.number if newest else 0)]
        gone = [anchor.number for anchor in later if is_moment(anchor.sealed_at) and anchor.sealed_at < before]
        if gone:
            return max(gone), f"they were anchored before it was exported at {self.header.exported_at}"
        self.later = max((anchor.number for anchor in later), default=0)
        return self.header.to_seal, "its first line tells of them"

    def _verify_chain(self, seal: Seal) -> range:
        """The ids of the rows whose seal is missing before this one."""
        last = self.last
        anchor = self.anchors.get(seal.number)
        if anchor is not None and anchor.digest != seal.digest_of_all:
            message = f"seal {seal.number} was made anew: it is not the one that was anchored"
            self._find("seal re-made", seal.first_id, seal.last_id, message)
        if last is None:
            return self._verify_begin(seal)
        if seal.number != last.number + 1 or seal.first_id != last.last_id + 1:
            message = f"seal {seal.number} (rows {seal.first_id} to {seal.last_id}) does not follow on seal {last.number} (to row {last.last_id})"
            self._find("seal dropped", last.last_id + 1, seal.first_id - 1, message)
            return range(last.last_id + 1, seal.first_id)
        if seal.previous != last.digest_of_all:
            message = f"seal {seal.number} was made after another seal {last.number} than the one that is there"
            self._find("seal re-made", last.first_id, last.last_id, message)
        return range(0)

    def _verify_begin(self, seal: Seal) -> range:
        first = self.header.from_seal if self.header else 1
        if seal.number > first:
            message = f"it begins with seal {seal.number}, not with seal {first}: those before it are gone"
            self._find("seal dropped", 1, seal.first_id - 1, message)
            return range(1, seal.first_id)
        before = self.anchors.get(seal.number - 1)
        if before is not None and before.digest != seal.previous:
            message = f"seal {seal.number} was made after another seal {before.number} than the one that was anchored"
            self._find("seal re-made", seal.first_id, seal.last_id, message)
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
            first_id, last_id = removal.first_id, removal.last_id
            name = f"the removal of rows {first_id} to {last_id}"
            if not self._verify_signature(removal, seal.number, first_id, last_id, name):
                continue
            if (removal.seal, removal.seal_digest) == (seal.number, seal.digest_of_all):
                found |= removal.ids()
            else:
                self._find(
                    "removal of another seal", first_id, last_id, f"{name} is not from the seal {seal.number} that is there"
                )
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


def printable(text: str) -> str:
    """A text that a terminal shows as it is: whatever of it somebody may have made up to move the cursor, or to hide, is escaped."""
    return "".join(c if c.isascii() and c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _moved(changed: Mapping[int, Row], expected: Mapping[int, str], version: int) -> dict[int, int]:
    """Which of the changed rows hold what was sealed under the id of another of them, and under which."""
    return {
        row_id: other
        for row_id, row in changed.items()
        for other in changed
        if other != row_id and digest_or_none(row | {"id": other}, version) == expected[other]
    }
