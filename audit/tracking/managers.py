"""Managers whose querysets record, made from those of a model: its options object gives them."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db.models import Manager, QuerySet
from django.db.models.options import Options, make_immutable_fields_list
from django.utils.functional import cached_property

from audit.tracking.querysets import TrackedQuerySet, recording_class


class TrackedOptions(Options):  # type: ignore[type-arg]
    """The options of a model whose managers, `_base_manager` too, give querysets that record."""

    recording: type[QuerySet[Any]] = TrackedQuerySet

    @cached_property
    def managers(self) -> Any:
        """All managers, each with querysets that record."""
        return make_immutable_fields_list("managers", (_recording(m, self.recording) for m in super().managers))

    @cached_property
    def base_manager(self) -> Any:
        """What Django itself uses, to set references to NULL for example."""
        return _recording(super().base_manager, self.recording)


def give_recording_managers(model: Any, options: type[TrackedOptions]) -> None:
    """Have the model's managers made by these options."""
    model._meta.__class__ = options
    model._meta._expire_cache()


def _recording(manager: Any, recording: type[QuerySet[Any]]) -> Any:
    """The manager, with querysets that record. Those of related objects, whose class Django derives from it, record too."""
    if not hasattr(manager, "_audit_records"):
        manager.__class__ = _recording_class(type(manager), recording)  # type: ignore[arg-type]  # a class is hashable
    return manager


@cache
def _recording_class(cls: Any, recording: type[QuerySet[Any]]) -> Any:
    def get_queryset(self: Any) -> QuerySet[Any]:
        queryset = super(made, self).get_queryset()
        if not isinstance(queryset, recording):
            queryset.__class__ = recording_class(type(queryset), recording)  # type: ignore[arg-type]
        return queryset

    def equals(self: Any, other: Any) -> bool:
        return isinstance(other, cls) and bool(self._constructor_args == other._constructor_args)

    # For migrations it is the manager that it was: they compare it, as Django does it, and name it by its class.
    same = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    # Django's own manager makes its querysets of a class; others make them as they like.
    makes = {"_queryset_class": recording} if cls is Manager else {"get_queryset": get_queryset}
    # One base class only, or Python refuses to give the class to a manager whose first base has another layout.
    made: Any = type(cls.__name__, (cls,), {**same, **makes, "_audit_records": True, "__eq__": equals, "__hash__": cls.__hash__})
    return made
