"""The audit log of the database with its seals, removals and erasures, seal by seal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from time import monotonic
from typing import Final, NamedTuple, TypeVar

from django.db import connections, models

from audit.evidence import rows, triggers
from audit.evidence.archive import Part
from audit.evidence.canonical import Row
from audit.evidence.keys import Key
from audit.evidence.seals import ENTRY_BYTES, Erasure, Removal, Seal, Signed
from audit.evidence.verify import Finding, Verifier
from audit.models import AuditEntry, AuditErasure, AuditRemoval, AuditSeal
from events.conf import settings

AnySigned = TypeVar("AnySigned", bound=Signed)
# Rows from one id to another (None: to the end), in order.
Read = Callable[[int, int | None], Iterable[Row]]

LOWEST_ID: Final = -(2**63)
# Seals that are read in one statement.
SEALS: Final = 20


def last_seal() -> Seal | None:
    """The newest seal."""
    return next(iter(_read(Seal, AuditSeal, ordered="-number", limit=1)), None)


def seals(first: int = 0, last: int | None = None) -> Iterator[Seal]:
    """The seals from one number to another, in order."""
    upto = {} if last is None else {"number__lte": last}
    while found := _read(Seal, AuditSeal, ordered="number", limit=SEALS, number__gte=first, **upto):
        yield from found
        first = found[-1].number + 1


def seals_of(ids: Iterable[int]) -> Iterator[Seal]:
    """The seals that hold rows of these ids, which are in order; each once."""
    upto = 0
    for row_id in ids:
        if row_id > upto:
            found = _read(Seal, AuditSeal, ordered="last_id", limit=1, last_id__gte=row_id)
            if not found:
                return
            upto = found[0].last_id
            yield found[0]


def parts(first: int = 0, last: int | None = None, read: Read = rows.read) -> Iterator[Part]:
    """The seals from one number to another, each with the rows that `read` gives for it, and what was removed and erased."""
    start: int | None = LOWEST_ID if first <= 1 else None
    for batch in _batches(seals(first, last)):
        first_id, last_id = batch[0].first_id, batch[-1].last_id
        first_id = first_id if start is None else min(start, first_id)
        # Before what explains why one is missing or blank: of both, the later that is read knows more.
        waiting = list(read(first_id, last_id))[::-1]
        removals = _read(Removal, AuditRemoval, ordered="id", seal__range=(batch[0].number, batch[-1].number))
        erasures = _read(Erasure, AuditErasure, ordered="row_id", row_id__range=(first_id, last_id))
        for seal in batch:
            yield Part(
                seal,
                _upto(waiting, seal.last_id),
                [removal for removal in removals if removal.seal == seal.number],
                [erasure for erasure in erasures if seal.first_id <= erasure.row_id <= seal.last_id],
            )
        start = last_id + 1


class Step(NamedTuple):
    """What one step of verifying the log found, and the number of the seal that the next one begins with; None after the last."""

    verifier: Verifier
    next: int | None


def verify(keys: Iterable[Key], anchors: Mapping[int, str] | None = None) -> Verifier:
    """Compare the whole log with its seals, and look whether its triggers are there. Raises DatabaseError."""
    return verify_step(0, keys, anchors).verifier


def verify_step(
    number: int, keys: Iterable[Key], anchors: Mapping[int, str] | None = None, seconds: float = inf, seals: float = inf
) -> Step:
    """Verify whole seals from a number on, for so many seconds, one seal at least and so many at most. That they follow on the seal
    before is verified too. The first step looks at the triggers, the last at what has no seal. Raises DatabaseError."""
    until = monotonic() + seconds
    verifier = Verifier(keys, anchors)
    if number <= 1:
        verifier.findings += _missing_triggers()
    else:
        verifier.last = next(iter(_read(Seal, AuditSeal, ordered="-number", limit=1, number__lt=number)), None)
    for part in parts(number):
        if verifier.last and verifier.seals and (monotonic() >= until or verifier.seals >= seals):
            return Step(verifier, verifier.last.number + 1)
        verifier.seal(*part)
    entries = AuditEntry.objects.using(settings().DATABASE).order_by("id").values_list("id", flat=True)
    verifier.finish((entries.filter(id__gt=verifier.last.last_id) if verifier.last else entries).iterator())
    return Step(verifier, None)


def _missing_triggers() -> list[Finding]:
    missing = triggers.missing(connections[settings().DATABASE])
    message = f"these triggers are not there, or not as they are to be: {', '.join(missing)}"
    return [Finding("not append-only", 0, 0, message)] if missing else []


def _batches(found: Iterable[Seal]) -> Iterator[list[Seal]]:
    """Seals whose ranges don't overlap, of `rows.PAGE` rows together at most, or one seal."""
    batch: list[Seal] = []
    size = 0
    for seal in found:
        sealed = len(seal.rows) // (2 * ENTRY_BYTES)  # whatever somebody made of `count`
        if batch and (seal.first_id <= batch[-1].last_id or size + sealed > rows.PAGE):
            yield batch
            batch, size = [], 0
        batch.append(seal)
        size += sealed
    if batch:
        yield batch


def _upto(waiting: list[Row], last_id: int) -> list[Row]:
    """Take the rows up to an id off the end of what waits, which is in reverse order."""
    taken = []
    while waiting and waiting[-1]["id"] <= last_id:
        taken.append(waiting.pop())
    return taken


def _read(
    cls: type[AnySigned], model: type[models.Model], ordered: str, limit: int | None = None, **which: object
) -> list[AnySigned]:
    found = model._default_manager.using(settings().DATABASE).filter(**which).order_by(ordered).values(*cls.columns())
    return [cls(**values) for values in found[:limit]]
