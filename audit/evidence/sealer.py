"""Seals the audit log: any process may, one does. The digest of each seal is noted outside of the database."""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.db import DatabaseError, Error, IntegrityError, connections, transaction

from audit.conf import seal_keys, settings
from audit.evidence import rows, triggers
from audit.evidence.anchors import Anchor
from audit.evidence.horizon import Horizon
from audit.evidence.log import last_seal
from audit.evidence.seals import Seal, make_seal
from audit.models import AuditSeal, SealerLease
from events.background import ThreadService
from events.conf import settings as events_settings
from events.types import utcnow

logger = logging.getLogger("audit.sealer")

# How long a process that died keeps the role.
LEASE: Final = timedelta(seconds=15)


class Sealer(ThreadService):
    """Seals what is settled, whenever it is asked to (`seal`), or in a thread of its own (`start`)."""

    name = "audit-sealer"

    def _reset(self) -> None:
        super()._reset()
        self._horizon = Horizon()
        self._holder = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"

    def seal(self) -> Iterator[Seal]:
        """Seal the rows that are settled, in ranges of at most `AUDIT["SEAL_MAX_ROWS"]`; yields each seal once it is committed.

        Ends at once where another process has the role. Raises DatabaseError.
        """
        last = last_seal()
        upto = self._horizon.settled()
        while upto > (last.last_id if last else 0) and self._take_role():
            seal = self._next_seal(last, upto)
            if seal is None or not _store(seal):
                return
            _anchor(seal)
            yield seal
            last = seal

    def is_wanted(self) -> bool:
        """See `ThreadService`."""
        return settings().SEAL_IN_BACKGROUND

    def run(self, stopping: threading.Event) -> None:
        """Seal until `stopping` is set; while the database is away, go on trying."""
        unprotected: list[str] | None = None
        while not stopping.is_set():
            try:
                if unprotected is None:
                    unprotected = _warn_unprotected()
                for _ in self.seal():
                    if stopping.is_set():
                        break
            except Error:
                logger.exception("The audit log can't be sealed now; the next look tries again")
                connections[events_settings().DATABASE].close()
            stopping.wait(settings().SEAL_INTERVAL)
        self.release()

    def release(self) -> None:
        """Give the role back, for another process to take at once."""
        try:
            SealerLease.objects.using(events_settings().DATABASE).filter(holder=self._holder).update(until=utcnow() - LEASE)
        except DatabaseError:
            logger.warning("The sealer's role could not be given back; another process takes it within %s", LEASE)

    def _next_seal(self, last: Seal | None, upto: int) -> Seal | None:
        """The seal after `last`, made and not stored; None where no row is left to be sealed."""
        limit = settings().SEAL_MAX_ROWS
        first_id = last.last_id + 1 if last else 1
        found = list(rows.read(first_id, upto, limit))
        if not found:
            return None
        return make_seal(found, found[-1]["id"] if len(found) == limit else upto, last, seal_keys()[0])

    def _take_role(self) -> bool:
        """Whether this process has the role: it had it, nobody had, or who had it did not renew in time. A lease that nobody takes (it
        ends later than one does, clocks that differ included) is none."""
        now = utcnow()
        leases = SealerLease.objects.using(events_settings().DATABASE)
        mine = {"holder": self._holder, "until": now + LEASE}
        row = leases.filter(id=1)
        free = row.filter(holder=self._holder) | row.filter(until__lt=now) | row.filter(until__gt=now + 2 * LEASE)
        if free.update(**mine):
            return True
        lease = SealerLease(id=1, **mine)
        return not row.exists() and bool(leases.bulk_create([lease], ignore_conflicts=True)) and free.update(**mine) == 1


sealer = Sealer()


def _store(seal: Seal) -> bool:
    """Write the seal. False where another process sealed these rows: the number is a primary key."""
    alias = events_settings().DATABASE
    try:
        with transaction.atomic(using=alias):
            AuditSeal.objects.using(alias).bulk_create([AuditSeal(**asdict(seal))])
    except IntegrityError:
        return False
    return True


def _anchor(seal: Seal) -> None:
    """Note the seal's digest where who may write the database may not."""
    line = json.dumps(Anchor.of(seal)._asdict())
    if settings().ANCHOR_LOGGER:
        logging.getLogger(settings().ANCHOR_LOGGER).info(line)
    if settings().ANCHOR_FILE:
        try:
            with Path(settings().ANCHOR_FILE).open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            logger.exception("Seal %d could not be anchored; the next one covers it", seal.number)


def _warn_unprotected() -> list[str]:
    missing = triggers.missing(connections[events_settings().DATABASE])
    if missing:
        logger.error("The audit log is not append-only: run `migrate` to put these triggers back: %s", ", ".join(missing))
    return missing
