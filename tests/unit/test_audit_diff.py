"""Old and new values, and what is marked in them."""

from __future__ import annotations

from typing import Any

import pytest

from audit.admin.diff import MAX_WORDS, field_changes


def marked(parts: Any) -> str | None:
    """The parts as text, what differs in brackets."""
    return None if parts is None else "".join(f"[{part.text}]" if part.differs else part.text for part in parts)


@pytest.mark.parametrize(
    ("value", "old", "new"),
    [
        (["the old name", "the new name"], "the [old] name", "the [new] name"),
        ([None, "x"], None, "[x]"),
        (["x", None], "[x]", None),
        ([1, 2], "[1]", "[2]"),
        (["", "x"], "", "[x]"),
        ([{"a": 1}, {"a": 2}], '{"a": [1]}', '{"a": [2]}'),
        (["Größe", "Größe!"], "Größe", "Größe[!]"),
        ("no pair", None, "[no pair]"),
        ([1, 2, 3], None, "[[1, 2, 3]]"),
    ],
)
def test_what_differs_is_marked_word_by_word(value: Any, old: str | None, new: str | None) -> None:
    (change,) = field_changes({"name": value})
    assert (change.field, marked(change.old), marked(change.new)) == ("name", old, new)


def test_fields_come_in_the_order_of_their_names() -> None:
    assert [change.field for change in field_changes({"b": [1, 2], "a": [1, 2]})] == ["a", "b"]


def test_long_texts_are_marked_as_a_whole() -> None:
    old, new = "a " * MAX_WORDS, "b " * MAX_WORDS
    (change,) = field_changes({"text": [old, new]})
    assert (marked(change.old), marked(change.new)) == (f"[{old}]", f"[{new}]")


@pytest.mark.parametrize("changes", [None, {}])
def test_no_changes_are_no_rows(changes: Any) -> None:
    assert field_changes(changes) == []


def test_what_is_no_object_is_shown_all_the_same() -> None:
    assert marked(field_changes(["odd"])[0].new) == '[["odd"]]'
