"""The vocabulary between monitor, detectors, counters and incidents. No database, no settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from security.models import Severity


@dataclass(frozen=True, slots=True)
class Observation:
    """A committed security event, as far as detectors need it.

    `account` is a user's id; `username_hash` stands for a username that is no account's (`security.accounts`); `network` is the address, of
    IPv6 its /64, which is what one subscriber has. None is what is not known.
    """

    event_type: str
    event_id: str
    at: datetime
    address: str | None = None
    network: str | None = None
    account: str | None = None
    username_hash: str | None = None
    correlation_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    actor: str | None = None  # the id of the user who did it, also by a token
    number: int = 1  # how many happenings it tells of: more than one for a summary of a flood
    singled_out: bool = True  # whether it counts for its target too; else, one of very many, only for the network and the site

    @property
    def target(self) -> str | None:
        """Who was to be signed in, account or not."""
        return self.account or self.username_hash


class Hit(NamedTuple):
    """To count happenings under a key, `times` at one moment, within a sliding window that ends with it. `member` is what is told apart: of
    many attempts from one address, the accounts. At most `limit` are remembered. With `only_look` nothing is added. `plain`: no hit of this
    key, here or elsewhere, has a member, which may make counting cheaper."""

    key: str
    window: timedelta
    limit: int
    member: str = ""
    only_look: bool = False
    plain: bool = False
    times: int = 1


class Count(NamedTuple):
    """How many are in the window, these included, and how many different members they have; both at most the hit's limit. The window
    ends with the newest. `first` and `last` are the moments of the oldest and newest of the number."""

    number: int
    members: int
    first: datetime | None = None
    last: datetime | None = None


class Counters(Protocol):
    """Counts exactly, however many threads and processes count at once."""

    def count(self, hits: Sequence[Hit], at: datetime) -> list[Count]:
        """Count all these in one step, and say how many each has when all are counted. A moment that is later than now counts as now."""

    def take_back(self, hits: Sequence[Hit], at: datetime) -> None:
        """One happening that was counted at the moment did not count after all. What it pushed out of the limit doesn't come back."""

    def forget(self, keys: Sequence[str]) -> None:
        """Forget what was counted under these keys."""


@dataclass(frozen=True, slots=True)
class Detection:
    """An attack that was recognised. `subject` is what it is about: `address 203.0.113.9`, `account 7`, `site`."""

    kind: str
    severity: Severity
    subject: str
    summary: str
    numbers: Mapping[str, Any]
    address: str | None = None
    account: str | None = None


class Detector(Protocol):
    """Looks for one kind of attack: says what to count of an observation, and judges the counts. Pure."""

    kind: str

    def hits(self, seen: Observation) -> list[Hit]:
        """What to count; nothing where the observation is not this detector's. What several detectors count alike is counted once."""

    def judge(self, seen: Observation, counts: Sequence[Count]) -> Detection | None:
        """What the counts of its hits, in their order, make of it. Called only where there were hits."""
