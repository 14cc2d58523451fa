"""What someone wants to see of what they may see. One filter for the streams, the API, replay and the commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Self, TypeVar

from django.db.models import CharField, F, Lookup, Q, QuerySet, Value
from django.db.models.sql.compiler import SQLCompiler

from events.exceptions import InvalidEvent, InvalidFilter
from events.models import JournalEntry
from events.patterns import check_pattern, is_exact, matcher
from events.types import EventCategory, EventPriority, parse_enum

MAX_PATTERNS: Final = 50
# Each open stream may have a filter of its own, so what one remembers must stay small.
MAX_REMEMBERED_TYPES: Final = 256
# Not in the grammar of types, so it never needs escaping itself. Types are full of `_`, which LIKE takes for any character.
ESCAPE: Final = "!"

Member = TypeVar("Member", EventCategory, EventPriority)


@dataclass(frozen=True)
class EventFilter:
    """Types that match any of `patterns` (empty: all), of `categories` (None: all), of at least `min_priority`.

    Equal filters are equal and hash alike, so that they can be shared.
    """

    patterns: tuple[str, ...] = ()
    categories: frozenset[EventCategory] | None = None
    min_priority: EventPriority = EventPriority.LOW
    _wants_type: Callable[[str], bool] = field(init=False, repr=False, compare=False)
    _priorities: frozenset[EventPriority] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_wants_type", _type_test(self.patterns))
        object.__setattr__(self, "_priorities", frozenset(p for p in EventPriority if p.rank >= self.min_priority.rank))

    @classmethod
    def from_query(cls, types: str | None = None, categories: str | None = None, min_priority: str | None = None) -> Self:
        """The filter that comma-separated text describes; None leaves a part open.

        Raises InvalidFilter that names `types`, `categories` or `min_priority`.
        """
        return cls(
            patterns=() if types is None else _parse_patterns(types),
            categories=None if categories is None else _parse_categories(categories),
            min_priority=EventPriority.LOW if min_priority is None else _parse(EventPriority, "min_priority", min_priority),
        )

    @property
    def is_open(self) -> bool:
        """Whether it lets every event through."""
        return not self.patterns and self.categories is None and self.min_priority is EventPriority.LOW

    def matches(self, event_type: str, category: str, priority: str) -> bool:
        """Whether an event with these values is wanted. Plain text or enum members."""
        return (
            priority in self._priorities
            and (self.categories is None or category in self.categories)
            and self._wants_type(event_type)
        )

    def to_q(self) -> Q:
        """The same as a condition on `JournalEntry`."""
        condition = Q()
        if self.patterns:
            condition &= _types_q(self.patterns)
        if self.categories is not None:
            condition &= Q(category__in=sorted(self.categories))
        if self.min_priority is not EventPriority.LOW:
            condition &= Q(priority__in=sorted(self._priorities))
        return condition

    def restrict(self, rows: QuerySet[JournalEntry]) -> QuerySet[JournalEntry]:
        """The rows of the journal that are wanted."""
        return rows.filter(self.to_q())


def _parse_patterns(text: str) -> tuple[str, ...]:
    items = _items("types", text)
    if len(items) > MAX_PATTERNS:
        raise InvalidFilter("types", f"{len(items)} patterns are too many, {MAX_PATTERNS} are allowed")
    return tuple(sorted({check_pattern(item) for item in items}))


def _parse_categories(text: str) -> frozenset[EventCategory]:
    return frozenset(_parse(EventCategory, "categories", item) for item in _items("categories", text))


def _items(name: str, text: str) -> list[str]:
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise InvalidFilter(name, "holds an empty item; leave the parameter out to get all")
    return items


def _parse(enum: type[Member], name: str, value: str) -> Member:
    try:
        return parse_enum(enum, name, value)
    except InvalidEvent as error:
        raise InvalidFilter(error.field, error.reason) from None


def _type_test(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    if not patterns or "*" in patterns:
        return _any_type
    if all(map(is_exact, patterns)):
        return frozenset(patterns).__contains__
    match = matcher(patterns)
    return lru_cache(MAX_REMEMBERED_TYPES)(lambda event_type: match(event_type) is not None)


def _any_type(event_type: str) -> bool:
    return True


class Like(Lookup):
    """SQL's LIKE with `ESCAPE` as the escape character: `Like(F("event_type"), Value("document.%"))`."""

    lookup_name = "like"
    prepare_rhs = False

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} LIKE {right} ESCAPE '{ESCAPE}'", (*left_params, *right_params)


def _types_q(patterns: tuple[str, ...]) -> Q:
    condition = Q()
    exact = [pattern for pattern in patterns if is_exact(pattern)]
    if exact:
        condition |= Q(event_type__in=exact)
    for pattern in patterns:
        if not is_exact(pattern):
            like = pattern.replace("_", f"{ESCAPE}_").replace("*", "%")
            condition |= Q(Like(F("event_type"), Value(like, CharField())))
    return condition
