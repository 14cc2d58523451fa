"""What a deletion deletes, recorded: no row twice, and none that somebody else had deleted meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from django.apps import apps
from django.db import connections, models

from audit.models import CHANGE, AuditEntry, Outcome
from audit.tracking.changes import Plan
from audit.tracking.criteria import criterion_of, summary
from audit.tracking.entries import DELETED, Row, label_of, row
from audit.tracking.registry import plans
from audit.tracking.scopes import Batch, batch, record
from audit.tracking.snapshots import known_values

# Objects that are looked up together.
CHUNK = 500
Deleted = tuple[int, dict[str, int]]


def record_deleted(plan: Plan, instance: models.Model, using: str) -> None:
    """Record that the object's row is deleted, with the values that it is known to have had."""
    known = known_values(instance, using) or {}
    changes, unknown = plan.deleted(known)
    label = label_of(plan, instance, connections[using])
    record(connections[using], [row(plan, DELETED, instance.pk, label, changes, {"old_unknown": unknown} if unknown else None)])


def delete_recorded(plan: Plan, using: str, query: Any | None, delete: Callable[[], Deleted]) -> Deleted:
    """Do `delete` with its entries in one batch, and keep those of rows that it deleted, each once."""
    criterion = {} if query is None else criterion_of(plan, query)
    with batch(using, summary(plan, criterion)) as collected:
        deleted = delete()
        _keep_what_was_deleted(collected, using, _numbers(deleted[1]))
    return deleted


def _numbers(deleted: dict[str, int]) -> Counter[str]:
    """How many rows were deleted, by the type that entries have."""
    numbers: Counter[str] = Counter()
    for label, number in deleted.items():
        numbers[apps.get_model(label)._meta.concrete_model._meta.label_lower] += number
    return numbers


def _keep_what_was_deleted(collected: Batch, using: str, numbers: Counter[str]) -> None:
    """Drop the entries of rows that others had deleted since they were read, and those of parents' rows."""
    ids: dict[str, set[str]] = defaultdict(set)
    for entry in collected.rows(own=True):
        if entry.action == DELETED:
            ids[entry.resource_type].add(entry.resource_id)
    gone: dict[str, set[str]] = {}
    unsure: dict[str, dict[str, int]] = {}
    for kind in (kind for kind, of_kind in ids.items() if len(of_kind) != numbers[kind]):
        gone[kind] = _deleted_elsewhere(collected, using, kind, ids[kind]) if numbers[kind] else ids[kind]
        if len(ids[kind]) - len(gone[kind]) != numbers[kind]:  # somebody deleted without a record
            gone[kind], unsure[kind] = set(), {"deleted": numbers[kind], "among": len(ids[kind])}

    def revised(entry: Row) -> Row | None:
        kind, key = entry.resource_type, entry.resource_id
        if entry.action != DELETED:
            return entry
        if key in gone.get(kind, ()) or any(key in ids.get(child, ()) for child in _children_of(kind)):
            return None
        if kind in unsure:
            data = orjson.dumps(orjson.loads(entry.data) | unsure[kind]).decode()
            return entry._replace(outcome=Outcome.UNKNOWN.value, data=data)
        return entry

    collected.revise(revised)


def _deleted_elsewhere(collected: Batch, using: str, kind: str, ids: set[str]) -> set[str]:
    """Those that another transaction, or an operation within this one, has deleted, as what it recorded tells."""
    types = {kind, *_children_of(kind)}
    latest: dict[str, str] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), CHUNK):
        part = wanted[start : start + CHUNK]
        entries = AuditEntry.objects.using(using).filter(source_category=CHANGE, resource_type__in=types, resource_id__in=part)
        latest |= dict(entries.order_by("id").values_list("resource_id", "action"))
    own = {entry.event_id for entry in collected.rows(own=True)}
    within = (entry for entry in collected.rows() if entry.resource_type in types and entry.event_id not in own)
    latest |= {entry.resource_id: entry.action for entry in within}
    return {key for key in ids if latest.get(key) == DELETED}


@cache
def _children_of(resource_type: str) -> frozenset[str]:
    """The types of tracked models that inherit from it: a row of theirs is a row of its own in the parent's table."""
    own = {p.model for p in plans.values() if p.resource_type == resource_type}
    return frozenset(p.resource_type for p in plans.values() for m in own if p.model is not m and issubclass(p.model, m))
