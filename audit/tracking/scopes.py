"""What was recorded in a transaction, and whether that is still true: a savepoint, or all of it, may be rolled back."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakSet

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.conf import settings
from audit.models import AuditEntry
from audit.signals import entries_recorded
from audit.tracking.entries import Row, insert
from events.conf import settings as events_settings

# So many ids of entries go with the signal `entries_recorded`.
MAX_IDS = 1_000


_LEDGER = "audit_ledger"


class _Token:
    """Held by Django's list of what to do after the commit, and by nothing else: a rollback drops it."""


class _Savepoints:
    """Those whose rollback undoes what is done now: all that there are, also those that were made without `atomic`.

    Django asks it when it rolls back to one, and numbers them (`s<thread>_x<number>`) as they are made.
    """

    def __init__(self, latest: int) -> None:
        self._latest = latest

    def __contains__(self, savepoint: str) -> bool:
        number = savepoint.rpartition("_x")[2]
        return not number.isdecimal() or int(number) <= self._latest  # of one with a name of its own nobody knows: rather all


# Those of all transactions that have recorded something and are still open.
_open: WeakSet[_Token] = WeakSet()


class Scope:
    """What was recorded between a savepoint and the next, or the end: it is committed, or rolled back, as one.

    Django forgets at a rollback what was to be done after the commit. That is how a scope knows.
    """

    def __init__(self, connection: BaseDatabaseWrapper, rows: Sequence[Row] = ()) -> None:
        token = _Token()
        self.committed = False
        self.ids: list[str] = []
        self.count = 0
        self.savepoint: int = connection.savepoint_state
        self._alias = connection.alias
        self._token = weakref.ref(token)
        _open.add(token)
        self.add(rows)

        def committed(token: _Token = token) -> None:
            self._committed()

        # After `set_autocommit(False)` Django refuses `on_commit`, but looks at its list: at a rollback, and when autocommit is back.
        self.is_by_hand = not (connection.commit_on_exit if connection.in_atomic_block else connection.get_autocommit())
        if connection.in_atomic_block or self.is_by_hand:
            connection.run_on_commit.append((_Savepoints(self.savepoint), committed, True))  # type: ignore[arg-type]
        else:
            transaction.on_commit(committed, using=connection.alias, robust=True)  # that is at once

    @property
    def is_valid(self) -> bool:
        """Whether it is not rolled back."""
        return self.committed or self._token() is not None

    @property
    def is_open(self) -> bool:
        """Whether it may still be rolled back."""
        return not self.committed and self._token() is not None

    def add(self, rows: Sequence[Row]) -> None:
        """Note that these were recorded."""
        self.count += len(rows)
        if len(self.ids) < MAX_IDS:
            self.ids += [row.event_id for row in rows[: MAX_IDS - len(self.ids)]]

    def _committed(self) -> None:
        self.committed = True
        if self.count:
            entries_recorded.send(AuditEntry, using=self._alias, count=self.count, event_ids=self.ids)


class Batch:
    """Rows that are written together, when the operation that they belong to is done."""

    def __init__(self) -> None:
        self._rows: list[tuple[Scope, Row, Batch]] = []

    def add(self, scope: Scope, rows: Sequence[Row]) -> None:
        """More of them."""
        self._rows += [(scope, row, self) for row in rows]

    def take(self, batch: Batch) -> None:
        """The rows of an operation within this one."""
        self._rows += batch._rows

    def revise(self, revised: Callable[[Row], Row | None]) -> None:
        """Replace each row of the operation itself, or drop it where None is given. What operations within it recorded stays."""
        new = [(scope, revised(row) if of is self else row, of) for scope, row, of in self._rows]
        self._rows = [(scope, row, of) for scope, row, of in new if row is not None]

    def rows(self, own: bool = False) -> list[Row]:
        """Those that were not rolled back meanwhile; `own`: those of the operation itself."""
        return [row for scope, row, of in self._rows if scope.is_valid and (of is self or not own)]


class Ledger:
    """Of one connection: the scopes of the transaction that is open, in order, and the batch that waits."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.batch: Batch | None = None

    def latest(self) -> Scope | None:
        """The latest scope that is open. None of the others is rolled back without it. Forgets those of transactions that are over."""
        while self.scopes and not self.scopes[-1].is_open:
            self.scopes.pop()
        return self.scopes[-1] if self.scopes else None


def ledger(connection: BaseDatabaseWrapper) -> Ledger:
    """The connection's. Kept with it, so that both end together."""
    found: Ledger | None = connection.__dict__.get(_LEDGER)
    if found is None:
        found = connection.__dict__[_LEDGER] = Ledger()
    return found


def scope_here(connection: BaseDatabaseWrapper, written: Sequence[Row] = ()) -> Scope:
    """The scope of what is recorded now, with the rows that were `written`."""
    of = ledger(connection)
    scope = of.latest()
    if scope is None or scope.savepoint != connection.savepoint_state:
        scope = Scope(connection, written)
        of.scopes.append(scope)
    else:
        scope.add(written)
    return scope


def scope_of_reading(using: str) -> Scope | None:
    """The scope that what is read now depends on: what was recorded before, in the same transaction, may yet be rolled back."""
    return ledger(connections[using]).latest() if _open else None


def record(connection: BaseDatabaseWrapper, rows: Sequence[Row]) -> Scope:
    """Write the rows in the transaction that is open, or put them to the batch that is. Raises ValueError, see `ensure_together`."""
    if rows:
        ensure_together(connection, rows[0].resource_type)
    waiting = ledger(connection).batch
    if waiting is not None:
        scope = scope_here(connection)
        waiting.add(scope, rows)
        return scope
    insert(connection, rows)
    return scope_here(connection, rows)


def ensure_together(connection: BaseDatabaseWrapper, resource_type: str) -> None:
    """Raises ValueError where the connection is to another database than the audit log is in: they could not commit together."""
    alias = events_settings().DATABASE
    if connection.alias != alias:
        text = f"{resource_type} is tracked: it can't be written to the database {connection.alias!r}, as the audit log is in {alias!r}."
        raise ValueError(text)


def transaction_of(connection: BaseDatabaseWrapper) -> AbstractContextManager[Any]:
    """The caller's transaction, or one of our own where there is none: a change and its entry are one."""
    # Without autocommit SQLite would commit at the end of `atomic`.
    is_open = connection.in_atomic_block or (connection.vendor == "sqlite" and not connection.get_autocommit())
    return nullcontext() if is_open else transaction.atomic(using=connection.alias)


@contextmanager
def batch(using: str, summarised: Callable[[list[Row]], Row]) -> Iterator[Batch]:
    """Write what is recorded in the block with one statement at its end, in one transaction with it.

    Of more than `AUDIT["BULK_LIMIT"]` rows of one type, `summarised` makes the one that is written. A batch in a batch is written with it.
    What fails with rows that are not written can't be committed by who catches the exception: the transaction has to be rolled back.
    """
    connection = connections[using]
    of = ledger(connection)
    around, collected = of.batch, Batch()
    with transaction_of(connection):
        of.batch, is_done = collected, False
        try:
            yield collected
            is_done = True
        finally:
            of.batch = around
            if around is not None:
                around.take(collected)
            elif not is_done and collected.rows() and connection.in_atomic_block:
                transaction.set_rollback(True, using)
        with transaction.mark_for_rollback_on_error(using):
            if around is None and (rows := _limited(collected.rows(), summarised)):
                insert(connection, rows)
                scope_here(connection, rows)


def _limited(rows: list[Row], summarised: Callable[[list[Row]], Row]) -> list[Row]:
    many = {kind for kind, number in Counter(row.event_type for row in rows).items() if number > settings().BULK_LIMIT}
    if not many:
        return rows
    kept = [row for row in rows if row.event_type not in many]
    return kept + [summarised([row for row in rows if row.event_type == kind]) for kind in sorted(many)]
