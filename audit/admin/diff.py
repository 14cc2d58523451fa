"""Old and new values side by side, with what differs marked. What a page costs is bounded, whatever it shows: `Budget`."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple

WORDS: Final = re.compile(r"\w+|\s+|[^\w\s]")
# Of the words between what both values begin and end with. Where there are more, it is all marked.
MAX_WORDS: Final = 400
# A hundred changes of two texts of 1,500 characters.
PAGE_CHARACTERS: Final = 300_000


class Part(NamedTuple):
    """A piece of a value. `differs`: the other value does not have it there."""

    text: str
    differs: bool


class FieldChange(NamedTuple):
    """One field. A side is None where there was no value."""

    field: str
    old: list[Part] | None
    new: list[Part] | None


@dataclass
class Budget:
    """How many characters are still compared for a page. Values for which they don't suffice are marked as a whole."""

    characters: int = PAGE_CHARACTERS

    def spend(self, number: int) -> bool:
        """Take so many, if they are there. Whether they are."""
        is_enough = number <= self.characters
        self.characters -= number if is_enough else 0
        return is_enough


def field_changes(changes: Any, budget: Budget) -> list[FieldChange]:
    """The fields of an entry's `changes` (`{"field": [old, new]}`), by name. A value that is no such pair is shown as a new one."""
    if not isinstance(changes, dict):
        return [] if changes is None else [FieldChange("", None, [Part(_text(changes), True)])]
    return [_field_change(field, *_sides(value), budget) for field, value in sorted(changes.items())]


def _sides(value: Any) -> tuple[Any, Any]:
    return (value[0], value[1]) if isinstance(value, list) and len(value) == 2 else (None, value)


def _field_change(field: str, old: Any, new: Any, budget: Budget) -> FieldChange:
    old_text, new_text = _text(old), _text(new)
    if old is None or new is None or not budget.spend(len(old_text) + len(new_text)):
        return FieldChange(field, *(None if side is None else [Part(_text(side), True)] for side in (old, new)))
    before, after = WORDS.findall(old_text), WORDS.findall(new_text)
    same = _same(before, after)
    return FieldChange(field, _parts(before, {place for place, _ in same}), _parts(after, {place for _, place in same}))


def _parts(words: Sequence[str], same: set[int]) -> list[Part]:
    return [Part("".join(words[n] for n in run), not is_same) for is_same, run in groupby(range(len(words)), same.__contains__)]


def _same(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """The places in both of the words that are taken for the same."""
    shorter = min(len(old), len(new))
    begin = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    end = next((n for n in range(shorter - begin) if old[-1 - n] != new[-1 - n]), shorter - begin)
    same = [(n, n) for n in range(begin)] + [(len(old) - n, len(new) - n) for n in range(1, end + 1)]
    before, after = old[begin : len(old) - end], new[begin : len(new) - end]
    if max(len(before), len(after)) <= MAX_WORDS:
        same += [(begin + place, begin + other) for place, other in _longest_common(before, after)]
    return same


def _longest_common(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """The places of a longest common subsequence, in a number of steps that is the number of words, whatever they are.

    `difflib` takes its cube where words are repeated. Here a row of the usual table is one integer, whose bit is 0 where the
    length grows (Hyyrö, 2004: Bit-parallel LCS-length computation revisited).
    """
    where: dict[str, int] = defaultdict(int)
    for place, word in enumerate(old):
        where[word] |= 1 << place
    row = ones = (1 << len(old)) - 1
    rows = [row]
    for word in new:
        found = row & where.get(word, 0)
        row = ((row + found) | (row - found)) & ones
        rows.append(row)
    places, place, other = [], len(old), len(new)
    while place and other:
        if rows[other] >> (place - 1) & 1:
            place -= 1
        elif not rows[other - 1] >> (place - 1) & 1:
            other -= 1
        else:
            place, other = place - 1, other - 1
            places.append((place, other))
    return places


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
