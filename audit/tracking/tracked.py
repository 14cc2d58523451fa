"""Changes of models, recorded: `audit.track(Model)`, or `@audit.tracked()` above one's own.

A tracked model gets one more base class (`Tracked`, next to Django's own), whose methods record what Django's do, and options whose managers
give querysets that do so. Why so: docs/decisions/0015-changes-are-recorded-by-the-model.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from django.apps import apps
from django.db import connections, models, router
from django.db.models.signals import class_prepared, post_delete

from audit.tracking.changes import Declaration, Plan
from audit.tracking.deletions import delete_recorded, follow_field_updates, record_deleted
from audit.tracking.managers import TrackedOptions, give_recording_managers
from audit.tracking.registry import plan_of, plans
from audit.tracking.relations import follow
from audit.tracking.saving import record_creation, record_update
from audit.tracking.scopes import scope_of_reading, transaction_of
from audit.tracking.snapshots import Snapshot, known_values, remember

AnyModel = TypeVar("AnyModel", bound=models.Model)


def track(
    model: type[models.Model],
    *,
    exclude: Iterable[str] = (),
    mask: Iterable[str] = (),
    hash: Iterable[str] = (),
    open: Iterable[str] = (),
    label: Callable[[Any], str] = str,
) -> None:
    """Record every change of the model's objects in the audit log; of models that inherit from it and of its proxies too.

    `exclude`: fields that are not recorded, so that a save which changes nothing else leaves no entry. `mask`: fields whose
    changes are recorded without the values. `hash`: of whose values a keyed hash is kept. `open`: fields whose values are kept although
    their names sound like secrets. `label`: the display text of an object; `str` unless given, and never at the cost of a query.

    Call it in `AppConfig.ready()`, or use the decorator. Raises TypeError for what is no concrete model of its own, or is tracked.
    """
    if not isinstance(model, type) or not issubclass(model, models.Model) or model._meta.abstract or model._meta.auto_created:
        raise TypeError(f"{model!r} can't be tracked: it must be a concrete model. Tracking one follows its many-to-many fields.")
    if model._meta.proxy:
        raise TypeError(f"{model.__name__} is a proxy: track {model._meta.concrete_model.__name__}.")  # type: ignore[union-attr]
    if model in plans:
        raise TypeError(f"{model.__name__} is tracked already.")
    _track(model, Declaration(frozenset(exclude), frozenset(mask), frozenset(hash), frozenset(open), label))
    if apps.models_ready:
        complete()


def tracked(**declared: Any) -> Callable[[type[AnyModel]], type[AnyModel]]:
    """`track` as a decorator of a model, with the same parameters."""

    def decorate(model: type[AnyModel]) -> type[AnyModel]:
        track(model, **declared)
        return model

    return decorate


def complete() -> None:
    """Track what inherits from tracked models, and follow many-to-many fields: once all models are there. Again changes nothing."""
    for model in apps.get_models(include_auto_created=False):
        if issubclass(model, Tracked):
            _inherit(model)
    follow_field_updates()
    class_prepared.connect(_on_prepared, dispatch_uid="audit.tracking")


def _track(model: type[models.Model], declared: Declaration) -> None:
    concrete = model._meta.concrete_model
    assert concrete is not None
    plans[model] = plans[concrete] if concrete in plans else Plan(concrete, declared)
    if not issubclass(model, Tracked):
        # Next to Django's own: what the project's classes do themselves, a soft deletion, is theirs, and what they pass on is recorded.
        bases = model.__bases__
        at = bases.index(models.Model) if models.Model in bases else len(bases)
        model.__bases__ = (*bases[:at], Tracked, *bases[at:])
    give_recording_managers(model, TrackedOptions)
    post_delete.connect(_on_deleted, sender=model, dispatch_uid="audit.tracking")


class Tracked(models.Model):
    """The base class of tracked models. Abstract, so that migrations don't know of it."""

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any) -> Any:
        new = super().from_db(db, field_names, values, **kwargs)
        scope = scope_of_reading(new._state.db or "default")
        new._state.snapshot = Snapshot(plan_of(cls).loaded(zip(field_names, values, strict=False)), scope)  # type: ignore[attr-defined]
        return new

    def refresh_from_db(self, using: str | None = None, fields: Any = None, from_queryset: Any = None) -> None:
        names = None if fields is None else set(fields)
        super().refresh_from_db(using=using, fields=fields, from_queryset=from_queryset)
        known = {} if names is None else known_values(self, self._state.db or "default") or {}
        scope = scope_of_reading(self._state.db or "default")
        remember(self, plan_of(type(self)).saved(known, self.__dict__, names), scope)

    def _save_table(self, raw: bool = False, *args: Any, **kwargs: Any) -> Any:
        self._state.raw = raw  # type: ignore[attr-defined]
        return super()._save_table(raw, *args, **kwargs)  # type: ignore[misc]

    def _do_update(  # type: ignore[override]  # as in Django 5.2
        self, base_qs: Any, using: str, pk_val: Any, values: Any, update_fields: Any, forced_update: bool
    ) -> bool:
        def update() -> bool:
            doing: Any = super(Tracked, self)._do_update
            return bool(doing(base_qs, using, pk_val, values, update_fields, forced_update))

        if base_qs.model is not self._meta.concrete_model:  # a parent's table: its columns are this object's
            return update()
        names = _written_raw(self, self._state.raw) if update_fields is None else frozenset(update_fields)  # type: ignore[attr-defined]
        in_one = bool(values) and (forced_update or not self._meta.select_on_save)
        return record_update(self, using, names, update, (lambda: base_qs.filter(pk=pk_val)) if in_one else None, values)

    def _do_insert(self, manager: Any, using: str, fields: Any, returning_fields: Any, raw: bool) -> Any:
        inserting = super()._do_insert  # type: ignore[misc]
        if manager.model is not self._meta.concrete_model:
            return inserting(manager, using, fields, returning_fields, raw)
        connection = connections[using]
        computed = plan_of(type(self)).computed
        number = len(returning_fields)
        with transaction_of(connection):
            results = inserting(manager, using, fields, [*returning_fields, *computed], raw)
            given = results[0] if results else ()
            for value, field in zip(given[:number], returning_fields, strict=True):
                setattr(self, field.attname, value)
            written = {field.attname: value for field, value in zip(computed, given[number:], strict=True)}
            record_creation(self, connection, written, _written_raw(self, raw))
        return [row[:number] for row in results]

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        given = kwargs.get("using", args[0] if args else None)
        using = given if isinstance(given, str) else router.db_for_write(type(self), instance=self)
        one: Any = super().delete
        return delete_recorded(plan_of(type(self)), using, self.pk, lambda: one(*args, **kwargs))

    delete.alters_data = True  # type: ignore[attr-defined]


def _written_raw(instance: models.Model, raw: bool) -> frozenset[str] | None:
    """The columns that a raw save writes, where that is not all: a fixture has parents' as objects of their own."""
    concrete = plan_of(type(instance)).model._meta
    return frozenset(f.attname for f in concrete.local_concrete_fields) if raw and concrete.parents else None


def _inherit(model: type[models.Model]) -> None:
    if model not in plans:
        _track(model, plan_of(model).declaration)
    follow(plan_of(model))


def _on_prepared(sender: type[models.Model], **kwargs: Any) -> None:
    """A model that is made later, as a proxy in a module of the admin: it inherits as well, once it is registered."""
    if issubclass(sender, Tracked):
        sender._meta.apps.lazy_model_operation(_inherit, (sender._meta.app_label, sender._meta.model_name))


def _on_deleted(instance: models.Model, using: str, **kwargs: Any) -> None:
    record_deleted(plan_of(type(instance)), instance, using)
