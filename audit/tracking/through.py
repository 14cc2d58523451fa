"""Rows of the tables that Django makes for many-to-many fields: the database itself says which came and which went.

What writes them, `add`, `set`, a cascade, the table's own manager or an object of its model, goes through a queryset of that model. Those of
the fields that are followed are of a class whose inserts and deletes return the rows. So a row that somebody else inserts at the same moment,
where Django ignores the conflict, is recorded once, and no row has to be read before it goes. Only an UPDATE is read before and after.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from django.core.exceptions import EmptyResultSet
from django.db import connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet, sql
from django.db.models.constants import OnConflict
from django.db.models.signals import m2m_changed

from audit.tracking.changes import Changes, Plan
from audit.tracking.entries import UPDATED, Row, label_of, row
from audit.tracking.managers import TrackedOptions, give_recording_managers
from audit.tracking.querysets import locked
from audit.tracking.scopes import batch, record
from audit.tracking.values import as_json
from events.redaction import masked

Pairs = list[tuple[Any, Any]]
# By the model of the table, the fields that it is of: one, or the same as several models inherited it.
_followed: dict[type[models.Model], list[tuple[Plan, Any]]] = {}
# The object whose field is written just now, for its display text.
_at_work: WeakKeyDictionary[BaseDatabaseWrapper, weakref.ref[models.Model]] = WeakKeyDictionary()


def follow_rows(plan: Plan, field: Any) -> None:
    """Record the rows of a many-to-many field's own table. Again changes nothing."""
    through = field.remote_field.through
    if (plan, field) in _followed.setdefault(through, []):
        return
    _followed[through].append((plan, field))
    if not issubclass(through, FollowedRow):
        through.__bases__ = (FollowedRow, *through.__bases__)
    give_recording_managers(through, FollowedOptions)
    m2m_changed.connect(_note, sender=through, dispatch_uid="audit.through")


def keeper_of(plan: Plan, field: Any) -> Callable[[Any], Any]:
    """What is kept of the keys of the other side."""
    keep = plan.declaration.keeper(field)
    return masked if keep is masked else lambda key: keep(as_json(key))


def compared_fields(plan: Plan) -> list[Any]:
    """The model's many-to-many fields whose rows are told by their table, and of whose keys something is kept."""
    own = (field for fields in _followed.values() for p, field in fields if p is plan)
    return [field for field in own if keeper_of(plan, field) is not masked]


def ends_of(field: Any) -> tuple[Any, Any]:
    """The columns of the field's table: for the object that has the field, and for the other."""
    through = field.remote_field.through
    return through._meta.get_field(field.m2m_field_name()), through._meta.get_field(field.m2m_reverse_field_name())


def changes_of(plan: Plan, field: Any, keys: Iterable[Any], came: bool) -> Changes:
    """What an entry says of rows that came, or went."""
    keep = keeper_of(plan, field)
    kept = [keep(key) for key in sorted(keys, key=lambda key: (str(type(key)), key))]
    return {field.name: [[], kept] if came else [kept, []]}


class FollowedQuerySet(QuerySet[Any]):
    """A queryset of the rows whose inserts and deletes are recorded."""

    def _insert(
        self, objs: Any, fields: Any, *args: Any, using: str | None = None, on_conflict: OnConflict | None = None, **kwargs: Any
    ) -> Any:
        using = using or self.db
        with _recording(self.model, using, came=True) as pairs:
            if on_conflict is OnConflict.IGNORE:
                query: Any = sql.InsertQuery(self.model, on_conflict=on_conflict)
                query.insert_values(fields, objs)
                pairs.extend(_returned(query, self.model, using))
                return []
            inserted = super()._insert(objs, fields, *args, using=using, on_conflict=on_conflict, **kwargs)  # type: ignore[misc]
            near, far = ends_of(_followed[self.model][0][1])
            pairs.extend((getattr(obj, near.attname), getattr(obj, far.attname)) for obj in objs)
            return inserted

    def update(self, **kwargs: Any) -> int:
        """As Django's."""
        return self._moving(lambda: super(FollowedQuerySet, self).update(**kwargs))

    update.alters_data = True  # type: ignore[attr-defined]

    def _update(self, values: Any) -> int:
        updating = super()._update  # type: ignore[misc]  # what an object's `save` calls
        return self._moving(lambda: updating(values))

    def _moving(self, update: Callable[[], int]) -> int:
        """Do `update`, and record which rows are others than before it."""
        if self.query.is_sliced or self.query.combinator:
            return update()  # which refuses
        self._for_write = True
        with _recording(self.model, self.db, came=True) as came, _recording(self.model, self.db, came=False) as went:
            before = self._pairs(locked(self))
            count = update()
            after = self._pairs(QuerySet(self.model, using=self.db).in_bulk(before))
            went.extend(pair for pk, pair in before.items() if after.get(pk) != pair)
            came.extend(pair for pk, pair in after.items() if before[pk] != pair)
        return count

    def _pairs(self, rows: dict[Any, Any]) -> dict[Any, tuple[Any, Any]]:
        near, far = ends_of(_followed[self.model][0][1])
        return {pk: (getattr(row, near.attname), getattr(row, far.attname)) for pk, row in rows.items()}

    def delete(self) -> tuple[int, dict[str, int]]:
        """As Django's, and always one statement: Django deletes by primary key where somebody listens to the signals of all models."""
        query = self.query
        if query.is_sliced or query.combinator or query.distinct_fields or self._fields is not None:  # type: ignore[attr-defined]
            return super().delete()  # which refuses
        chosen: Any = self.order_by()
        chosen._for_write = True
        chosen.query.select_for_update = False
        number = chosen._raw_delete(chosen.db)
        self._result_cache = None
        return number, {self.model._meta.label: number} if number else {}

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _raw_delete(self, using: str | None) -> int:
        using = using or self.db
        query: Any = self.query.clone()
        query.__class__ = sql.DeleteQuery
        with _recording(self.model, using, came=False) as pairs:
            pairs.extend(_returned(query, self.model, using))
        return len(pairs)


class FollowedRow(models.Model):
    """The base class of a followed table's model. Abstract, as that of tracked models is."""

    class Meta:
        abstract = True

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """As Django's, which deletes past every queryset, by its queryset."""
        if self.pk is None:
            return super().delete(using=using, keep_parents=keep_parents)  # which refuses
        using = using or router.db_for_write(type(self), instance=self)
        deleted: tuple[int, dict[str, int]] = type(self)._base_manager.using(using).filter(pk=self.pk).delete()
        self.pk = None
        return deleted

    delete.alters_data = True  # type: ignore[attr-defined]


class FollowedOptions(TrackedOptions):
    """The options of a table's model: its managers give querysets that record its rows."""

    recording = FollowedQuerySet


def _returned(query: Any, through: type[models.Model], using: str) -> Pairs:
    """Execute an INSERT or a DELETE. The keys of the rows that it inserted or deleted."""
    connection, compiler, ends = connections[using], query.get_compiler(using), ends_of(_followed[through][0][1])
    returning = ", ".join(connection.ops.quote_name(end.column) for end in ends)
    found: list[Any] = []
    try:
        compiled = compiler.as_sql()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        for statement, parameters in [compiled] if isinstance(compiled, tuple) else compiled:
            cursor.execute(f"{statement} RETURNING {returning}", parameters)
            found += cursor.fetchall()
    converters = compiler.get_converters([end.get_col(through._meta.db_table) for end in ends])
    return [(near, far) for near, far in compiler.apply_converters(found, converters)]


@contextmanager
def _recording(through: type[models.Model], using: str, came: bool) -> Iterator[Pairs]:
    """Record, in one transaction with what the block does, the rows that it puts into the list."""
    pairs: Pairs = []
    with batch(using, partial(_summarised, through)):
        yield pairs
        if not pairs:
            return
        by_object: dict[Any, list[Any]] = defaultdict(list)
        for near, far in pairs:
            by_object[near].append(far)
        with transaction.mark_for_rollback_on_error(using):
            for plan, field in _followed[through]:
                keys = _of_model(plan, field, by_object, using)
                record(connections[using], [_entry(plan, field, key, by_object[key], using, came) for key in keys])


def _of_model(plan: Plan, field: Any, keys: Iterable[Any], using: str) -> list[Any]:
    """The keys, in order, that objects of the model have; where the field is inherited, others have it too."""
    chosen: Iterable[Any] = keys
    if field.model is not plan.model:
        chosen = QuerySet(plan.model, using=using).filter(pk__in=chosen).values_list("pk", flat=True)
    return sorted(chosen)


def _entry(plan: Plan, field: Any, key: Any, others: list[Any], using: str, came: bool) -> Row:
    connection = connections[using]
    instance = known() if (known := _at_work.get(connection)) is not None else None
    is_it = isinstance(instance, plan.model) and instance.pk == key
    label = label_of(plan, instance, connection) if is_it and instance is not None else ""
    return row(plan, UPDATED, key, label, changes_of(plan, field, others, came))


def _summarised(through: type[models.Model], rows: list[Row]) -> Row:
    """One entry of too many: of how many objects, and that nobody knows whose rows came or went."""
    plan, field = next((p, f) for p, f in _followed[through] if p.resource_type == rows[0].resource_type)
    return row(plan, UPDATED, None, "", {field.name: [None, None]}, {"count": len(rows)})


def _note(instance: models.Model, using: str, **kwargs: Any) -> None:
    _at_work[connections[using]] = weakref.ref(instance)
