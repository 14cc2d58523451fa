"""Rows of the tables that Django makes for users' and groups' many-to-many fields, written past the fields: by the table's own model
(`User.groups.through`), of which Django sends no signal. They are told as if they had been written by the field.

What a field writes goes through the same querysets, between two signals of its own, which tell it: it must not be told twice.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from django.db import models, router, transaction
from django.db.models import Manager, QuerySet
from django.db.models.constants import OnConflict
from django.db.models.signals import m2m_changed

# Called with `action` (`post_add`, or before it goes `pre_remove`), `instance`, `reverse`, `pk_set`, `using`, as a receiver of `m2m_changed`.
Teller = Callable[..., None]
Pair = tuple[Any, Any]

UID: Final = "security.rows"
_fields: dict[type[models.Model], tuple[Any, Teller]] = {}


class _Announced(threading.local):
    """What fields have said that they write next, in this thread."""

    def __init__(self) -> None:
        self.writes: set[tuple[type[models.Model], str, str]] = set()


_announced = _Announced()


def follow(field: Any, teller: Teller) -> None:
    """Tell of the field's rows, unless a model of the project's own is between the two. Again changes nothing."""
    through = field.remote_field.through
    if not through._meta.auto_created or through in _fields:
        return
    _fields[through] = field, teller
    for manager in through._meta.local_managers:
        manager.__class__ = _Manager
    through._meta.base_manager_name = through._meta.local_managers[0].name  # what an object's `save` asks
    through._meta._expire_cache()
    through.delete = _delete
    m2m_changed.connect(_on_changed, sender=through, dispatch_uid=UID)


class _QuerySet(QuerySet[Any]):
    """A queryset of such rows."""

    _is_by_field = False

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        self._for_write = True
        self._is_by_field = _is_announced(self.model, self.db, "add")
        return super().bulk_create(objs, *args, **kwargs)

    def _insert(
        self, objs: Any, fields: Any, *args: Any, using: str | None = None, on_conflict: OnConflict | None = None, **kwargs: Any
    ) -> Any:
        using, inserting = using or self.db, super()._insert  # type: ignore[misc]
        if self._is_by_field:
            return inserting(objs, fields, *args, using=using, on_conflict=on_conflict, **kwargs)
        with transaction.atomic(using=using):
            pairs = _pairs_of(self.model, objs) - (_there(self.model, objs, using) if on_conflict else set())
            inserted = inserting(objs, fields, *args, using=using, on_conflict=on_conflict, **kwargs)
            _tell(self.model, "post_add", pairs, using)
        return inserted

    def delete(self) -> tuple[int, dict[str, int]]:
        self._for_write = True
        query = self.query
        is_refused = query.is_sliced or query.combinator or query.distinct_fields or self._fields is not None  # type: ignore[attr-defined]
        if is_refused or _is_announced(self.model, self.db, "remove"):
            return super().delete()
        with transaction.atomic(using=self.db):
            _tell(self.model, "pre_remove", set(self.values_list(*_columns(self.model))), self.db)
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class _Manager(Manager[Any]):
    _queryset_class = _QuerySet


def _delete(row: Any, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
    """An object's `delete`, which Django does past every queryset."""
    if row.pk is None:
        return models.Model.delete(row, using, keep_parents)  # which refuses
    using = using or router.db_for_write(type(row), instance=row)
    deleted: tuple[int, dict[str, int]] = type(row)._base_manager.using(using).filter(pk=row.pk).delete()
    row.pk = None
    return deleted


def _on_changed(sender: type[models.Model], action: str, using: str, **kwargs: Any) -> None:
    when, _, what = action.partition("_")
    write = (sender, using, "add" if what == "add" else "remove")
    if when == "pre":
        _announced.writes.add(write)
    else:
        _announced.writes.discard(write)


def _is_announced(through: type[models.Model], using: str, what: str) -> bool:
    """Whether a field has said that it writes now: once, so that what it did not come to hides nothing else."""
    is_announced = (through, using, what) in _announced.writes
    _announced.writes.discard((through, using, what))
    return is_announced


def _columns(through: type[models.Model]) -> tuple[str, str]:
    """That of who has the field, and that of what it holds."""
    field, _ = _fields[through]
    names = (field.m2m_field_name(), field.m2m_reverse_field_name())
    near, far = (through._meta.get_field(name).attname for name in names)  # type: ignore[union-attr]
    return near, far


def _pairs_of(through: type[models.Model], rows: Collection[Any]) -> set[Pair]:
    near, far = _columns(through)
    return {(getattr(row, near), getattr(row, far)) for row in rows}


def _there(through: type[models.Model], rows: Collection[Any], using: str) -> set[Pair]:
    """What there is already of those who are in the rows."""
    near, far = _columns(through)
    holders = {pair[0] for pair in _pairs_of(through, rows)}
    return set(QuerySet(through, using=using).filter(**{f"{near}__in": holders}).values_list(near, far))


def _tell(through: type[models.Model], action: str, pairs: set[Pair], using: str) -> None:
    field, teller = _fields[through]
    by_holder: dict[Any, set[Any]] = defaultdict(set)
    for near, far in pairs:
        by_holder[near].add(far)
    for holder in field.model._base_manager.using(using).filter(pk__in=by_holder).order_by("pk"):
        teller(action=action, instance=holder, reverse=False, pk_set=by_holder[holder.pk], using=using)
