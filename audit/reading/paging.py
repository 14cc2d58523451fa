"""Pages of the log by key: newest first by when it happened, then by id. A page costs the same wherever in the log it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Q, QuerySet

from audit.models import AuditEntry
from events.conf import settings

ORDER = ("-timestamp", "-id")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_ID = 2**63 - 1


class Key(NamedTuple):
    """Where an entry is in the order of the pages."""

    timestamp: datetime
    id: int

    def __str__(self) -> str:
        """As it stands in an address: microseconds since 1970, and the id."""
        return f"{(self.timestamp - EPOCH) // timedelta(microseconds=1)}.{self.id}"

    @classmethod
    def of(cls, entry: AuditEntry) -> Key:
        """The key of an entry."""
        return cls(entry.timestamp, entry.id)

    @classmethod
    def parse(cls, text: str) -> Key:
        """The key that `str()` wrote. Raises ValueError for any other text."""
        microseconds, _, number = text.partition(".")
        try:
            key = cls(EPOCH + timedelta(microseconds=int(microseconds)), int(number))
        except OverflowError:
            raise ValueError(text) from None
        if not 0 <= key.id <= MAX_ID:
            raise ValueError(text)
        return key

    def older(self) -> Q:
        """What comes after this key. The first condition is for the index, the rest for entries of the same moment."""
        return Q(timestamp__lte=self.timestamp) & (Q(timestamp__lt=self.timestamp) | Q(id__lt=self.id))

    def newer(self) -> Q:
        """What comes before this key."""
        return Q(timestamp__gte=self.timestamp) & (Q(timestamp__gt=self.timestamp) | Q(id__gt=self.id))


@dataclass(frozen=True)
class Page:
    """Entries, newest first. `older` and `newer` are the keys from which to go on, None where the log ends."""

    entries: list[AuditEntry]
    older: Key | None = None
    newer: Key | None = None

    @property
    def is_all(self) -> bool:
        """Whether there is nothing but this page."""
        return self.older is None and self.newer is None


def read_page(branches: Sequence[QuerySet[AuditEntry]], size: int, before: Key | None = None, after: Key | None = None) -> Page:
    """The page of `size` entries that are older than `before`, or newer than `after`; the first page where neither is given, or
    where fewer are newer.

    The entries are those of any of the `branches`: one query each, merged here, because no index has the order of an OR.
    """
    if after is not None:
        entries = _merged([branch.filter(after.newer()) for branch in branches], size + 1, ascending=True)
        if len(entries) >= size:
            page = entries[:size][::-1]
            return Page(page, Key.of(page[-1]), Key.of(page[0]) if len(entries) > size else None)
        before = None
    bounded = branches if before is None else [branch.filter(before.older()) for branch in branches]
    entries = _merged(bounded, size + 1)
    page = entries[:size]
    older = Key.of(page[-1]) if len(entries) > size else None
    newer = None if before is None else Key.of(page[0]) if page else before
    return Page(page, older, newer)


def _merged(branches: Sequence[QuerySet[AuditEntry]], size: int, ascending: bool = False) -> list[AuditEntry]:
    order = [column.removeprefix("-") for column in ORDER] if ascending else ORDER
    found = {entry.id: entry for branch in branches for entry in branch.order_by(*order)[:size]}
    return sorted(found.values(), key=Key.of, reverse=not ascending)[:size]


def estimated_count() -> int:
    """About how many entries the log has, from its first and its last id."""
    ids = AuditEntry.objects.using(settings().DATABASE).values_list("id", flat=True)
    # Not an aggregate of both, for which SQLite reads all there is.
    first, last = ids.order_by("id").first(), ids.order_by("-id").first()
    return 0 if first is None or last is None else last - first + 1
