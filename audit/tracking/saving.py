"""What one `save()` changes, with its entry: in the caller's transaction, or in one of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql import UpdateQuery

from audit.tracking.entries import CREATED, UPDATED, Row, label_of, row, statement
from audit.tracking.registry import plan_of
from audit.tracking.scopes import ensure_together, ledger, record, scope_here, transaction_of
from audit.tracking.snapshots import known_values, remember


def record_creation(
    instance: models.Model, connection: BaseDatabaseWrapper, written: dict[str, Any], names: Collection[str] | None
) -> None:
    """Record an object whose row was inserted, with all its values, or those of the fields `names`: its parents' were there.

    `written` are values that it has not itself.
    """
    plan, values = plan_of(type(instance)), instance.__dict__ | written
    changes = plan.created(values if names is None else {name: values.get(name) for name in names})
    data = None if names is None else {"parent": "not written"}
    entry = row(plan, CREATED, instance.pk, label_of(plan, instance, connection), changes, data)
    remember(instance, plan.saved({}, values, names), record(connection, [entry]))


def record_update(
    instance: models.Model,
    using: str,
    names: Collection[str] | None,
    update: Callable[[], bool],
    query: Callable[[], models.QuerySet[Any]] | None,
    values: Any,
) -> bool:
    """Do `update`, and record what it changes of the fields `names`. Whether there was a row to update.

    PostgreSQL updates and records in one statement: `query` for the row, and the `values` by field, say how. None: it can't.
    """
    plan, connection = plan_of(type(instance)), connections[using]
    known = known_values(instance, using) or {}
    written = instance.__dict__ | {
        field.attname: value for field, _, value in values
    }  # a field may write what it does not assign
    changes, unknown, snapshot = plan.changed(known, written, names)
    if not changes:
        return update()
    ensure_together(connection, plan.resource_type)
    data = {"old_unknown": unknown} if unknown else None
    entry = row(plan, UPDATED, instance.pk, label_of(plan, instance, connection), changes, data)
    if query is not None and connection.vendor == "postgresql" and ledger(connection).batch is None:
        if not _update_and_insert(connection, query(), values, entry):
            return False
        scope = scope_here(connection, [entry])
    else:
        with transaction_of(connection):
            if not update():
                return False
            scope = record(connection, [entry])
    remember(instance, snapshot, scope)
    return True


def _update_and_insert(connection: BaseDatabaseWrapper, query: models.QuerySet[Any], values: Any, entry: Row) -> bool:
    update: Any = query.query.chain(UpdateQuery)
    update.add_update_fields(values)
    update.annotations = {}
    sql, parameters = update.get_compiler(connection.alias).as_sql()
    inserting, row_parameters = statement(connection, entry)
    with connection.cursor() as cursor:
        cursor.execute(f"WITH changed AS ({sql} RETURNING 1) {inserting} FROM changed", (*parameters, *row_parameters))
        return bool(cursor.rowcount > 0)
