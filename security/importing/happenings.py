"""What a line of a log tells. Pure: no database, no settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Protocol

MAX_TEXT = 200


class BadLine(ValueError):
    """A line that is not one of such a log."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a log tells. `outcome` as in an event's metadata; `username` is what somebody typed, `is_user` whether the log says that it
    is a user's; `number` how many of it the line stands for."""

    at: datetime
    event_type: str
    outcome: str
    address: str | None = None
    username: str | None = None
    is_user: bool = False
    number: int = 1
    data: Mapping[str, Any] = field(default_factory=dict)


class Parser(Protocol):
    """Understands one kind of log. Has a state: one for each file."""

    name: str

    def parse(self, line: str) -> Iterable[Happening]:
        """What the line tells: mostly nothing or one. Raises BadLine."""


def address_of(text: str) -> str | None:
    """The address that a log names, in its usual form; None for a host's name or nonsense."""
    try:
        parsed = ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def printable(text: str) -> str:
    """Text from a log, cut, without what could break a line."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:MAX_TEXT])


def nothing() -> Iterator[Happening]:
    """No happening."""
    return iter(())
