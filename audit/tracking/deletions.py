"""What a deletion deletes, recorded: no row twice, and none that somebody else had deleted meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import orjson
from django.apps import apps
from django.db import connections, models, transaction
from django.db.models import QuerySet
from django.db.models.deletion import Collector
from django.db.models.sql import Query

from audit.models import CHANGE, AuditEntry, Outcome
from audit.tracking.changes import Plan
from audit.tracking.criteria import criterion_of, summary
from audit.tracking.entries import DELETED, Row, label_of, row
from audit.tracking.registry import plans
from audit.tracking.scopes import Batch, batch, record
from audit.tracking.snapshots import known_values

# Objects that are looked up together.
CHUNK = 500


def record_deleted(plan: Plan, instance: models.Model, using: str) -> None:
    """Record that the object's row is deleted, with the values that it is known to have had."""
    known = known_values(instance, using) or {}
    changes, unknown = plan.deleted(known)
    label = label_of(plan, instance, connections[using])
    record(connections[using], [row(plan, DELETED, instance.pk, label, changes, {"old_unknown": unknown} if unknown else None)])


def delete_recorded(plan: Plan, using: str, of: Any, delete: Callable[[], Any]) -> Any:
    """Do `delete` with its entries in one batch, and keep those of rows that it deleted, each once. `of`: a query, or the key of an object.

    What gives no numbers as Django's does has not deleted, but marked what it was for: its entries stay as they are.
    """
    with batch(using, partial(_summarised, plan, of)) as collected:
        deleted = delete()
        if isinstance(deleted, tuple):
            with transaction.mark_for_rollback_on_error(using):
                _keep_what_was_deleted(collected, using, _numbers(deleted[1]))
    return deleted


def _summarised(plan: Plan, of: Any, rows: list[Row]) -> Row:
    """One entry of too many: which they were the query says of its own model's rows only, of others whose deletion took them along."""
    criterion: dict[str, Any]
    if not isinstance(of, Query):
        criterion = {"cascade_of": [plan.resource_type, row(plan, DELETED, of, "", None).resource_id]}
    elif (rows[0].resource_type, rows[0].action) == (plan.resource_type, DELETED):
        criterion = criterion_of(plan, of)
    else:
        criterion = {"cascade_of": [plan.resource_type, criterion_of(plan, of)]}
    return summary(plan, criterion)(rows)


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
    children = {kind: _children_of(kind) & ids.keys() for kind in ids}

    def revised(entry: Row) -> Row | None:
        kind, key = entry.resource_type, entry.resource_id
        if entry.action != DELETED:
            return entry
        if key in gone.get(kind, ()) or any(key in ids[child] for child in children[kind]):
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


def _children_of(resource_type: str) -> frozenset[str]:
    """The types of tracked models that inherit from it: a row of theirs is a row of its own in the parent's table."""
    own = {p.model for p in plans.values() if p.resource_type == resource_type}
    return frozenset(p.resource_type for p in plans.values() for m in own if p.model is not m and issubclass(p.model, m))


_add_field_update: Final = Collector.add_field_update


def _add_field_update_lazily(collector: Collector, field: Any, value: Any, objs: Any) -> None:
    if field.model in plans:
        if isinstance(objs, QuerySet) and objs.query.can_filter() and not objs.query.combinator:
            objs = objs.all()
        else:
            objs = field.model._base_manager.using(collector.using).filter(pk__in=[obj.pk for obj in objs])
    _add_field_update(collector, field, value, objs)


def follow_field_updates() -> None:
    """Record what a deletion writes into references to what it deletes (`SET_DEFAULT`, and an `on_delete` of the project's own).

    Django updates a queryset that was not evaluated by its `update`, as it does for `SET_NULL`, and all else with SQL that nobody is told
    of. So it is given the former. This is the one method of Django's that is replaced; it is so for untracked models' deletions too.
    """
    Collector.add_field_update = _add_field_update_lazily  # type: ignore[method-assign,assignment]
