"""What of a model's fields is recorded, and how: values as JSON of their type, old beside new, without what must not be kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import orjson
from django.db import models

from audit.tracking.values import TrackedField, is_djangos, is_mutable, plain_type, preparer
from events.redaction import hashed, is_secret, masked, redacted

MISSING = object()
# Field names to old and new value.
Changes = dict[str, list[Any]]
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Declaration:
    """What the project says about a tracked model. Names of fields, many-to-many fields too."""

    exclude: frozenset[str] = frozenset()
    mask: frozenset[str] = frozenset()
    hash: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()
    label: Callable[[Any], str] = field(default=str)

    @property
    def names(self) -> frozenset[str]:
        """All fields that it names."""
        return self.exclude | self.mask | self.hash | self.open

    def keeper(self, field_: models.Field[Any, Any]) -> Callable[[Any], Any]:
        """What is kept of the field's values: all but what gives itself away, that there is one, or their hash."""
        if field_.name in self.hash:
            return hashed
        if field_.name in self.open:
            return _itself
        if field_.name in self.mask or is_secret(field_.name) or _is_encrypted(field_):
            return masked
        if isinstance(field_, (models.ForeignKey, models.ManyToManyField)) and is_secret(field_.target_field.name):
            return hashed  # the primary key of a table of tokens is the token
        return redacted


def _itself(value: Any) -> Any:
    return value


def _is_encrypted(field_: models.Field[Any, Any]) -> bool:
    """Whether the project took care that not even the database has the plain value: known by the name of the field's class."""
    return any("encrypt" in cls.__name__.lower() for cls in type(field_).__mro__)


class Difference(NamedTuple):
    """Old beside new value of the fields that differ, the names of those whose old value is not known, and a snapshot after."""

    changes: Changes
    unknown: list[str]
    snapshot: dict[str, Any]


class Plan:
    """How changes of one concrete model are recorded."""

    def __init__(self, model: type[models.Model], declaration: Declaration) -> None:
        self.model = model
        self.declaration = declaration
        self.resource_type = model._meta.label_lower

    @cached_property
    def fields(self) -> list[TrackedField]:
        """The columns, parents' too. Not generated ones: they follow from others."""
        fields = [f for f in self.model._meta.concrete_fields if not f.generated and f.name not in self.declaration.exclude]
        return [
            TrackedField(f.name, f.attname, is_mutable(f), plain_type(f), preparer(f), self.declaration.keeper(f)) for f in fields
        ]

    @cached_property
    def mutable(self) -> list[TrackedField]:
        """Those whose values can change in place."""
        return [f for f in self.fields if f.is_mutable]

    @cached_property
    def computed(self) -> list[models.Field[Any, Any]]:
        """Columns of its table whose field decides itself what a new row gets: it need not assign that to the object."""
        own = self.model._meta.local_concrete_fields
        return [f for f in own if not f.generated and not is_djangos(type(f).pre_save)]

    @cached_property
    def many_to_many(self) -> list[models.ManyToManyField[Any, Any]]:
        """The many-to-many fields that are recorded."""
        return [f for f in self.model._meta.many_to_many if f.name not in self.declaration.exclude]

    @cached_property
    def secrets(self) -> list[str]:
        """The attributes whose values must not be kept."""
        keepers = ((f.attname, self.declaration.keeper(f)) for f in self.model._meta.concrete_fields)
        return [name for name, keep in keepers if keep in (masked, hashed)]

    @cached_property
    def pk_is_secret(self) -> bool:
        """Whether the primary key must not be kept, as that of a table of tokens."""
        pk = self.model._meta.pk
        return pk is not None and pk.attname in self.secrets

    def loaded(self, values: Values | Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """A snapshot of values by attribute, as they were loaded."""
        snapshot = dict(values)
        snapshot.pop("_state", None)  # an instance's: it holds the snapshot
        for f in self.mutable:
            if f.attname in snapshot:
                try:
                    snapshot[f.attname] = f.frozen(snapshot[f.attname])
                except Exception:  # noqa: BLE001 - the project's field can't write what it has read: that is unknown, and can be read
                    del snapshot[f.attname]
        return snapshot

    def saved(self, known: Values, values: Values, names: Collection[str] | None) -> dict[str, Any]:
        """A snapshot after the fields `names` were written: what an expression gave is not known."""
        snapshot = dict(known) or self._key(values)
        for f in self.fields:
            if f.written(names) and f.attname in values:
                value = values[f.attname]
                if hasattr(value, "resolve_expression"):
                    snapshot.pop(f.attname, None)
                else:
                    snapshot[f.attname] = f.frozen(value)
        return snapshot

    def created(self, values: Values) -> Changes:
        """All values that are not NULL, each beside None."""
        new = ((f, f.as_json(values.get(f.attname))) for f in self.fields)
        return {f.name: [None, f.keep(value)] for f, value in new if value is not None}

    def deleted(self, known: Values) -> tuple[Changes, list[str]]:
        """All known values that are not NULL, each before None; and the names of fields whose value is not known."""
        old = [(f, f.thawed(known[f.attname])) for f in self.fields if f.attname in known]
        changes = {f.name: [f.keep(value), None] for f, value in old if value is not None}
        return changes, [f.name for f in self.fields if f.attname not in known]

    def changed(self, known: Values, values: Values, names: Collection[str] | None) -> Difference:
        """What writing the fields `names` changes."""
        changes: Changes = {}
        unknown: list[str] = []
        snapshot = dict(known) or self._key(values)
        for f in self.fields:
            attname = f.attname
            old, new = known.get(attname, MISSING), values.get(attname, MISSING)
            if old is new or new is MISSING or not (names is None or f.written(names)):
                continue
            kept = f.frozen(new)
            if old == kept:
                continue
            after = f.thawed(kept)
            if old is MISSING:
                unknown.append(f.name)
                changes[f.name] = [None, f.keep(after)]
            else:
                before = f.thawed(old)
                if before == after and (not f.is_mutable or _same_json(before, after)):
                    continue
                changes[f.name] = [f.keep(before), f.keep(after)]
            if hasattr(new, "resolve_expression"):
                snapshot.pop(attname, None)  # what it gave only the database knows
            else:
                snapshot[attname] = kept
        return Difference(changes, unknown, snapshot)

    def _key(self, values: Values) -> dict[str, Any]:
        """What a snapshot tells the row by, whether the key is recorded or not."""
        return {f.attname: values.get(f.attname) for f in self.model._meta.pk_fields}


def _same_json(one: Any, other: Any) -> bool:
    """Whether equal values are the same: to Python, true is 1."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
