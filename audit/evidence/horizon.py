"""Up to which row the log is settled: no row that is not there yet will ever appear before it. Writers are never held up.

SQLite has one writer at a time, so ids are given in commit order. On PostgreSQL a transaction may commit a lower id later. It locks
the table (ROW EXCLUSIVE, which excludes no other writer) before it takes an id from the sequence, and keeps that lock to its end: once
all who held it when the sequence stood at an id are gone, all ids up to that one are committed, or never will be.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import connections, models

from audit.models import AuditEntry
from events.conf import settings

PG_LAST_ID: Final = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"
PG_LOCKS: Final = """
  FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND relation = '"audit_log"'::regclass
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Not only virtual transactions of backends: a prepared transaction (two-phase commit) holds its locks here too.
PG_WRITERS: Final = f"SELECT virtualtransaction {PG_LOCKS}"
PG_OLDEST: Final = f"""
SELECT least((SELECT min(xact_start) FROM pg_stat_activity WHERE pid IN (SELECT pid {PG_LOCKS})),
             (SELECT min(prepared) FROM pg_prepared_xacts WHERE database = current_database()))
"""


class Horizon:
    """Looks at the log now and again; `settled` says up to which id it may be sealed."""

    def __init__(self) -> None:
        self._settled = 0
        self._waiting_for: frozenset[str] = frozenset()
        self._next = 0

    def settled(self) -> int:
        """The id up to which no further row will appear, as far as is known by now. Raises DatabaseError."""
        connection = connections[settings().DATABASE]
        if connection.vendor == "sqlite":
            return AuditEntry.objects.using(connection.alias).aggregate(last=models.Max("id"))["last"] or 0
        if not self._waiting_for:
            self._next = _last_id()  # before who writes is looked up: who comes later takes higher ids
            if self._next < self._settled:  # an older database was restored
                self._settled = 0
            self._waiting_for = _writers()
        else:
            self._waiting_for &= _writers()
        if not self._waiting_for:
            self._settled = self._next
        return self._settled


def _last_id() -> int:
    with connections[settings().DATABASE].cursor() as cursor:
        cursor.execute("SELECT pg_get_serial_sequence('\"audit_log\"', 'id')")
        (sequence,) = cursor.fetchone()
        cursor.execute(PG_LAST_ID.format(sequence=sequence))
        return int(cursor.fetchone()[0])


def _writers() -> frozenset[str]:
    with connections[settings().DATABASE].cursor() as cursor:
        cursor.execute(PG_WRITERS)
        return frozenset(writer for (writer,) in cursor.fetchall())


def oldest_writer() -> datetime | None:
    """Since when the oldest transaction is open that has written to the log. None where there is none, or where the database does not
    tell this role. On SQLite always: there a transaction hides no row that others wait for. Raises DatabaseError."""
    connection = connections[settings().DATABASE]
    if connection.vendor == "sqlite":
        return None
    with connection.cursor() as cursor:
        cursor.execute(PG_OLDEST)
        moment: datetime | None = cursor.fetchone()[0]
    return moment
