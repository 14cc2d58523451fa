"""The canonical form that is hashed and signed: docs/audit-format.md. Needs neither Django nor a database.

Values are compared, not bytes of a database: the same row has one form on SQLite, on PostgreSQL and in an export.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, Final, NamedTuple

Row = dict[str, Any]

# A number that would be longer, written out, is no number of ours (floats end at 1.8e308).
MAX_DIGITS: Final = 400


class Format(NamedTuple):
    """Which columns of an entry enter its digest: the public ones as they are, the personal ones as a commitment."""

    public: tuple[str, ...]
    personal: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, with the salt of the commitment."""
        return (*self.public, *self.personal, "personal_salt")


# What a person may ask to have erased. A new column of the log enters a new format, never one that seals were made with.
PERSONAL_COLUMNS: Final = (
    "user_id", "actor_label", "actor_id", "impersonator", "ip_address", "user_agent", "session_id", "resource_label", "changes",
    "data", "metadata",
)  # fmt: skip
FORMATS: Final = {
    1: Format(
        public=(
            "id", "event_id", "event_type", "source_category", "action", "outcome", "priority", "timestamp",
            "actor_type", "resource_type", "resource_id", "correlation_id",
        ),
        personal=PERSONAL_COLUMNS,
    )
}  # fmt: skip
CURRENT_FORMAT: Final = max(FORMATS)
# What a row may hold: the columns of any format.
COLUMNS: Final = frozenset(name for form in FORMATS.values() for name in form.columns)
# In an export, where a row names the columns in which no value of theirs was found. No column, so such a row has no digest.
MALFORMED: Final = "malformed"


class Malformed(str):
    """What a database held where a value of another kind belongs. Its form is that of no value, so it matches no digest."""

    __slots__ = ()


def dumps(value: Any) -> str:
    """The canonical JSON of a value: no white space, keys sorted by code point, numbers written out exactly.

    Raises TypeError for what JSON has no form for, ValueError for a number that is not finite or too long.
    """
    if isinstance(value, Malformed):
        return "!" + encode_basestring(value)
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode_basestring(name)}:{dumps(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(dumps, value)) + "]"
    raise TypeError(f"{type(value).__name__} has no JSON form")


def loads(text: str | bytes) -> Any:
    """The value of a JSON text, with exact numbers. Raises ValueError for what is no JSON, or names a key twice."""
    try:
        return json.loads(text, parse_float=_decimal, parse_constant=_no_number, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def hash_of(kind: str, value: Any) -> str:
    """SHA-256, in hexadecimal, of a value's canonical JSON after the name of its kind: no digest of one kind is one of another."""
    text = f"{kind}\n{dumps(value)}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def personal_digest(row: Row, version: int) -> str:
    """The commitment to the personal columns of a row. Without the row's salt it tells nothing about them."""
    values = {name: row[name] for name in (*FORMATS[version].personal, "personal_salt")}
    return hash_of(f"audit-personal:{version}", values)


def row_digest(row: Row, version: int, personal: str | None = None) -> str:
    """The digest of a row. `personal` is the commitment to what was erased from it, where that was done."""
    values = {name: row[name] for name in FORMATS[version].public}
    values["personal"] = personal_digest(row, version) if personal is None else personal
    return hash_of(f"audit-row:{version}", values)


def is_blank(row: Row, version: int) -> bool:
    """Whether the personal columns of a row hold nothing, as erasing leaves them."""
    return all(row.get(name) in (None, "", {}) for name in (*FORMATS[version].personal, "personal_salt"))


def digest_or_none(row: Row, version: int, personal: str | None = None) -> str:
    """The digest of a row; "" for one that holds what has no canonical form, or other columns than a row of the log."""
    try:
        known = row.keys() <= COLUMNS and row.keys() >= set(FORMATS[version].columns)
        return row_digest(row, version, personal) if known else ""
    except (ValueError, TypeError, RecursionError):
        return ""


def _number(value: float | Decimal) -> str:
    if isinstance(value, int):
        return str(value)
    number = _checked(Decimal(repr(value)) if isinstance(value, float) else value)
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _decimal(text: str) -> Decimal:
    return _checked(Decimal(text))


def _checked(number: Decimal) -> Decimal:
    if not number.is_finite() or abs(number.adjusted()) > MAX_DIGITS or len(number.as_tuple().digits) > MAX_DIGITS:
        raise ValueError("a number is not finite, or too long")
    return number


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is named twice")
    return found
