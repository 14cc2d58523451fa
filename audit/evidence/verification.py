"""Verifying the log of the database as `verify_audit` and the admin do it: with what the settings say, and on record."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from errno import ENOENT
from math import inf
from pathlib import Path
from typing import Final

from audit import access
from audit.conf import seal_keys, settings
from audit.evidence import log
from audit.evidence.anchors import Anchor, NoAnchors, read_anchors
from audit.evidence.log import Step
from audit.evidence.verifier import Verifier
from audit.models import AuditEntry, Outcome
from events.conf import settings as events_settings
from events.context import current_context

# What the entries of verifications are about: with `access.RESOURCE` as type it finds them by an index.
RESOURCE_ID: Final = "seals"
# How long one request verifies. Longer, and a proxy may give it up; shorter, and more is put on record than is verified.
STEP_SECONDS: Final = 2.0
# How many seals one request verifies at most: the anchors of as many are in memory.
STEP_SEALS: Final = 10_000
# How the sealer begins what it notes of a seal. Other lines are parsed.
NUMBER: Final = re.compile(r'\{"number": ?([0-9]{1,18}),')
# So many findings are named in the entry of a verification.
MAX_NAMED: Final = 20


def configured_anchors(name: str = "", first: int = 0, last: float = inf) -> dict[int, Anchor]:
    """What seals were anchored with, by number: of the file of this name, or that of the settings; none where neither is given, and
    before the first seal. Of seals from `first` to `last`, and of the newest. Raises OSError; NoAnchors where the file has none."""
    path = Path(name or settings().ANCHOR_FILE)
    if path == Path():
        return {}
    found: dict[int, Anchor] = {}
    if name or path.exists():
        with path.open(encoding="utf-8", errors="replace") as lines:
            found = read_anchors(_between(lines, first, last))
    if not found and (name or log.last_seal()):
        raise NoAnchors(ENOENT, "no seal is anchored there (one is with each new seal)", str(path))
    return found


def _between(lines: Iterable[str], first: int, last: float) -> Iterator[str]:
    """The lines of these seals, without parsing the others, which may be millions; then the line of the newest seal."""
    newest, newest_line = 0, ""
    for line in lines:
        found = NUMBER.search(line)
        number = int(found[1]) if found else first
        if number > newest and found:
            newest, newest_line = number, line
        if first <= number <= last:
            yield line
    yield newest_line


def verify_step(number: int) -> tuple[Step, bool]:
    """One step of verifying the log, from the seal of this number on, and whether it is on record. Raises OSError, DatabaseError."""
    anchors = configured_anchors("", number, number + STEP_SEALS)
    step = log.verify_step(number, seal_keys(), anchors, STEP_SECONDS, STEP_SEALS)
    return step, record(step.verifier, len(anchors), number, is_end=step.next is None)


def record(verifier: Verifier, anchors: int, number: int = 0, is_end: bool = True) -> bool:
    """Put on record what was verified, from the seal of this number on. Result as `access.record`.

    The staff's browsers hear at once of the first findings of a correlation, which the steps of one verification share.
    """
    details = {
        "resource_id": RESOURCE_ID,
        "rows": verifier.rows,
        "from_seal": max(number, 1),
        "seal": verifier.last.number if verifier.last else 0,
        "seals": verifier.seals,
        "is_end": is_end,
        "anchors": anchors,
        "findings": len(verifier.findings),
        "first_findings": [str(finding) for finding in verifier.findings[:MAX_NAMED]],
    }
    outcome = Outcome.FAILURE if verifier.findings else Outcome.SUCCESS
    return access.record("verified", details, outcome=outcome, urgent=bool(verifier.findings) and not _has_failed_before())


def _has_failed_before() -> bool:
    correlation = current_context().correlation_id
    entries = AuditEntry.objects.using(events_settings().DATABASE)
    failed = {"resource_type": access.RESOURCE, "resource_id": RESOURCE_ID, "outcome": Outcome.FAILURE}
    return bool(correlation) and entries.filter(correlation_id=correlation, **failed).exists()
