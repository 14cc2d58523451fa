"""Emits while a fault happens, and remembers what became of it. Called in a DjangoProcess: the third process of a flow."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable
from typing import Any

from django.db import Error, connection, transaction

from events import emit
from events.models import JournalEntry, JournalHead
from events.types import UnifiedEvent, create_event

# After the wanted number, events go on at this rate until the fault is over.
RATE_AFTER = 100.0


class RolledBack(Exception):
    """What ends a transaction that leaves nothing."""


class Emitter(threading.Thread):
    """Emits at least `events` events at `rate` a second, and goes on until it is told to finish.

    In transactions each third is rolled back, and `hold` seconds at most pass between the write and the commit.
    """

    def __init__(self, number: int, events: int, rate: float, users: list[str], in_transactions: bool, hold: float) -> None:
        super().__init__(daemon=True)
        self.events = events
        self.rate = rate
        self.users = users
        self.in_transactions = in_transactions
        self.hold = hold
        self.finish = threading.Event()
        self.made = 0
        self.committed: list[str] = []
        self.rolled_back: list[str] = []
        self.unknown: list[str] = []
        self.random = random.Random(number)

    def run(self) -> None:
        due = time.monotonic()
        while self.made < self.events or not self.finish.is_set():
            before = self.made
            if self.in_transactions:
                self._emit_in_transaction()
            else:
                self._emit_one()
            # What a fault held up is made up for, but not in one go.
            due = max(due, time.monotonic() - 0.5) + (self.made - before) / (self.rate if self.made < self.events else RATE_AFTER)
            time.sleep(max(0.0, due - time.monotonic()))
        connection.close()

    def _event(self) -> UnifiedEvent:
        """One in four is alice's or bob's alone, one in sixteen for staff."""
        self.made += 1
        if self.made % 16 == 0:
            return create_event("monitoring", "fault.staff", {"n": self.made})
        user_id = self.users[self.made // 4 % len(self.users)] if self.made % 4 == 0 else None
        return create_event("realtime", "fault.kept" if self.made % 3 else "fault.other", {"n": self.made}, user_id=user_id)

    def _emit_one(self) -> None:
        event = self._event()
        (self.committed if emit(event) else self.unknown).append(event.id)

    def _emit_in_transaction(self) -> None:
        outer, inner, last = self._event(), self._event(), self._event()
        vanishes = self.made % 9 == 0
        ids = [outer.id, last.id]
        try:
            with transaction.atomic():
                told = [emit(outer)]
                self._emit_in_savepoint(inner)
                told.append(emit(last))
                time.sleep(self.random.uniform(0, self.hold))
                if vanishes:
                    raise RolledBack
            for event_id, stored in zip(ids, told, strict=True):
                (self.committed if stored else self.unknown).append(event_id)
        except RolledBack:
            self.rolled_back += ids
        except Error:  # the database went away: before the commit or after it, who knows
            self.unknown += ids
            connection.close()
            time.sleep(0.05)

    def _emit_in_savepoint(self, event: UnifiedEvent) -> None:
        self.rolled_back.append(event.id)
        try:
            with transaction.atomic():
                emit(event)
                raise RolledBack
        except RolledBack:
            pass


_emitters: list[Emitter] = []


def start(events: int, rate: float, users: list[str], threads: int = 1, hold: float = 0.0) -> None:
    """Begin to emit: half of the events outside of transactions in one thread, half in transactions in `threads` more."""
    _emitters[:] = [Emitter(0, events // 2, rate / 2, users, False, 0.0)]
    share = threads * 2
    _emitters.extend(Emitter(n, events // share, rate / share, users, True, hold) for n in range(1, threads + 1))
    for emitter in _emitters:
        emitter.start()


def finish() -> list[dict[str, list[str]]]:
    """Stop emitting. For each emitter, in its order: what it committed, what it rolled back, and what it can't tell of."""
    for emitter in _emitters:
        emitter.finish.set()
    for emitter in _emitters:
        emitter.join()
    return [{"committed": e.committed, "rolled_back": e.rolled_back, "unknown": e.unknown} for e in _emitters]


def burst(number: int) -> list[str]:
    """Commit so many events in one transaction. Their ids."""
    made = [create_event("realtime", "fault.kept", {"n": n}) for n in range(number)]
    with transaction.atomic():
        for event in made:
            emit(event)
    return [event.id for event in made]


def journal() -> dict[str, Any]:
    """The journal as it is: its head, its rows in order (position, id, type, audience), and how many wait in the outbox."""
    connection.close_if_unusable_or_obsolete()
    waiting = JournalEntry.objects.filter(position=None).count()  # first: what gets its position after it is among the rows
    head = JournalHead.objects.values_list("epoch", "position", "pruned").first() or ("", 0, 0)
    rows: Iterable[tuple[Any, ...]] = (
        JournalEntry.objects.filter(position__isnull=False)
        .order_by("position")
        .values_list("position", "event_id", "event_type", "audience")
    )
    return {"head": list(head), "rows": list(rows), "waiting": waiting}
