"""Removes old rows of the audit log: those of whole sealed ranges, once an archive of them was written and verified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from django.db import transaction

from audit import access
from audit.conf import seal_keys
from audit.evidence import archive, holds, log
from audit.evidence.canonical import CURRENT_FORMAT, Row
from audit.evidence.seals import Removal, moment, runs
from audit.evidence.verify import verify_export
from audit.models import AuditEntry, AuditRemoval, LegalHold
from audit.reading.export import Export
from audit.reading.formats import FORMATS, encoded
from events.conf import settings
from events.types import utcnow


class NotVerified(Exception):
    """What was to be removed is not as it was sealed: it stays, as evidence."""


class Prunable(NamedTuple):
    """Rows of one seal that may go."""

    seal: int
    seal_digest: str
    ids: list[int]


def prunable(until: datetime, category: str = "") -> Iterator[Prunable]:
    """The seals whose rows of the category ("" is any) are all older than the moment and under no legal hold, with these rows."""
    in_force = list(holds.in_force())
    for part in log.parts():
        inside = range(part.seal.first_id, part.seal.last_id + 1)
        found = [row for row in part.rows if row["id"] in inside and category in ("", row["source_category"])]
        if found and not any(_must_stay(row, moment(until), in_force) for row in found):
            yield Prunable(part.seal.number, part.seal.digest_of_all, [row["id"] for row in found])


def prune(until: datetime, archives: Path, reason: str, category: str = "") -> int:
    """Export the seals that `prunable` gives into new files of the directory, verify these, and remove the rows. How many were
    removed.

    Each removal is signed, and noted in the transaction that removes. Raises NotVerified, OSError, and DatabaseError.
    """
    removed = 0
    for run in _runs(prunable(until, category)):
        path = archives / f"audit-{utcnow():%Y%m%dT%H%M%S%fZ}-seals-{run[0].seal}-{run[-1].seal}.jsonl"
        with archive.new_file(path) as file:
            digest = archive.write(file, encoded(FORMATS["jsonl"], Export(first=run[0].seal, last=run[-1].seal)))
        _verify(path)
        for found in run:
            _remove(found, until, category, path.name, digest, reason)
            removed += len(found.ids)
    return removed


def _runs(found: Iterable[Prunable]) -> list[list[Prunable]]:
    """What is found, in runs of seals that follow on each other: an export has no gaps."""
    together: list[list[Prunable]] = []
    for one in found:
        if together and one.seal == together[-1][-1].seal + 1:
            together[-1].append(one)
        else:
            together.append([one])
    return together


def _must_stay(row: Row, until: str, in_force: list[LegalHold]) -> bool:
    return row["timestamp"] is None or row["timestamp"] >= until or holds.is_held(row, in_force)


def _verify(path: Path) -> None:
    with path.open(encoding="utf-8") as lines:
        findings = verify_export(lines, seal_keys()).findings
    if findings:
        raise NotVerified("; ".join(map(str, findings[:3])))


def _remove(found: Prunable, until: datetime, category: str, name: str, digest: str, reason: str) -> None:
    alias = settings().DATABASE
    ids = found.ids
    removal = Removal(
        format=CURRENT_FORMAT,
        key_id="",
        algorithm="",
        signature="",
        seal=found.seal,
        seal_digest=found.seal_digest,
        first_id=ids[0],
        last_id=ids[-1],
        category=category,
        until=moment(until),
        rows=runs(ids),
        archive=name[-255:],
        archive_digest=digest,
        reason=reason,
        actor=access.actor_label(),
        removed_at=moment(utcnow()),
    ).signed_by(seal_keys()[0])
    with transaction.atomic(using=alias):
        AuditRemoval.objects.using(alias).bulk_create([AuditRemoval(**asdict(removal))])
        AuditEntry.objects.using(alias).filter(id__in=ids).delete()
        access.record(
            "pruned", {"seal": found.seal, "rows": removal.rows, "category": category, "archive": name, "reason": reason}
        )
