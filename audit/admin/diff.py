"""Old and new values side by side, with what differs marked."""

from __future__ import annotations

import json
import re
from difflib import SequenceMatcher
from typing import Any, NamedTuple

WORDS = re.compile(r"\w+|\s+|[^\w\s]")
# Comparing word by word takes time with the square of the length; longer texts are marked as a whole.
MAX_WORDS = 400


class Part(NamedTuple):
    """A piece of a value. `differs`: the other value does not have it there."""

    text: str
    differs: bool


class FieldChange(NamedTuple):
    """One field. A side is None where there was no value."""

    field: str
    old: list[Part] | None
    new: list[Part] | None


def field_changes(changes: Any) -> list[FieldChange]:
    """The fields of an entry's `changes` (`{"field": [old, new]}`), by name. What is not of that form is shown as a new value."""
    if not isinstance(changes, dict):
        return [] if changes is None else [FieldChange("", None, [Part(_text(changes), True)])]
    return [_field_change(field, *_sides(value)) for field, value in sorted(changes.items())]


def _sides(value: Any) -> tuple[Any, Any]:
    return (value[0], value[1]) if isinstance(value, list) and len(value) == 2 else (None, value)


def _field_change(field: str, old: Any, new: Any) -> FieldChange:
    if old is None or new is None:
        return FieldChange(field, _whole(old), _whole(new))
    before, after = WORDS.findall(_text(old)), WORDS.findall(_text(new))
    if max(len(before), len(after)) > MAX_WORDS:
        return FieldChange(field, _whole(old), _whole(new))
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return FieldChange(
        field,
        [Part("".join(before[start:end]), kind != "equal") for kind, start, end, _, _ in blocks if end > start],
        [Part("".join(after[start:end]), kind != "equal") for kind, _, _, start, end in blocks if end > start],
    )


def _whole(value: Any) -> list[Part] | None:
    return None if value is None else [Part(_text(value), True)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
