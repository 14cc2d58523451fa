"""The audit log of the database with its seals, removals and erasures, seal by seal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from time import monotonic
from typing import NamedTuple, TypeVar

from django.db import connections, models

from audit import rows, triggers
from audit.archive import Part
from audit.keys import Key
from audit.models import AuditEntry, AuditErasure, AuditRemoval, AuditSeal
from audit.seals import Erasure, Removal, Seal, Signed
from audit.verify import Finding, Verifier
from events.conf import settings

AnySigned = TypeVar("AnySigned", bound=Signed)


def last_seal() -> Seal | None:
    """The newest seal."""
    return next(iter(_read(Seal, AuditSeal, ordered="-number", limit=1)), None)


def seals(first: int = 0, last: int | None = None) -> Iterator[Seal]:
    """The seals from one number to another, in order."""
    upto = {} if last is None else {"number__lte": last}
    while found := _read(Seal, AuditSeal, ordered="number", limit=10, number__gte=first, **upto):
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


def parts(first: int = 0, last: int | None = None) -> Iterator[Part]:
    """The seals from one number to another, each with the rows that are there in its range, and what was removed and erased."""
    for seal in seals(first, last):
        yield Part(
            seal,
            list(rows.read(seal.first_id, seal.last_id)),
            _read(Removal, AuditRemoval, ordered="id", seal=seal.number),
            _read(Erasure, AuditErasure, ordered="row_id", row_id__range=(seal.first_id, seal.last_id)),
        )


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
        if verifier.seals and (monotonic() >= until or verifier.seals >= seals):
            return Step(verifier, part.seal.number)
        verifier.seal(*part)
    entries = AuditEntry.objects.using(settings().DATABASE).order_by("id").values_list("id", flat=True)
    for row_id in entries.filter(id__lte=0)[:1]:
        verifier.findings.append(Finding("row inserted", row_id, row_id, f"row {row_id} is before the first"))
    verifier.finish(entries.filter(id__gt=verifier.last.last_id if verifier.last else 0).iterator())
    return Step(verifier, None)


def _missing_triggers() -> list[Finding]:
    missing = triggers.missing(connections[settings().DATABASE])
    message = f"these triggers are not there, or not as they are to be: {', '.join(missing)}"
    return [Finding("not append-only", 0, 0, message)] if missing else []


def _read(
    cls: type[AnySigned], model: type[models.Model], ordered: str, limit: int | None = None, **which: object
) -> list[AnySigned]:
    found = model._default_manager.using(settings().DATABASE).filter(**which).order_by(ordered).values(*cls.columns())
    return [cls(**values) for values in found[:limit]]
