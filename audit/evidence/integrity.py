"""How it stands with the evidence of the log: triggers, seals, keys, anchors, holds, and when it was verified last. Nothing here
counts the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from django.db import connections

from audit import access
from audit.conf import seal_keys, settings
from audit.evidence import holds, horizon, triggers
from audit.evidence.verification import RESOURCE_ID
from audit.evidence.verify import read_anchors
from audit.models import AuditEntry, AuditErasure, AuditRemoval, AuditSeal, LegalHold, Outcome
from audit.reading.paging import ORDER
from events.conf import settings as events_settings
from events.types import utcnow

NEWEST: Final = 10
# Of more rows that wait it is only said that they are more.
MAX_COUNTED: Final = 10_000
# Seals follow within seconds: whatever waits longer, something holds it up.
LATE: Final = timedelta(minutes=1)
# Entries of verifications that are looked through for the last ones; each may have many, one a step.
MAX_STEPS: Final = 200
# How much of the end of the anchor file is read: some hundred lines.
TAIL_BYTES: Final = 32 * 1024


class Waiting(NamedTuple):
    """The rows that have no seal yet: how many (of more than `MAX_COUNTED`, one more than that), since when the oldest waits, and
    since when a transaction that wrote to the log is open. That is looked up only where the oldest is late."""

    number: int = 0
    since: datetime | None = None
    open_since: datetime | None = None

    @property
    def are_uncounted(self) -> bool:
        """Whether there are more than are counted."""
        return self.number > MAX_COUNTED

    @property
    def are_late(self) -> bool:
        """Whether the oldest waits longer than sealing takes."""
        return self.since is not None and utcnow() - self.since > LATE


class KeyInUse(NamedTuple):
    """A key of the settings, without what is secret of it. `signs`: new seals are signed with it."""

    id: str
    algorithm: str
    signs: bool


class Anchors(NamedTuple):
    """Where seals are anchored, the newest that the file has, and what is wrong with that; "" and None where nothing is."""

    file: str
    logger: str
    newest: int | None
    problem: str


class Verification(NamedTuple):
    """A verification as it is on record: its steps together. `entry` is the newest of them, or of those that found something; `is_end`
    tells whether it came to the end. `to_seal` is less than `from_seal` where there was no seal."""

    entry: AuditEntry
    from_seal: int
    to_seal: int
    rows: int
    findings: int
    is_end: bool

    @property
    def findings_text(self) -> str:
        """How many findings, in words."""
        return f"{self.findings} finding{'' if self.findings == 1 else 's'}"


@dataclass(frozen=True)
class State:
    """What the page shows. `seals` and `verifications` are the newest, in that order."""

    missing_triggers: list[str]
    seals: list[AuditSeal]
    waiting: Waiting
    keys: list[KeyInUse]
    anchors: Anchors
    holds: list[LegalHold]
    removals: int
    erasures: int
    verifications: list[Verification]


def state() -> State:
    """The state now. Raises DatabaseError."""
    alias = events_settings().DATABASE
    seals = list(AuditSeal.objects.using(alias).defer("rows").order_by("-number")[:NEWEST])
    return State(
        missing_triggers=triggers.missing(connections[alias]),
        seals=seals,
        waiting=_waiting(seals[0].last_id if seals else 0),
        keys=[KeyInUse(key.id, key.algorithm, number == 0) for number, key in enumerate(seal_keys())],
        anchors=_anchors(seals[0].number if seals else 0),
        holds=list(holds.in_force()),
        removals=AuditRemoval.objects.using(alias).count(),
        erasures=AuditErasure.objects.using(alias).count(),
        verifications=_verifications()[:NEWEST],
    )


def _waiting(after: int) -> Waiting:
    entries = AuditEntry.objects.using(events_settings().DATABASE).filter(id__gt=after).order_by("id")
    since = entries.values_list("timestamp", flat=True).first()
    if since is None:
        return Waiting()
    found = Waiting(entries.values("id")[: MAX_COUNTED + 1].count(), since)
    return found._replace(open_since=horizon.oldest_writer()) if found.are_late else found


def _anchors(newest_seal: int) -> Anchors:
    name, logger = settings().ANCHOR_FILE, settings().ANCHOR_LOGGER
    if not name:
        return Anchors("", logger, None, "")
    try:
        newest = max(read_anchors(_tail(Path(name))), default=0)
    except OSError as error:
        return Anchors(name, logger, None, f"it can't be read: {error.strerror}")
    problem = ""
    if newest > newest_seal:
        problem = f"seals up to {newest} were anchored, the log ends with {newest_seal}: its tail was dropped"
    elif newest < newest_seal - NEWEST:
        problem = f"the last {newest_seal - newest} seals are not in it"
    return Anchors(name, logger, newest, problem)


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read().decode("utf-8", "replace").splitlines()


def _verifications() -> list[Verification]:
    entries = AuditEntry.objects.using(events_settings().DATABASE).filter(
        resource_id=RESOURCE_ID, resource_type=access.RESOURCE, action="verified"
    )
    newest = entries.defer("changes", "metadata").order_by(*ORDER)[:MAX_STEPS]
    return [_together(steps) for steps in _runs(newest)]


def _runs(newest: Iterable[AuditEntry]) -> list[list[AuditEntry]]:
    """The steps of each run, both newest first. A run is of one correlation and one user, and leaves no seal out between two steps: a
    client chooses where each begins."""
    runs: list[list[AuditEntry]] = []
    begins: dict[tuple[Any, ...], list[AuditEntry]] = {}
    for entry in newest:
        data, who = _told(entry), (entry.correlation_id or entry.pk, entry.user_id, entry.actor_id, entry.impersonator)
        run = begins.pop((*who, _number(data, "seal") + 1), None)
        if run is None:
            runs.append(run := [])
        run.append(entry)
        begins[*who, _number(data, "from_seal")] = run
    return runs


def _together(entries: list[AuditEntry]) -> Verification:
    told = [_told(entry) for entry in entries]
    failed = [entry for entry in entries if entry.outcome == Outcome.FAILURE]
    return Verification(
        entry=(failed or entries)[0],
        from_seal=_number(told[-1], "from_seal"),
        to_seal=max(_number(data, "seal") for data in told),
        rows=sum(_number(data, "rows") for data in told),
        findings=sum(_number(data, "findings") for data in told),
        is_end=told[0].get("is_end") is True,
    )


def _told(entry: AuditEntry) -> dict[str, Any]:
    return entry.data if isinstance(entry.data, dict) else {}


def _number(data: dict[str, Any], name: str) -> int:
    """A number of an entry's data, which may have been tampered with, or erased."""
    value = data.get(name)
    return value if isinstance(value, int) else 0
