"""Erases a person's fields from the audit log (GDPR, article 17). That something was done, when and to what, stays, and stays sealed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet

from audit import access
from audit.conf import seal_keys
from audit.evidence import holds, log, persons, rows
from audit.evidence.canonical import CURRENT_FORMAT, FORMATS, Row, digest_or_none, is_blank, personal_digest
from audit.evidence.seals import Erasure, Seal, moment
from audit.evidence.triggers import blank_value
from audit.models import AuditEntry, AuditErasure
from events.conf import settings
from events.types import utcnow


class NotVerified(Exception):
    """What was to be erased is not as it was sealed: it stays, as evidence."""


class Erased(NamedTuple):
    """How many rows were erased, and how many stay: those without a seal yet, and those under a legal hold."""

    rows: int
    unsealed: int
    held: int


class Resource(NamedTuple):
    """An object as rows name it: `auth.user`, `42`."""

    type: str
    id: str


def rows_of(user_id: str, resources: Sequence[Resource] = ()) -> QuerySet[AuditEntry]:
    """The rows that are a person's (`persons`; with "" for the id nobody's), and those about the resources."""
    wanted = persons.where(user_id) if user_id else Q(pk__in=())
    for resource in resources:
        wanted |= Q(resource_id=resource.id, resource_type=resource.type)
    return AuditEntry.objects.using(settings().DATABASE).filter(wanted).order_by("id")


def erase(user_id: str, reason: str, resources: Sequence[Resource] = ()) -> Erased:
    """Blank the personal columns of the rows of `rows_of`, seal by seal, each with a signed record. Who asks is noted, the person is not.

    Raises NotVerified where a row is not as it was sealed, NotRecorded, and DatabaseError.
    """
    ids = list(rows_of(user_id, resources).values_list("id", flat=True))
    in_force = holds.in_force()
    erased = held = sealed = 0
    for seal in log.seals_of(ids):
        wanted = [row_id for row_id in ids if seal.first_id <= row_id <= seal.last_id]
        found = [row for row in rows.read(wanted[0], wanted[-1]) if row["id"] in set(wanted)]
        free = [row for row in found if not holds.is_held(row, in_force)]
        sealed += len(found)
        held += len(found) - len(free)
        erased += _erase(seal, free, reason)
    return Erased(erased, len(ids) - sealed, held)


def _erase(seal: Seal, found: list[Row], reason: str) -> int:
    alias = settings().DATABASE
    expected = {row.id: row.digest for row in seal.sealed_rows()}
    full = [row for row in found if not is_blank(row, CURRENT_FORMAT)]
    for row in full:
        if digest_or_none(row, seal.format) != expected.get(row["id"]):
            raise NotVerified(f"row {row['id']} is not what seal {seal.number} sealed: verify the log first")
    if not full:
        return 0
    now, actor, key = moment(utcnow()), access.actor_label(), seal_keys()[0]
    erasures = [
        Erasure(seal.format, "", "", "", row["id"], personal_digest(row, seal.format), reason, actor, now).signed_by(key)
        for row in full
    ]
    ids = [row["id"] for row in full]
    blank = {name: blank_value(name) for name in (*FORMATS[seal.format].personal, "personal_salt")}
    with transaction.atomic(using=alias):
        AuditErasure.objects.using(alias).bulk_create([AuditErasure(**asdict(erasure)) for erasure in erasures])
        AuditEntry.objects.using(alias).filter(id__in=ids).update(**blank)
        access.must_record("erased", {"seal": seal.number, "rows": ids, "reason": reason}, urgent=True)
    return len(ids)
