"""Values of fields as JSON of their type, and what a snapshot keeps of one, so that it stays what it was."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import orjson
from django.db import models
from django.db.backends.utils import format_number
from django.db.models.fields.files import FieldFile
from django.utils.duration import duration_iso_string

from audit.conf import settings

# What a snapshot may hold as it is: the values of these never change in place. Not those of a subclass: a project's `JsonTextField` has dicts.
IMMUTABLE = (
    models.AutoField, models.BooleanField, models.CharField, models.DateField, models.DecimalField, models.DurationField,
    models.FloatField, models.ForeignKey, models.GenericIPAddressField, models.IntegerField, models.TextField, models.TimeField,
    models.UUIDField,
)  # fmt: skip
# JSON that is kept stands in others: in the list of old and new, in the entry's object. orjson writes 254 in one another, and no more.
AROUND = 4
# Values that never change in place, whatever field they are of. Not those that Python takes for an int: JSON does not.
UNCHANGING = frozenset({str, int, Decimal, datetime, date, time, timedelta, UUID})
# What JSON can hold other values in.
CONTAINERS = (dict, list, tuple, set)


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
        """The value that the column has, as JSON. Of an expression, whose value only the database knows, the kind: its text may be a secret."""
        if value is None:
            return None
        if type(value) is self.plain:  # what most values are: nothing is to be prepared
            return _text(value) if isinstance(value, str) else value
        if hasattr(value, "resolve_expression"):
            return {"expression": type(value).__name__}
        prepared = self.prepare(value)
        return orjson.loads(dumped(prepared)) if self.is_mutable else as_json(prepared)

    def frozen(self, value: Any) -> Any:
        """What a snapshot keeps of the value: itself where it can't change, else its JSON."""
        if not self.is_mutable or value is None or type(value) in UNCHANGING:
            return value
        return dumped({"expression": type(value).__name__} if hasattr(value, "resolve_expression") else self.prepare(value))

    def thawed(self, value: Any) -> Any:
        """As JSON, the value that `frozen` kept."""
        return orjson.loads(value) if self.is_mutable and type(value) is bytes else self.as_json(value)

    def written(self, names: Collection[str] | None) -> bool:
        """Whether a save with these `update_fields` writes it."""
        return names is None or self.name in names or self.attname in names


def is_mutable(field_: models.Field[Any, Any]) -> bool:
    """Whether values of the field may change in place. What is the key of an object can't."""
    return not (field_.primary_key or (isinstance(field_, IMMUTABLE) and is_djangos(type(field_))))


def is_djangos(thing: Any) -> bool:
    """Whether Django made the class or the function, not a project."""
    return str(thing.__module__).startswith("django.")


def plain_type(field_: models.Field[Any, Any]) -> type | None:
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


def preparer(field_: models.Field[Any, Any]) -> Callable[[Any], Any]:
    """What makes the value that is written from one that was assigned: "5" is 5 in a column of integers.

    What a project's own field writes for an object need not be the same twice (a random vector, keys in any order): that is recorded as it is in
    Python. If it goes into bytes (encrypted, compressed) they stay a digest.
    """
    if isinstance(field_, models.FileField):
        return str
    if isinstance(field_, models.DecimalField):
        return lambda value: format_number(field_.to_python(value), field_.max_digits, field_.decimal_places)
    prepare = field_.get_prep_value
    if is_djangos(type(field_)):
        return prepare
    if isinstance(field_, models.BinaryField):
        return lambda value: dumped(value) if isinstance(value, (str, *CONTAINERS)) else prepare(value)
    return lambda value: value if isinstance(value, CONTAINERS) else prepare(value)


def dumped(value: Any) -> bytes:
    """The value as JSON, the same for the same value. Of what is too long or too deep, the digest."""
    try:
        text = orjson.dumps([[[[as_json(value)]]]], option=orjson.OPT_SORT_KEYS)[
            AROUND:-AROUND
        ]  # a copy has no more than its size
    except (RecursionError, TypeError):  # orjson's own error is a TypeError
        return orjson.dumps({"sha256": _deep_digest(value)})
    if len(text) <= settings().MAX_JSON_LENGTH:
        return text
    return orjson.dumps({"length": len(text), "sha256": hashlib.sha256(text).hexdigest()})


def _deep_digest(value: Any) -> str:
    """Of a value that is nested however deep: of its parts, one after the other."""
    digest, parts = hashlib.sha256(), [value]
    while parts:
        part = parts.pop()
        if isinstance(part, Mapping):
            parts += [one for pair in sorted(part.items(), key=lambda pair: str(pair[0])) for one in pair]
            digest.update(b"{%d\n" % len(part))
        elif isinstance(part, (list, tuple)):
            parts += part
            digest.update(b"[%d\n" % len(part))
        else:
            digest.update(orjson.dumps(as_json(part)) + b"\n")
    return digest.hexdigest()


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
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((as_json(item) for item in value), key=repr)  # it has no order of its own
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
