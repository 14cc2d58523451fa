"""Old and new values, and what is marked in them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.admin import diff
from audit.admin.diff import MAX_WORDS, PAGE_CHARACTERS, WORDS, Budget, FieldChange


def field_changes(changes: Any) -> list[FieldChange]:
    return diff.field_changes(changes, Budget())


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
    old, new = ("a " * MAX_WORDS).strip(), ("b " * MAX_WORDS).strip()
    (change,) = field_changes({"text": [old, new]})
    assert (marked(change.old), marked(change.new)) == (f"[{old}]", f"[{new}]")


@pytest.mark.parametrize("changes", [None, {}])
def test_no_changes_are_no_rows(changes: Any) -> None:
    assert field_changes(changes) == []


def test_what_is_no_object_is_shown_all_the_same() -> None:
    assert marked(field_changes(["odd"])[0].new) == '[["odd"]]'


TEXTS = st.lists(st.sampled_from(["a", "b", " ", "!"]), max_size=12).map("".join)


@given(TEXTS, TEXTS)
def test_both_values_are_shown_whole_and_as_little_as_can_be_is_marked(old: str, new: str) -> None:
    (change,) = field_changes({"text": [old, new]})
    sides = [change.old or [], change.new or []]
    assert ["".join(part.text for part in side) for side in sides] == [old, new]
    assert len({"".join(part.text for part in side if not part.differs) for side in sides}) == 1
    assert sum(len(WORDS.findall(part.text)) for part in sides[0] if not part.differs) == longest(
        WORDS.findall(old), WORDS.findall(new)
    )


def longest(old: list[str], new: list[str]) -> int:
    """The length of a longest common subsequence, by the book."""
    rows = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for n, word in enumerate(old):
        for m, other in enumerate(new):
            rows[n + 1][m + 1] = rows[n][m] + 1 if word == other else max(rows[n][m + 1], rows[n + 1][m])
    return rows[-1][-1]


def test_a_small_change_of_a_long_text_is_marked() -> None:
    text = "word " * 2_000
    (change,) = field_changes({"text": [f"{text}old {text}", f"{text}new {text}"]})
    assert (marked(change.old), marked(change.new)) == (f"{text}[old] {text}", f"{text}[new] {text}")


# Worst for `difflib`, which looks at each pair of equal words for each block that it finds.
REPEATED = ["!" * MAX_WORDS, "!?" * (MAX_WORDS // 2)]


def test_comparing_takes_steps_with_the_number_of_words_and_not_with_its_square() -> None:
    small, large = (
        lines_run(lambda part=part: field_changes({"text": part})) for part in ([one[:100] for one in REPEATED], REPEATED)
    )
    assert large < 5 * small


def test_a_page_compares_so_much_and_shows_the_rest_as_it_is() -> None:
    assert Budget().characters == PAGE_CHARACTERS
    budget = Budget(sum(map(len, REPEATED)) + len("a ba c"))
    compared, shown, small = (diff.field_changes({"text": part}, budget)[0] for part in (REPEATED, REPEATED, ["a b", "a c"]))
    assert any(not part.differs for part in compared.old or [])
    assert (marked(shown.old), marked(shown.new)) == tuple(f"[{side}]" for side in REPEATED)
    assert (marked(small.old), budget.characters) == ("a [b]", 0)


def lines_run(function: Callable[[], object]) -> int:
    """How many lines of Python a call takes."""
    number = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal number
        number += event == "line"
        assert number < 100_000
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return number
