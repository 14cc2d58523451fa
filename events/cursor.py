"""A client's place in the journal, `epoch:position`."""

from __future__ import annotations

import re
from typing import NamedTuple

from events.exceptions import InvalidCursor

GRAMMAR = re.compile(r"([0-9a-z]{1,16}):([0-9]{1,18})\Z")


class Cursor(NamedTuple):
    """Everything up to `position` of the history `epoch` has been seen."""

    epoch: str
    position: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.position}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor that was written as text. Raises InvalidCursor."""
        match = GRAMMAR.match(text)
        if not match:
            raise InvalidCursor("cursor", f"{text!r:.100} is not a cursor like '3f9c2a7d51e0:42'")
        return cls(match[1], int(match[2]))
