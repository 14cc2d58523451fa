"""The database is locked, restarted, pruned, or restored from a backup."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connections

from tests.support.databases import Databases
from tests.support.faults.check import check_client
from tests.support.faults.scene import IS_FULL, Scene
from tests.support.server import Servers
from tests.support.services import OwnPostgreSQL
from tests.support.waiting import await_for

PRUNE = "from events import retention\nresult = sum(retention.prune(upto))"
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
TABLES = ("events_journal", "events_journal_head")


@pytest.fixture(scope="module")
def scene(serve_module: Servers) -> Scene:
    return Scene(serve_module)


async def test_sqlite_is_locked_by_a_slow_writer(scene: Scene) -> None:
    if scene.database != "SQLite":
        pytest.skip("PostgreSQL locks rows")
    async with scene.flow("database locked") as flow:
        writer = sqlite3.connect(file_of(scene), isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        await asyncio.sleep(3 if IS_FULL else 1)
        writer.execute("ROLLBACK")
        writer.close()
        flow.over()
    flow.assert_unbroken()


async def test_the_journal_is_pruned_under_a_client_that_is_away(scene: Scene) -> None:
    away = scene.client("alice", "sse")
    async with scene.flow("journal pruned under a client", [*scene.clients(), away]) as flow:
        await away.stop()
        before = away.last
        flow.clients.remove(away)
        await flow.received(away.received * 4)
        await flow.keeps_up()
        upto = (await flow.truth())[-1].position
        await flow.keeps_up()
        assert await asyncio.to_thread(scene.emitter.run, PRUNE, upto=upto)
        flow.clients.append(away)
        away.start()
        await await_for(lambda: len(away.spans) == 2, "the client to be told")
        flow.over()
    # Twice if the server that it came to had not delivered all of it either.
    assert [span.outcome for span in away.spans] in (["fresh", "gap"], ["fresh", "gap", "gap"])
    assert away.spans[1].start > before


async def test_the_journal_is_pruned_past_what_the_servers_have_delivered(scene: Scene) -> None:
    """Which hears of events by looking once a second: what is gone when it looks, its clients must be told of."""
    client = scene.client("alice", "sse")
    async with scene.flow("journal pruned under the servers", [client]) as flow:
        flow.emitted += await scene.ask("finish")
        await flow.truth()
        await flow.keeps_up()
        await scene.ask("burst", 30)
        upto = (await flow.truth())[-1].position
        assert await asyncio.to_thread(scene.emitter.run, PRUNE, upto=upto)
        await scene.ask("start", 40, 100, scene.users)
    assert [span.outcome for span in client.spans] in (["fresh"], ["fresh", "gap"])


async def test_the_database_is_restored_from_a_backup(scene: Scene) -> None:
    """The restored journal goes on in the same epoch, and overtakes the one that was lost before anybody looks."""
    away = scene.client("alice", "sse")
    async with scene.flow("restored from a backup", [*(c for c in scene.clients() if not c.restless), away]) as flow:
        flow.emitted.clear()
        await scene.ask("finish")
        backup = Backup(scene)
        lost = await scene.ask("burst", 30)
        rows = await flow.truth()
        await flow.keeps_up()
        await away.stop()
        for client in flow.clients:
            check_client(client, flow.histories)
        epoch = next(iter(flow.histories))
        backup.restore()
        after = await scene.ask("burst", 60)
        away.start()
        await await_for(lambda: all(c.spans[-1].epoch != epoch for c in flow.clients), "a new epoch", 5)
        flow.over()
        for client in flow.clients:  # until it was noticed, who came with an old cursor may have got events of either
            del client.spans[:-1]
        assert rows[-1].event_id == lost[-1]
        await scene.ask("start", 40, 100, scene.users)
    state = await scene.ask("journal")
    assert [row[1] for row in state["rows"] if row[1] in set(after)] == after
    assert all(client.spans[-1].outcome == "gap" for client in flow.clients)


async def test_postgresql_ends_all_connections(scene: Scene) -> None:
    if scene.database != "PostgreSQL":
        pytest.skip("SQLite has no connections")
    async with scene.flow("database connections ended") as flow:
        for _ in range(3):
            with psycopg.connect(scene.servers[0].env["DATABASE_URL"], autocommit=True) as connection:
                connection.execute(TERMINATE)
            await asyncio.sleep(0.2)
        flow.over()
    flow.assert_unbroken()


@pytest.fixture
def own_scene(
    scene: Scene, own_postgresql: OwnPostgreSQL, redis_url: str, collected_static: Path, tmp_path: Path
) -> Iterator[Scene]:
    """On a PostgreSQL that may be stopped."""
    servers = Servers(Databases(tmp_path, own_postgresql.url), tmp_path, collected_static, lambda: redis_url)
    yield Scene(servers, redis=True)
    servers.end()


@pytest.mark.skipif(not IS_FULL, reason="for the full run")
@pytest.mark.skipif(connections["default"].vendor != "postgresql", reason="SQLite can't be stopped")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_postgresql_is_restarted(own_scene: Scene, own_postgresql: OwnPostgreSQL, how: signal.Signals) -> None:
    async with own_scene.flow(f"database restarted ({how.name})") as flow:
        await asyncio.to_thread(own_postgresql.stop, how)
        await asyncio.sleep(1)
        await asyncio.to_thread(own_postgresql.start)
        flow.over()


def file_of(scene: Scene) -> str:
    """The file of the scene's SQLite database."""
    return urlsplit(scene.servers[0].env["DATABASE_URL"]).path


class Backup:
    """The scene's journal as it is now, to be put back under the feet of everybody. On SQLite the whole database."""

    def __init__(self, scene: Scene) -> None:
        self._url = scene.servers[0].env["DATABASE_URL"]
        self._copy = sqlite3.connect(":memory:") if scene.database == "SQLite" else None
        if self._copy:
            with sqlite3.connect(file_of(scene)) as live:
                live.backup(self._copy)
            live.close()
        else:
            self._execute("DROP TABLE IF EXISTS backup_{0}; CREATE TABLE backup_{0} AS SELECT * FROM {0}")

    def restore(self) -> None:
        """Put it back."""
        if self._copy:
            with sqlite3.connect(urlsplit(self._url).path, timeout=10) as live:
                self._copy.backup(live)
            live.close()
            self._copy.close()
        else:
            self._execute("DELETE FROM {0}; INSERT INTO {0} SELECT * FROM backup_{0}")

    def _execute(self, statement: str) -> None:
        """On each table, all as they are at one moment: others go on writing."""
        with psycopg.connect(self._url) as connection:
            connection.execute(f"LOCK TABLE {', '.join(TABLES)} IN EXCLUSIVE MODE")
            for table in TABLES:
                connection.execute(statement.format(table))
