"""Removes old rows of the audit log: those of whole sealed ranges, once an archive of them was written and verified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Max, Min

from audit import access
from audit.conf import seal_keys
from audit.evidence import archive, holds, log
from audit.evidence.archive import Header, Part
from audit.evidence.canonical import CURRENT_FORMAT, Row
from audit.evidence.seals import Removal, moment, runs
from audit.evidence.verifier import Finding, Verifier
from audit.evidence.verify import verify_export
from audit.models import AuditEntry, AuditRemoval, AuditSeal, LegalHold
from audit.reading.export import Export
from audit.reading.formats import FORMATS, encoded
from events.conf import settings
from events.types import utcnow


class Prunable(NamedTuple):
    """Rows of one seal that may go; but with `findings` they stay: what is in the seal's range is not as it was sealed."""

    seal: int
    seal_digest: str
    ids: list[int]
    findings: list[Finding]


class Pruned(NamedTuple):
    """How many rows were removed, and why others were not that are old enough."""

    rows: int
    problems: list[str]


def prunable(until: datetime, category: str = "") -> Iterator[Prunable]:
    """The seals whose rows of the category ("" is any) are all older than the moment and under no legal hold, with these rows."""
    in_force = holds.in_force()
    for part in _old_parts(until, category):
        inside = range(part.seal.first_id, part.seal.last_id + 1)
        within = [row for row in part.rows if row["id"] in inside]
        found = [row for row in within if category in ("", row["source_category"])]
        if found and not any(_must_stay(row, moment(until), in_force) for row in found):
            number = part.seal.number
            verifier = Verifier(seal_keys(), header=Header(True, number, number, moment(utcnow()), None))
            verifier.seal(*part._replace(rows=within))
            yield Prunable(part.seal.number, part.seal.digest_of_all, [row["id"] for row in found], verifier.findings)


def prune(until: datetime, archives: Path, reason: str, category: str = "") -> Pruned:
    """Export the seals that `prunable` gives into new files of the directory, verify these, and remove the rows.

    Each removal is signed, and noted in the transaction that removes. What stays keeps nothing else from being removed. Raises
    NotRecorded, OSError, and DatabaseError.
    """
    found = list(prunable(until, category))
    problems = [f"seal {one.seal} stays: {'; '.join(map(str, one.findings[:3]))}" for one in found if one.findings]
    removed = 0
    for run in _runs(one for one in found if not one.findings):
        path = archives / f"audit-{utcnow():%Y%m%dT%H%M%S%fZ}-seals-{run[0].seal}-{run[-1].seal}.jsonl"
        with archive.new_file(path) as file:
            digest = archive.write(file, encoded(FORMATS["jsonl"], Export(first=run[0].seal, last=run[-1].seal)))
        if findings := _findings_in(path):
            problems.append(f"{path.name} does not verify: {'; '.join(findings[:3])}")
            continue
        for one in run:
            try:
                _remove(one, until, category, path.name, digest, reason)
            except IntegrityError as error:
                problems.append(f"seal {one.seal} stays: {error}")
            else:
                removed += len(one.ids)
    return Pruned(removed, problems)


def _old_parts(until: datetime, category: str) -> Iterator[Part]:
    """The seals in whose range such rows may be, without reading the log before and after these."""
    alias = settings().DATABASE
    old = AuditEntry.objects.using(alias).filter(timestamp__lt=until, **({"source_category": category} if category else {}))
    first_id, last_id = old.aggregate(first=Min("id"), last=Max("id")).values()
    if first_id is None:
        return
    first, last = (
        AuditSeal.objects.using(alias).filter(last_id__gte=row_id).order_by("last_id").values_list("number", flat=True).first()
        for row_id in (first_id, last_id)
    )
    if first is not None:
        yield from log.parts(first, last)


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
    return type(row["timestamp"]) is not str or row["timestamp"] >= until or holds.is_held(row, in_force)


def _findings_in(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return list(map(str, verify_export(lines, seal_keys()).findings))


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
        access.must_record(
            "pruned", {"seal": found.seal, "rows": removal.rows, "category": category, "archive": name, "reason": reason}
        )
