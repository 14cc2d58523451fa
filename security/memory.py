"""What was seen before, in little space: in the database, and in each process what it asked for last."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.crypto import salted_hmac

from events.conf import settings
from events.types import utcnow
from security.models import Remembered

Kind = Remembered.Kind

MAX_CACHED: Final = 10_000
# So long a value that is seen again and again is not written again.
FRESH: Final = timedelta(days=1)
# What sent `X-Forwarded-For` so long ago for the last time is nothing to warn of: a proxy in use is seen every day.
WARNED_FOR: Final = timedelta(days=7)
PRUNED_AT_ONCE: Final = 100


class Limits(NamedTuple):
    """How many values of one subject are remembered, the latest, and how many rows of the kind in all."""

    of_subject: int
    of_all: int


LIMITS: Final = {
    Kind.DEVICE: Limits(20, 1_000_000),
    Kind.TOKEN_NETWORK: Limits(20, 100_000),
    Kind.REVOKED_TOKEN: Limits(1, 10_000),
    Kind.PROXY: Limits(20, 40),
}


class Memory:
    """Remembers values of subjects. One a process: `memory`."""

    def __init__(self) -> None:
        self.forget_cached()
        os.register_at_fork(after_in_child=self.forget_cached)

    def forget_cached(self) -> None:
        """Ask the database again."""
        self._lock = threading.Lock()
        self._cached: OrderedDict[tuple[str, str, str], datetime] = OrderedDict()

    def is_cached(self, kind: Kind, subject: str, value: str) -> bool:
        """Whether this process knows it without asking, and need not write again that it was seen."""
        key = (kind, subject, value)
        with self._lock:
            if key in self._cached:
                self._cached.move_to_end(key)
                return self._cached[key] > utcnow() - FRESH
        return False

    def add(self, kind: Kind, subject: str, value: str) -> bool:
        """Remember it. Whether it is a new one besides others: the first of a subject is none. Only one of those who add the same at the
        same time is told so. Raises DatabaseError."""
        now, others = utcnow(), _rows().filter(kind=kind, subject=subject)
        is_new = False
        if not others.filter(value=value, seen_at__gt=now - FRESH).exists() and not others.filter(value=value).update(
            seen_at=now
        ):
            row, has_others = Remembered(kind=kind, subject=subject, value=value, seen_at=now), others.exists()
            is_new = _insert(row) and has_others
            _prune(others, LIMITS[kind].of_subject)
            if row.pk and row.pk % PRUNED_AT_ONCE == 0:  # to count them all each time would cost too much
                _prune(_rows().filter(kind=kind), LIMITS[kind].of_all)
        self._cache((kind, subject, value), now)
        return is_new

    def _cache(self, key: tuple[str, str, str], now: datetime) -> None:
        with self._lock:
            self._cached[key] = now
            self._cached.move_to_end(key)
            if len(self._cached) > MAX_CACHED:
                self._cached.popitem(last=False)


memory = Memory()


def values_of(kind: Kind, subject: str) -> list[str]:
    """What is remembered of a subject, the latest first."""
    return list(_rows().filter(kind=kind, subject=subject).order_by("-seen_at", "-id").values_list("value", flat=True))


def seen_proxies() -> list[str]:
    """The peers that sent `X-Forwarded-For` within `WARNED_FOR` without being declared as proxies, the latest first."""
    latest = _rows().filter(kind=Kind.PROXY, seen_at__gt=utcnow() - WARNED_FOR)
    return list(latest.order_by("-seen_at", "-id").values_list("value", flat=True))


def forget(kind: Kind, value: str) -> bool:
    """Forget a value, whatever the subject. False if nobody remembers it. Processes that saw it lately write it again only after `FRESH`."""
    return bool(_rows().filter(kind=kind, value=value).delete()[0])


def keyed_hash(purpose: str, *parts: str) -> str:
    """A name for what must not be kept: equal ones are recognised, and nobody without the site's key can try values out."""
    return salted_hmac(f"security.{purpose}", "\0".join(parts).encode("utf-8", "surrogatepass"), algorithm="sha256").hexdigest()[
        :32
    ]


def _insert(row: Remembered) -> bool:
    try:
        with transaction.atomic(using=settings().DATABASE):
            row.save(using=settings().DATABASE, force_insert=True)
    except IntegrityError:  # somebody else was quicker
        return False
    return True


def _prune(rows: QuerySet[Remembered], limit: int) -> None:
    """Forget the oldest beyond the limit."""
    kept = rows.order_by("-seen_at", "-id").values_list("pk", flat=True)
    if excess := list(kept[limit : limit + 2 * PRUNED_AT_ONCE]):
        _rows().filter(pk__in=excess).delete()


def _rows() -> QuerySet[Remembered]:
    return Remembered.objects.using(settings().DATABASE)
