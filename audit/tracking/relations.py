"""Many-to-many fields of tracked models: which rows came and went, whichever side it was done from."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import connections, models
from django.db.models.signals import m2m_changed

from audit.tracking.changes import Plan
from audit.tracking.entries import UPDATED, label_of, row
from audit.tracking.registry import plans
from audit.tracking.scopes import record
from audit.tracking.through import changes_of, follow_rows

# Where the project has a model of its own between the two, signals tell, in the transaction of the change. What goes is read before it does,
# what came is told after: Django ignores no conflict there.
_ADDED, _REMOVED = ("post_add",), ("pre_remove", "pre_clear")


def follow(plan: Plan) -> None:
    """Record the model's many-to-many fields. Again changes nothing."""
    for field in plan.many_to_many:
        if field.model is not plan.model and field.model in plans:
            continue  # an inherited one: recorded as the parent's
        through: Any = field.remote_field.through
        if through._meta.auto_created:
            follow_rows(plan, field)
            continue
        uid = f"audit.{plan.resource_type}.{field.name}"
        receiver = partial(_on_changed, plan, field)
        m2m_changed.connect(receiver, sender=through, weak=False, dispatch_uid=uid)


def _on_changed(
    plan: Plan,
    field: Any,
    action: str,
    instance: models.Model,
    reverse: bool,
    pk_set: set[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    own = field.m2m_target_field_name() if not reverse else field.m2m_reverse_target_field_name()
    key = getattr(instance, own)
    if action in _REMOVED:
        _record(plan, field, instance, reverse, key, _there(field, reverse, key, pk_set, using), using, came=False)
    elif action in _ADDED:
        _record(plan, field, instance, reverse, key, pk_set or (), using, came=True)


def _there(field: Any, reverse: bool, key: Any, pk_set: set[Any] | None, using: str) -> list[Any]:
    """Those of the other side that are there, of `pk_set` or of all. Locked: nobody else takes them away now."""
    near, far = field.m2m_field_name(), field.m2m_reverse_field_name()
    if reverse:
        near, far = far, near
    rows = field.remote_field.through._base_manager.using(using).filter(**{near: key})
    if pk_set is not None:
        rows = rows.filter(**{f"{far}__in": pk_set})
    attname = field.remote_field.through._meta.get_field(far).attname
    return list(rows.select_for_update().values_list(attname, flat=True))


def _record(
    plan: Plan, field: Any, instance: models.Model, reverse: bool, key: Any, others: Iterable[Any], using: str, *, came: bool
) -> None:
    """The field is the forward side's: from there one entry, from the other side one for each object that has the field."""
    others = sorted(others, key=lambda other: (str(type(other)), other))
    if not others:
        return
    connection = connections[using]
    rows = []
    if not reverse:
        rows.append(row(plan, UPDATED, instance.pk, label_of(plan, instance, connection), changes_of(plan, field, others, came)))
    if reverse or field.remote_field.symmetrical:
        rows += [
            row(plan, UPDATED, other, "", changes_of(plan, field, [key], came)) for other in others if reverse or other != key
        ]
    record(connection, rows)
