"""Anchors: what is noted of each seal outside of the database. Needs neither Django nor a database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from audit.evidence.canonical import loads
from audit.evidence.seals import Seal


class NoAnchors(OSError):
    """A file that has no anchors, where there should be some."""


class Anchor(NamedTuple):
    """A seal, by its number and its digest; up to which row it seals, and when it was made (0 and "" where that was not noted)."""

    number: int
    last_id: int
    digest: str
    sealed_at: str

    @classmethod
    def of(cls, seal: Seal) -> Self:
        """The anchor of a seal."""
        return cls(seal.number, seal.last_id, seal.digest_of_all, seal.sealed_at)

    @classmethod
    def from_values(cls, values: Any) -> Self:
        """An anchor as it was noted. Raises ValueError."""
        if not isinstance(values, dict):
            raise ValueError("is no anchor")
        number, last_id = values.get("number"), values.get("last_id", 0)
        digest, sealed_at = values.get("digest"), values.get("sealed_at", "")
        if not (type(number) is type(last_id) is int and type(digest) is type(sealed_at) is str):
            raise ValueError("is no anchor")
        return cls(number, last_id, digest, sealed_at)


def read_anchors(lines: Iterable[str]) -> dict[int, Anchor]:
    """The anchors by number, as `AUDIT["ANCHOR_FILE"]` has them, or a log with something before each: the first that was noted of
    each, so that one which was made anew and noted again is found. What an interrupted write left of a line is passed over."""
    anchors: dict[int, Anchor] = {}
    for line in lines:
        try:
            anchor = Anchor.from_values(loads(line[max(line.find("{"), 0) :]))
        except ValueError:
            continue
        anchors.setdefault(anchor.number, anchor)
    return anchors
