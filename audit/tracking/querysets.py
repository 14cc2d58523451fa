"""Bulk writes of tracked models, recorded row by row: querysets that do what those of the model do, and record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from django.db import connections, models, transaction
from django.db.models import QuerySet

from audit.conf import settings
from audit.models import Outcome
from audit.tracking.changes import Plan
from audit.tracking.criteria import criterion_of, summary
from audit.tracking.deletions import delete_recorded
from audit.tracking.entries import CREATED, UPDATED, Row, label_of, row
from audit.tracking.registry import plan_of
from audit.tracking.scopes import batch, record, scope_here
from audit.tracking.snapshots import known_values, remember


class TrackedQuerySet(QuerySet[Any]):
    """A queryset whose bulk writes are recorded."""

    def update(self, **kwargs: Any) -> int:
        """As Django's. The rows are locked and read before, and read again after: what an expression gave is seen then."""
        self._for_write = True
        plan = plan_of(self.model)
        fields = [self.model._meta.get_field(name) for name in kwargs if name not in self.query.annotations]
        attnames = {getattr(f, "attname", None) for f in fields}
        written = [f.attname for f in plan.fields if f.attname in attnames]
        if not written or self.query.is_sliced or self.query.combinator:
            return super().update(**kwargs)
        with batch(self.db, summary(plan, criterion_of(plan, self.query))):
            pk = self.model._meta.pk
            rows = locked(self, settings().BULK_LIMIT + 1)
            if len(rows) > settings().BULK_LIMIT or (pk is not None and pk.attname in written):
                count = super().update(**kwargs)
                with transaction.mark_for_rollback_on_error(self.db):
                    self._record_many(plan, written, kwargs, count)
            else:
                count = super(TrackedQuerySet, self.filter(pk__in=list(rows))).update(**kwargs) if rows else 0
                with transaction.mark_for_rollback_on_error(self.db):
                    self._record_each(plan, written, rows)
        self._result_cache = None
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None) -> int:
        """As Django's, which updates in batches: more rows than the limit give one entry all the same."""
        self._for_write = True
        objs, fields = tuple(objs), list(fields)
        plan = plan_of(self.model)
        with batch(self.db, summary(plan, {"keys": len(objs)})):
            count = super().bulk_update(objs, fields, batch_size)
            scope = scope_here(connections[self.db]) if objs else None
            for instance in objs:
                known = known_values(instance, self.db) or {}
                remember(instance, plan.saved(known, instance.__dict__, fields), scope)
        return count

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """As Django's. Where conflicts are ignored or updated nobody learns which rows that were: one entry says what was offered."""
        self._for_write = True
        objs = list(objs)
        if not objs:
            return super().bulk_create(objs, *args, **kwargs)
        plan = plan_of(self.model)
        on_conflict = _on_conflict(*args, **kwargs)
        with batch(self.db, summary(plan, None)):
            created = super().bulk_create(objs, *args, **kwargs)
            with transaction.mark_for_rollback_on_error(self.db):
                if on_conflict:
                    record(connections[self.db], [_offered(plan, objs, on_conflict)])
                else:
                    self._record_created(plan, objs)
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """As Django's: its collector loads the rows of a tracked model, and tells of each."""
        self._for_write = True
        plan = plan_of(self.model)
        return delete_recorded(plan, self.db, self.query, super().delete)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def __reduce__(self) -> Any:
        return _unpickled, (type(self).__dict__.get("untracked", QuerySet),), self.__getstate__()

    def _record_created(self, plan: Plan, objs: list[Any]) -> None:
        connection = connections[self.db]
        labelled = ((o, label_of(plan, o, connection)) for o in objs)
        scope = record(connection, [row(plan, CREATED, o.pk, label, plan.created(o.__dict__)) for o, label in labelled])
        for instance in objs:
            remember(instance, plan.saved({}, instance.__dict__, None), scope)

    def _record_each(self, plan: Plan, written: list[str], rows: dict[Any, Any]) -> None:
        after = _plain(self).filter(pk__in=list(rows)).values_list("pk", *written)
        connection = connections[self.db]
        entries = []
        for pk, *values in after:
            instance = rows[pk]
            changes = plan.changed(plan.loaded(instance.__dict__), dict(zip(written, values, strict=True)), written).changes
            if changes:
                entries.append(row(plan, UPDATED, pk, label_of(plan, instance, connection), changes))
        record(connection, entries)

    def _record_many(self, plan: Plan, written: list[str], kwargs: dict[str, Any], count: int) -> None:
        if not count:
            return
        fields = [f for f in plan.fields if f.attname in written]
        given = {f.name: kwargs.get(f.name, kwargs.get(f.attname)) for f in fields}
        values = {f.name: getattr(given[f.name], "pk", given[f.name]) for f in fields}
        changes = {f.name: [None, f.keep(f.as_json(values[f.name]))] for f in fields}
        data = {"count": count, "criterion": criterion_of(plan, self.query), "old_unknown": [f.name for f in fields]}
        record(connections[self.db], [row(plan, UPDATED, None, "", changes, data)])


def locked(queryset: QuerySet[Any], number: int | None = None) -> dict[Any, Any]:
    """The first rows of the queryset by key, as the database has them, and nobody changes them until the transaction ends."""
    chosen = queryset.order_by().values("pk")
    chosen.query.select_for_update = False  # which an UPDATE does not have, and a query with DISTINCT can't
    rows = _plain(queryset).filter(pk__in=chosen).select_for_update()
    return {instance.pk: instance for instance in rows[:number]}


def _plain(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """All rows of its model. Not by a manager: what is written need not be what that shows, and it may join what can't be locked."""
    return QuerySet(queryset.model, using=queryset.db)


def _on_conflict(
    batch_size: int | None = None, ignore_conflicts: bool = False, update_conflicts: bool = False, *args: Any, **kwargs: Any
) -> str:
    return "ignore" if ignore_conflicts else "update" if update_conflicts else ""


def _offered(plan: Plan, objs: Sequence[models.Model], on_conflict: str) -> Row:
    offered = [{name: new for name, (_, new) in plan.created(o.__dict__).items()} for o in objs[: settings().BULK_LIMIT]]
    data = {"count": len(objs), "on_conflict": on_conflict, "offered": offered}
    return row(plan, CREATED, None, "", None, data, outcome=Outcome.UNKNOWN)


@cache
def recording_class(cls: type[QuerySet[Any]], recording: type[QuerySet[Any]]) -> type[QuerySet[Any]]:
    """The class of querysets that do what those of `cls` do, and record as those of `recording` do."""
    if cls is QuerySet:
        return recording
    # Before Django's queryset and behind the project's: what an `update` of its own adds is seen.
    return type(f"Tracked{cls.__name__}", (cls, recording), {"untracked": cls})


def _unpickled(cls: type[QuerySet[Any]]) -> QuerySet[Any]:
    made = recording_class(cls, TrackedQuerySet)
    return made.__new__(made)
