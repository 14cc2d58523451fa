"""More is emitted than the database takes: what waits is bounded, and what matters is stored."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg

from tests.support.databases import Databases, base_environment
from tests.support.faults.overload import PAD
from tests.support.faults.scene import IS_FULL
from tests.support.remote import DjangoProcess

EVENTS = 20_000 if IS_FULL else 2_000
ROOM = EVENTS // 40
STORED = """
from events.models import JournalEntry
events = [row.event for row in JournalEntry.objects.filter(position__isnull=False)]
result = [event.data["n"] for event in events if "derived_from" not in event.metadata]
"""


@contextmanager
def locked(url: str) -> Iterator[None]:
    """The database takes no event while the block runs."""
    if url.startswith("postgres"):
        with psycopg.connect(url) as holder:
            holder.execute("LOCK TABLE events_journal_head, events_journal IN EXCLUSIVE MODE")
            yield
    else:
        writer = sqlite3.connect(urlsplit(url).path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        yield
        writer.execute("ROLLBACK")
        writer.close()


async def test_what_waits_is_bounded_and_what_matters_is_stored(databases: Databases, tmp_path) -> None:
    url = databases.create()
    settings = {"EVENTS_WRITE_QUEUE_MAXSIZE": str(ROOM), "EVENTS_WRITE_TIMEOUT": "120", "VAR_DIR": str(tmp_path)}
    with DjangoProcess(base_environment() | {"DATABASE_URL": url} | settings) as emitter:
        with locked(url):
            grown = await asyncio.to_thread(emitter.call, "tests.support.faults.overload.begin", EVENTS)
        stored = await asyncio.to_thread(emitter.call, "tests.support.faults.overload.results")
        dropped = emitter.call("tests.support.faults.overload.dropped")
        kept = emitter.run(STORED)
    databases.drop(url)
    low, normal = stored["low"], stored["normal"]
    assert all(stored["high"])
    assert all(stored["critical"])
    assert dropped == low.count(False) + normal.count(False) > 0
    assert low.count(True) < normal.count(True) <= 2 * ROOM + 500  # 500 may be in the publisher's hands
    assert low.index(False) / len(low) < normal.index(False) / len(normal), "LOW ones are shed first"
    assert len(kept) == sum(answers.count(True) for answers in stored.values())
    assert len(set(kept)) == len(kept)
    assert grown < EVENTS * len(PAD) / 2**20 / 2, "memory grows with what is shed"
