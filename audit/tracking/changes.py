"""What of a model's fields is recorded, and how: values as JSON of their type, old beside new, without what must not be kept."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import models
from django.db.backends.utils import format_number
from django.db.models.fields.files import FieldFile
from django.utils.duration import duration_iso_string

from audit.conf import settings
from events.redaction import hashed, is_secret, masked, redacted

# What a snapshot may hold as it is: the values of these never change in place.
IMMUTABLE = (
    models.AutoField, models.BooleanField, models.CharField, models.DateField, models.DecimalField, models.DurationField,
    models.FloatField, models.ForeignKey, models.GenericIPAddressField, models.IntegerField, models.TextField, models.TimeField,
    models.UUIDField,
)  # fmt: skip
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
        if field_.name in self.mask or is_secret(field_.name):
            return masked
        if isinstance(field_, (models.ForeignKey, models.ManyToManyField)) and is_secret(field_.target_field.name):
            return hashed  # the primary key of a table of tokens is the token
        return redacted


def _itself(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class TrackedField:
    """A column of a tracked model."""

    name: str
    attname: str
    is_mutable: bool
    plain: type | None
    prepare: Callable[[Any], Any]
    keep: Callable[[Any], Any]

    def as_json(self, value: Any) -> Any:
        """The value that the column has, as JSON. An expression, whose value only the database knows, as such."""
        if value is None:
            return None
        if type(value) is self.plain:  # what most values are: nothing is to be prepared
            return _text(value) if isinstance(value, str) else value
        if hasattr(value, "resolve_expression"):
            return {"expression": str(value)}
        return as_json(self.prepare(value))

    def frozen(self, value: Any) -> Any:
        """What a snapshot keeps of the value, so that it stays what it was."""
        return orjson.dumps(self.as_json(value), option=orjson.OPT_SORT_KEYS) if self.is_mutable else value

    def thawed(self, value: Any) -> Any:
        """As JSON, the value that `frozen` kept."""
        return orjson.loads(value) if self.is_mutable else self.as_json(value)

    def written(self, names: Collection[str] | None) -> bool:
        """Whether a save with these `update_fields` writes it."""
        return names is None or self.name in names or self.attname in names


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
            TrackedField(
                f.name, f.attname, not isinstance(f, IMMUTABLE), _plain_type(f), _preparer(f), self.declaration.keeper(f)
            )
            for f in fields
        ]

    @cached_property
    def mutable(self) -> list[TrackedField]:
        """Those whose values can change in place."""
        return [f for f in self.fields if f.is_mutable]

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

    def loaded(self, values: Values) -> dict[str, Any]:
        """A snapshot of an instance's attributes as they were loaded."""
        snapshot = dict(values)
        del snapshot["_state"]  # which holds the snapshot
        for f in self.mutable:
            if f.attname in snapshot:
                snapshot[f.attname] = f.frozen(snapshot[f.attname])
        return snapshot

    def saved(self, known: Values, values: Values, names: Collection[str] | None) -> dict[str, Any]:
        """A snapshot after the fields `names` were written: what an expression gave is not known."""
        snapshot = dict(known)
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
        snapshot = dict(known)
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
                if before == after and not f.is_mutable:
                    continue
                changes[f.name] = [f.keep(before), f.keep(after)]
            if hasattr(new, "resolve_expression"):
                snapshot.pop(attname, None)  # what it gave only the database knows
            else:
                snapshot[attname] = kept
        return Difference(changes, unknown, snapshot)


def _plain_type(field_: models.Field[Any, Any]) -> type | None:
    """The type whose values are written as they are. Not for subclasses of Django's fields, which may prepare them in their way."""
    kinds = {
        str: (models.CharField, models.TextField, models.SlugField, models.EmailField, models.URLField),
        int: (
            models.IntegerField, models.BigIntegerField, models.SmallIntegerField, models.PositiveIntegerField,
            models.PositiveBigIntegerField, models.PositiveSmallIntegerField, models.AutoField, models.BigAutoField,
        ),
        bool: (models.BooleanField,),
    }  # fmt: skip
    return next((kind for kind, classes in kinds.items() if type(field_) in classes), None)


def _preparer(field_: models.Field[Any, Any]) -> Callable[[Any], Any]:
    """What makes the value that is written from one that was assigned: "5" is 5 in a column of integers."""
    if isinstance(field_, models.FileField):
        return str
    if isinstance(field_, models.DecimalField):
        return lambda value: format_number(field_.to_python(value), field_.max_digits, field_.decimal_places)
    return field_.get_prep_value


def as_json(value: Any) -> Any:  # noqa: C901 - one line a type
    """A value as JSON of its type, and as text where JSON has none."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return duration_iso_string(value)
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"size": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, Mapping):
        return {_clean(str(name)): as_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(item) for item in value]
    return _text(str(value.name or "")) if isinstance(value, FieldFile) else _text(str(value))


def _clean(value: str) -> str:
    # A NUL and half a surrogate pair are text in Python only; PostgreSQL's JSON takes neither.
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value.replace("\0", "\ufffd")


def _text(value: str) -> Any:
    value = _clean(value)
    limit = settings().MAX_VALUE_LENGTH
    if len(value) <= limit:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()
    return {"start": value[: limit // 10], "length": len(value), "sha256": digest}
