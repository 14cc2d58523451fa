"""Cool-offs: how long attempts to sign in are refused. Each further one within a day is twice as long, none is for ever."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from events.conf import settings as events_settings
from events.context import Actor
from events.manager import emit
from events.types import EventCategory, EventPriority, utcnow
from security.conf import settings
from security.counters import counters
from security.detection import Hit
from security.models import CoolOff

COOL_OFF_RELEASED: Final = "auth.cool_off_released"
# A cool-off that ended so long ago does not make the next one longer.
FORGOTTEN: Final = timedelta(days=1)
CLEANED_AT_ONCE: Final = 100
# Of this process, until when: what is refused anyway then touches no counter, and a flood of new names makes no rows.
MAX_SEEN: Final = 10_000
_seen: dict[str, datetime] = {}


@dataclass(frozen=True, slots=True)
class Scope:
    """What attempts are counted by: a pair of address and account, an account, or an address. `name` is the hash of the username."""

    kind: str
    name: str
    network: str
    limit: int

    @property
    def subject(self) -> str:
        """Names it, here and for people: `pair 1f… 203.0.113.9`."""
        return " ".join(filter(None, (self.kind, self.name, self.network)))

    @property
    def hit(self) -> Hit:
        """To count an attempt. What is refused is counted for a moment too, and must not push the others out of memory."""
        return Hit(key_of(self.subject), timedelta(seconds=settings().ATTEMPT_WINDOW), 2 * self.limit + 1_000, plain=True)


class Claim(NamedTuple):
    """What becomes of an attempt beyond the limit: refused until `until`, unless it is the one that may try when a cool-off is over.
    `is_new`: this attempt began the cool-off."""

    until: datetime
    refused: bool
    is_new: bool
    times: int


def key_of(subject: str) -> str:
    """The key that it is counted under."""
    return f"attempts {subject}"


def claim(scope: Scope, account: str | None, now: datetime) -> Claim:
    """An attempt is beyond the scope's limit. `account` is the user's id, for people.

    It begins a cool-off, unless one is in force. When one is over and its failures still count, a single attempt may try; the
    next cool-off begins with it.
    """
    row = _rows().filter(subject=scope.subject).first()
    if row is None:
        claimed = _open(scope, account, now)
    elif row.until > now:
        _see(row)
        return Claim(row.until, True, False, row.times)
    else:
        claimed = _renew(row, now)
    if claimed is None:  # another attempt was first
        return claim(scope, account, now)
    # Keeps the counter full until the cool-off is over, also where the failures leave the window sooner.
    counters().count([scope.hit._replace(times=scope.limit)], now)
    return claimed


def standing(subject: str, now: datetime) -> Claim | None:
    """What becomes of an attempt where this process knows of a cool-off that is in force: asked of the database only then."""
    if _seen.get(subject, now) <= now:
        return None
    row = in_force(now).filter(subject=subject).first()
    if row is None:  # released
        _seen.pop(subject, None)
        return None
    return Claim(row.until, True, False, row.times)


def _see(row: CoolOff) -> None:
    if len(_seen) >= MAX_SEEN:
        _seen.clear()
    _seen[row.subject] = row.until


def end(subjects: Iterable[str]) -> None:
    """They are over, and what was counted is forgotten."""
    subjects = list(subjects)
    _rows().filter(subject__in=subjects).delete()
    counters().forget([key_of(subject) for subject in subjects])


def release(subject: str, author: str) -> bool:
    """End the cool-off of a subject before its time; what was counted for it is forgotten. `author` is who does it, in words: the event
    `auth.cool_off_released`, which the audit log records. False if none is in force."""
    row = in_force().filter(subject=subject).first()
    if row is None:
        return False
    end([subject])
    emit(
        COOL_OFF_RELEASED,
        {"subject": subject, "address": row.address, "until": row.until.isoformat(), "times": row.times, "released_by": author},
        category=EventCategory.SECURITY,
        priority=EventPriority.HIGH,
        user_id=row.account or None,
        metadata={"actor": Actor("user", None, author).to_dict(), "outcome": "success"},
    )
    return True


def in_force(now: datetime | None = None) -> QuerySet[CoolOff]:
    """The cool-offs that are in force, those that last longest first."""
    return _rows().filter(until__gt=now or utcnow())


def _open(scope: Scope, account: str | None, now: datetime) -> Claim | None:
    until = now + _length(1)
    stale = _rows().filter(until__lt=now - FORGOTTEN).values_list("pk", flat=True)
    _rows().filter(pk__in=list(stale[:CLEANED_AT_ONCE])).delete()
    try:
        with transaction.atomic(using=events_settings().DATABASE):
            _rows().create(subject=scope.subject, address=scope.network, account=account or "", since=now, until=until)
    except IntegrityError:
        return None
    return Claim(until, True, True, 1)


def _renew(row: CoolOff, now: datetime) -> Claim | None:
    """The next cool-off of a subject that had one."""
    times = row.times + 1 if now - row.until < FORGOTTEN else 1
    until = now + _length(times)
    if not _rows().filter(pk=row.pk, until=row.until).update(since=now, until=until, times=times):
        return None
    still_counts = now - row.since < timedelta(seconds=settings().ATTEMPT_WINDOW)
    return Claim(until, not still_counts, True, times)


def _length(times: int) -> timedelta:
    return timedelta(seconds=min(settings().COOL_OFF * 2 ** min(times - 1, 20), settings().COOL_OFF_MAX))


def _rows() -> QuerySet[CoolOff]:
    return CoolOff.objects.using(events_settings().DATABASE)
