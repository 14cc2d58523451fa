"""How much is told one by one. Counted in the database, in the transaction of what is told: what is rolled back has taken nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from events.types import utcnow
from security.conf import settings
from security.counters import at_once, windows
from security.detection import Hit
from security.memory import keyed_hash
from security.models import Severity

# Whoever has not looked up after so many is not called by a further one.
NOTIFICATIONS_A_MINUTE: Final = 5


def may_notify() -> bool:
    """Whether browsers show one more notification now. Raises DatabaseError, as the other."""
    return _take(["alerts:notifications"], NOTIFICATIONS_A_MINUTE, timedelta(minutes=1))[0]


def may_tell(targets: Sequence[tuple[str, str]], severity: Severity) -> list[bool]:
    """Of each target (channel and where to) whether it hears one more alert by itself. CRITICAL ones are counted apart: no number of
    others takes their place. Rows are locked until the transaction ends, so that it is exact."""
    apart = "critical" if severity == Severity.CRITICAL else ""
    keys = [f"alerts:{keyed_hash('alerts', channel, target)}:{apart}" for channel, target in targets]
    return _take(keys, settings().ALERTS_AN_HOUR, timedelta(hours=1))


def _take(keys: Sequence[str], limit: int, window: timedelta) -> list[bool]:
    """Take one of those that each key has within the window. Whether there was one left. What expires the keeper deletes: to do that here
    would lock rows out of order."""
    if not keys:
        return []
    now = utcnow()
    moment, hits = now.timestamp(), [Hit(key, window, limit + 1, plain=True) for key in keys]
    rows, _ = at_once.add(hits, moment, now)
    allowed = [windows.count(rows[hit.key], hit, moment).number <= limit for hit in hits]
    if refused := sorted(hit for hit, is_allowed in zip(hits, allowed, strict=True) if not is_allowed):
        at_once.take_back(refused, moment)
    return allowed
