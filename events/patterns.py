"""Type patterns: `document.*`, `*.failed`, `*`. One matcher for handlers, streams, replay and the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from events.exceptions import InvalidFilter
from events.types import MAX_TYPE_LENGTH

# Two stars at most: each further one multiplies the steps that the match of a hostile pattern takes.
PATTERN_GRAMMAR = re.compile(r"[a-z0-9_.]*(?:\*[a-z0-9_.]*){0,2}\Z")


def check_pattern(pattern: str, field: str = "types") -> str:
    """The pattern itself. Raises InvalidFilter, naming `field`, unless it is a type in which `*` stands for any characters."""
    if not isinstance(pattern, str) or not pattern or len(pattern) > MAX_TYPE_LENGTH or not PATTERN_GRAMMAR.match(pattern):
        raise InvalidFilter(
            field, f"{pattern!r:.100} is not a type or a pattern like 'document.*' or '*.failed' (two stars at most)"
        )
    return pattern


def is_exact(pattern: str) -> bool:
    """Whether the pattern names one type."""
    return "*" not in pattern


def matcher(patterns: Iterable[str]) -> Callable[[str], object]:
    """A function that says whether a type matches any of the patterns."""
    return _compile(tuple(patterns)).match


@lru_cache(maxsize=1024)
def _compile(patterns: tuple[str, ...]) -> re.Pattern[str]:
    runs = (re.escape(pattern).replace(r"\*", ".*") for pattern in patterns)
    return re.compile("(?:" + "|".join(runs) + r")\Z")
