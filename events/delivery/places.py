"""Counts the streams of each user over all processes, so that a limit holds wherever they connect.

A process counts its own in memory, and what it has open is in the database for the others. Rows count while the lease of their
process is renewed: those of a process that died are forgotten by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import Container
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.models import Q
from django.db.models.functions import Now

from events.conf import settings
from events.delivery.client import Client
from events.delivery.threads import DatabaseThreads
from events.models import HubLease, OpenStream
from events.stats import stats

logger = logging.getLogger("events.hub")

RENEWAL: Final = 5.0
# Renewed so long ago, a lease no longer counts; much longer ago, it is deleted.
EXPIRY: Final = timedelta(seconds=15)
DELETION: Final = timedelta(seconds=60)
# Places that are given back within so many seconds are given back in one statement.
GATHERING: Final = 0.1


class Places:
    """The places that this process's streams take. `reserve`, then `confirm`; `give_back` whatever became of it.

    `opening` confirms, where many may wait; `keeping` does what must not wait behind them.
    """

    def __init__(self, opening: DatabaseThreads, keeping: DatabaseThreads) -> None:
        self._opening = opening
        self._keeping = keeping
        self._process = uuid.uuid4().hex
        self._taken: defaultdict[str, set[str]] = defaultdict(set)  # rows by user
        self._rows: dict[Client, str] = {}
        self._given_back: list[str] = []
        self._something_given_back = asyncio.Event()

    def reserve(self, client: Client) -> bool:
        """Take a place as far as this process knows. False if the user has no more here."""
        if len(self._taken[client.user_id]) >= settings().SSE_MAX_CONNECTIONS_PER_USER:
            return False
        self._rows[client] = row = uuid.uuid4().hex
        self._taken[client.user_id].add(row)
        return True

    async def confirm(self, client: Client) -> bool:
        """Take the place in the eyes of all processes. False if the user has no more anywhere. Raises DatabaseError."""
        row, here = self._rows[client], self._taken[client.user_id]
        insert = partial(_insert, self._process, row, client.user_id, here)
        inserting = asyncio.ensure_future(self._opening.run(insert))
        inserting.add_done_callback(lambda _: self._free(row) if client not in self._rows else None)
        return await asyncio.shield(inserting)  # who leaves meanwhile does not stop the insert: its row is deleted after it

    def give_back(self, client: Client) -> None:
        """The place is free: here at once, for the others soon. Harmless if the client has none."""
        row = self._rows.pop(client, None)
        if row is None:
            return
        self._taken[client.user_id].discard(row)
        if not self._taken[client.user_id]:
            del self._taken[client.user_id]
        self._free(row)

    def _free(self, row: str) -> None:
        self._given_back.append(row)
        self._something_given_back.set()

    async def begin(self) -> None:
        """Take the lease, before the first place. Raises DatabaseError."""
        await self._keeping.run(partial(_renew, self._process, []))

    async def keep(self) -> None:
        """Renew the lease and tell the others what was given back, for ever."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(renewed + RENEWAL):
                    await self._something_given_back.wait()
                    await asyncio.sleep(GATHERING)
            self._something_given_back.clear()
            free, self._given_back = self._given_back, []
            try:
                if free:
                    await self._keeping.run(partial(_delete, free))
                if loop.time() >= renewed + RENEWAL:
                    renewed = loop.time()
                    open_now = [(row, client.user_id) for client, row in self._rows.items()]
                    await self._keeping.run(partial(_renew, self._process, open_now))
            except Exception:  # whatever happens here must not end the lease: log, count, try again
                self._given_back += free
                self._something_given_back.set()
                stats.count("hub_errors")
                logger.exception("The streams of this process can't be told to the others now")
                await asyncio.sleep(1.0)

    async def end(self) -> None:
        """Give all places back: the process takes no more streams."""
        with suppress(DatabaseError, InterfaceError, TimeoutError):  # the lease ends by itself
            async with asyncio.timeout(1.0):
                await self._keeping.run(partial(_end, self._process))


def _insert(process: str, row: str, user_id: str, here: Container[str]) -> bool:
    """Insert a row if a place is free. Of the rows of this process those count that it still holds: `here` changes meanwhile, so that
    a page that is loaded again does not meet its own old stream."""
    alias = settings().DATABASE
    with transaction.atomic(using=alias):
        if connections[alias].vendor == "postgresql":  # on SQLite there is one writer at a time anyway
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"events.places.{user_id}"])
        live = HubLease.objects.using(alias).filter(Q(seen_at__gt=Now() - EXPIRY) | Q(process=process))
        rows = OpenStream.objects.using(alias).filter(user_id=user_id, process__in=live.values("process"))
        taken = [held for held, whose in rows.values_list("id", "process") if whose != process or held in here]
        if len(taken) >= settings().SSE_MAX_CONNECTIONS_PER_USER:
            return False
        OpenStream.objects.using(alias).create(id=row, process=process, user_id=user_id)
    return True


def _delete(rows: list[str]) -> None:
    OpenStream.objects.using(settings().DATABASE).filter(id__in=rows).delete()


def _renew(process: str, open_now: list[tuple[str, str]]) -> None:
    """Renew the lease; make it (again, with all rows) if it is not there: others thought that the process was dead."""
    alias = settings().DATABASE
    leases, streams = HubLease.objects.using(alias), OpenStream.objects.using(alias)
    with transaction.atomic(using=alias):
        if not leases.filter(process=process).update(seen_at=Now()):
            leases.create(process=process, seen_at=Now())
            rows = [OpenStream(id=row, process=process, user_id=user_id) for row, user_id in open_now]
            streams.bulk_create(rows, ignore_conflicts=True)
        dead = leases.filter(seen_at__lt=Now() - DELETION)
        streams.filter(process__in=dead.values("process")).delete()
        dead.delete()


def _end(process: str) -> None:
    alias = settings().DATABASE
    with transaction.atomic(using=alias):
        OpenStream.objects.using(alias).filter(process=process).delete()
        HubLease.objects.using(alias).filter(process=process).delete()
