"""What an export of the audit log holds: all of it or a selection, seal by seal. How that is written: `audit.reading.formats`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from django.db.models import QuerySet

from audit.evidence import log, rows
from audit.evidence.anchors import Anchor
from audit.evidence.archive import Header
from audit.evidence.canonical import Row
from audit.evidence.seals import Erasure, Removal, Seal, moment
from audit.models import AuditEntry
from events.conf import settings
from events.types import utcnow


class Piece(NamedTuple):
    """A seal with what belongs to it (`audit.evidence.archive.Part`), or rows that have none yet. The rows are as `audit.evidence.rows.texts` gives them."""

    seal: Seal | None
    rows: list[Row]
    removals: Sequence[Removal] = ()
    erasures: Sequence[Erasure] = ()


@dataclass(frozen=True)
class Export:
    """The entries of a queryset, None for all, that are sealed by the seals from number `first` to `last`. Without `last` also those
    that are not sealed yet."""

    entries: QuerySet[AuditEntry] | None = None
    first: int = 0
    last: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether no row is left out of these seals."""
        return self.entries is None or not self.entries.query.where

    def count(self) -> int | None:
        """How many rows it has; None where that is not known without reading the seals."""
        if self.first > 1 or self.last is not None:
            return None
        return (AuditEntry.objects.using(settings().DATABASE) if self.entries is None else self.entries).count()

    def header(self) -> Header:
        """What it has, as far as the log is sealed by now. Raises DatabaseError."""
        exported_at, newest = moment(utcnow()), log.last_seal()
        first, last = max(self.first, 1), newest.number if newest else 0
        if self.last is not None:
            last = min(self.last, last)
        return Header(self.is_complete, first, max(last, first - 1), exported_at, Anchor.of(newest) if newest else None)

    def pieces(self, header: Header | None = None) -> Iterator[Piece]:
        """All of it, by id. Reads some thousand rows at a time, or those of one seal. Raises DatabaseError."""
        # Which rows are sealed is decided by then: a seal that is made meanwhile may hold rows that were read already.
        header = header or self.header()
        read = rows.texts if self.entries is None or self.is_complete else _Selected(self.entries).read
        for seal, found, removals, erasures in log.parts(header.from_seal, header.to_seal, read):
            ids = {row["id"] for row in found}
            about = erasures if self.is_complete else [erasure for erasure in erasures if erasure.row_id in ids]
            yield Piece(seal, found, removals, about)
        if self.last is None:
            unsealed = iter(read(header.newest.last_id + 1 if header.newest else log.LOWEST_ID, None))
            while page := list(islice(unsealed, rows.PAGE)):
                yield Piece(None, page)


class _Selected:
    """The rows of a queryset, given out in the order of their ids.

    The ids are asked for once, in one statement, so that an index may find them; the rows then by their ids, page by page.
    """

    def __init__(self, entries: QuerySet[AuditEntry]) -> None:
        found = entries.using(settings().DATABASE).order_by("id").values_list("id", flat=True)
        self._ids = iter(found.iterator(rows.PAGE))
        self._next = next(self._ids, None)

    def read(self, first_id: int, last_id: int | None) -> Iterator[Row]:
        """Those from one id to another (`audit.evidence.log.Read`). A range must be after that of the call before."""
        while ids := self._take(first_id, last_id):
            yield from rows.texts_of(ids)

    def _take(self, first_id: int, last_id: int | None) -> list[int]:
        taken: list[int] = []
        while self._next is not None and (last_id is None or self._next <= last_id) and len(taken) < rows.PAGE:
            if self._next >= first_id:
                taken.append(self._next)
            self._next = next(self._ids, None)
        return taken
