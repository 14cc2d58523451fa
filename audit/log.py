"""The audit log of the database with its seals, removals and erasures, seal by seal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from django.db import connections, models

from audit import rows, triggers
from audit.archive import Part
from audit.keys import Key
from audit.models import AuditErasure, AuditRemoval, AuditSeal
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


def verify(keys: Iterable[Key], anchors: Mapping[int, str] | None = None) -> Verifier:
    """Compare the whole log with its seals, and look whether its triggers are there. Raises DatabaseError."""
    verifier = Verifier(keys, anchors)
    missing = triggers.missing(connections[settings().DATABASE])
    if missing:
        message = f"these triggers are not there, or not as they are to be: {', '.join(missing)}"
        verifier.findings.append(Finding("not append-only", 0, 0, message))
    for part in parts():
        verifier.seal(*part)
    first = next(rows.read(-(2**63), 0, 1), None)
    if first is not None:
        verifier.findings.append(Finding("row inserted", first["id"], first["id"], f"row {first['id']} is before the first"))
    verifier.finish(row["id"] for row in rows.read(verifier.last.last_id + 1 if verifier.last else 1))
    return verifier


def _read(
    cls: type[AnySigned], model: type[models.Model], ordered: str, limit: int | None = None, **which: object
) -> list[AnySigned]:
    found = model._default_manager.using(settings().DATABASE).filter(**which).order_by(ordered).values(*cls.columns())
    return [cls(**values) for values in found[:limit]]
