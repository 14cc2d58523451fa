"""Rows are sealed within seconds, once, and none is missed."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, connections, transaction

from audit.conf import seal_keys
from audit.evidence import log, rows
from audit.evidence.canonical import CURRENT_FORMAT, row_digest
from audit.evidence.horizon import Horizon
from audit.evidence.sealer import LEASE, Sealer, _store
from audit.evidence.seals import make_seal
from audit.models import AuditEntry, SealerLease
from events.types import utcnow
from tests.support.auditing import execute, found, seal, verify, write, write_old
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")


def test_rows_are_sealed_and_verified() -> None:
    ids = write(5)
    assert seal() == 1
    (made,) = log.seals()
    assert (made.number, made.first_id, made.last_id, made.count) == (1, 1, ids[-1], 5)
    verifier = verify()
    assert (verifier.findings, verifier.rows, verifier.seals) == ([], 5, 1)


def test_ranges_follow_on_each_other_and_hold_so_many_rows(settings: Any) -> None:
    settings.AUDIT = settings.AUDIT | {"SEAL_MAX_ROWS": 2}
    ids = write(5)
    assert seal() == 3
    ranges = [(made.first_id, made.last_id) for made in log.seals()]
    assert ranges == [(1, ids[1]), (ids[1] + 1, ids[3]), (ids[3] + 1, ids[4])]
    assert [made.previous for made in log.seals()] == ["", *[made.digest_of_all for made in log.seals()][:2]]
    assert seal() == 0


def test_what_the_sealer_reads_is_what_was_written() -> None:
    (row_id,) = write(1, correlation_id="c", session_id="s")
    entry = AuditEntry.objects.get()
    (row,) = rows.read(row_id)
    assert row["timestamp"] == entry.timestamp.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert (row["data"], row["metadata"]) == (entry.data, entry.metadata) or row["data"]["n"] == entry.data["n"]
    assert (row["ip_address"], row["user_id"], row["personal_salt"]) == ("203.0.113.9", "7", entry.personal_salt)
    assert len(entry.personal_salt) == 32


# No row is missed


def another_connection() -> psycopg.Connection[Any]:
    values = connection.get_connection_params()
    return psycopg.connect(**{name: values[name] for name in ("dbname", "user", "host", "port", "password") if values.get(name)})


@POSTGRESQL
def test_a_row_that_commits_late_holds_up_its_seal_and_no_writer() -> None:
    columns = [f.column for f in AuditEntry._meta.concrete_fields if f.column != "id"]
    write()
    copy = f"INSERT INTO audit_log ({', '.join(columns)}) SELECT {', '.join(columns)} FROM audit_log LIMIT 1 RETURNING id"
    sealer = Sealer()
    assert [made.count for made in sealer.seal()] == [1]
    with another_connection() as slow:
        (late,) = slow.execute(copy).fetchone()
        (soon,) = write()
        assert late < soon
        assert list(sealer.seal()) == []
        (later,) = write()  # no lock on writers
        assert list(sealer.seal()) == []
        slow.commit()
        assert [(made.count, made.last_id) for made in sealer.seal()] == [(2, soon)]
    list(sealer.seal())
    assert log.last_seal().last_id == later
    assert [row.id for made in log.seals() for row in made.sealed_rows()] == sorted(
        AuditEntry.objects.values_list("id", flat=True)
    )
    assert found() == []


@POSTGRESQL
def test_a_row_of_a_transaction_that_is_rolled_back_or_prepared_is_waited_for() -> None:
    columns = [f.column for f in AuditEntry._meta.concrete_fields if f.column != "id"]
    write()
    copy = f"INSERT INTO audit_log ({', '.join(columns)}) SELECT {', '.join(columns)} FROM audit_log LIMIT 1 RETURNING id"
    sealer = Sealer()
    list(sealer.seal())
    with another_connection() as slow:
        slow.execute(copy)
        slow.execute("SAVEPOINT a")
        slow.execute(copy)
        slow.execute("ROLLBACK TO a")
        (soon,) = write()
        assert list(sealer.seal()) == []
        slow.rollback()
    (made,) = sealer.seal()
    assert (made.count, made.last_id) == (1, soon)


@POSTGRESQL
def test_after_an_older_database_was_restored_nothing_is_taken_for_settled() -> None:
    write(5)
    horizon = Horizon()
    before = horizon.settled()
    execute("SELECT setval(pg_get_serial_sequence('audit_log', 'id'), %s)", before + 100)
    assert horizon.settled() == before + 100
    execute("SELECT setval(pg_get_serial_sequence('audit_log', 'id'), %s)", before)
    with another_connection() as slow:
        slow.execute("LOCK TABLE audit_log IN ROW EXCLUSIVE MODE")
        assert horizon.settled() == 0
        slow.rollback()
    assert horizon.settled() == before


@pytest.mark.parametrize("writers", [3])
def test_while_writers_write_every_row_is_sealed_once(writers: int) -> None:
    stop, sealing = threading.Event(), Sealer()

    def write_some(number: int) -> None:
        for n in range(8):
            with transaction.atomic():
                write(2)
                if (n + number) % 4 == 0:
                    transaction.set_rollback(True)
        connections.close_all()

    def seal_on() -> None:
        while not stop.is_set():
            list(sealing.seal())
        connections.close_all()

    threads = [threading.Thread(target=write_some, args=[number]) for number in range(writers)]
    sealer = threading.Thread(target=seal_on)
    for thread in (*threads, sealer):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    sealer.join()
    list(sealing.seal())
    list(sealing.seal())
    sealed = [row.id for made in log.seals() for row in made.sealed_rows()]
    assert sealed == list(AuditEntry.objects.order_by("id").values_list("id", flat=True))
    assert found() == []


# One sealer


def test_one_process_has_the_role_and_another_takes_it_when_that_is_gone() -> None:
    first, second = Sealer(), Sealer()
    write()
    assert len(list(first.seal())) == 1
    write()
    assert list(second.seal()) == []
    SealerLease.objects.update(until="2020-01-01T00:00Z")  # it died, a lease ago
    assert len(list(second.seal())) == 1
    write()
    assert list(first.seal()) == []


@pytest.mark.parametrize("row_id", [1, 2])
def test_a_lease_that_nobody_takes_stops_no_sealer(row_id: int) -> None:
    write()
    SealerLease.objects.create(id=row_id, holder="nobody", until="2999-01-01T00:00Z")
    assert seal() == 1
    SealerLease.objects.filter(id=1).update(holder="nobody", until=utcnow() + LEASE / 2)
    write()
    assert seal() == 0, "another has it"


# What waits for too long


def test_rows_that_nobody_seals_are_found() -> None:
    assert found() == []
    first, second = write_old(utcnow() - timedelta(minutes=2), 2)
    write()
    assert found() == [("not sealed", first, second)]
    assert f"2 rows from {first} to {second} are older than a minute and have no seal; nothing seals them" in told()
    seal()
    assert found() == []
    (late,) = write_old(utcnow() - timedelta(minutes=2))
    assert found() == [("not sealed", late, late)]


def told() -> str:
    return verify().findings[0].message


def test_rows_that_wait_no_longer_than_sealing_takes_are_no_fault(settings: Any) -> None:
    settings.AUDIT = settings.AUDIT | {"SEAL_INTERVAL": 120}
    write_old(utcnow() - timedelta(minutes=2))
    assert found() == []
    write_old(utcnow() - timedelta(minutes=4))
    assert len(found()) == 1


@POSTGRESQL
def test_rows_that_an_open_transaction_holds_up_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "LATE", -timedelta(hours=1))  # whoever waits, waits for too long
    (row_id,) = write()
    with another_connection() as slow:
        slow.execute("LOCK TABLE audit_log IN ROW EXCLUSIVE MODE")
        assert found() == [("not sealed", row_id, row_id)]
        assert "; a transaction that wrote to the log is open since 2" in told()
        slow.rollback()
    assert "; nothing seals them" in told()


def test_two_that_seal_the_same_rows_make_one_seal() -> None:
    write(3)
    first, second = (make_seal(list(rows.read(1)), 3, None, seal_keys()[0]) for _ in range(2))
    assert _store(first)
    assert not _store(second)
    assert len(list(log.seals())) == 1


def test_a_sealer_that_dies_between_reading_and_writing_leaves_nothing_behind() -> None:
    write(3)
    dying = Sealer()
    assert dying._take_role()
    assert dying._next_seal(None, AuditEntry.objects.latest("id").id) is not None  # read, and never written
    SealerLease.objects.update(until="2020-01-01T00:00Z")
    assert seal() == 1
    assert verify().rows == 3
    assert found() == []


def test_a_thread_seals_until_it_is_stopped(settings: Any) -> None:
    settings.AUDIT = settings.AUDIT | {"SEAL_IN_BACKGROUND": True, "SEAL_INTERVAL": 0.02}
    sealer = Sealer()
    sealer.start()
    try:
        write(2)
        # In one seal or in two: a look in the middle of the insert seals up to the id that was given last.
        wait_for(lambda: sum(made.count for made in log.seals()) == 2, "both are sealed")
    finally:
        sealer.stop()
    assert seal() == 0, "it gave the role back, and there is nothing left"


# What is sealed


def test_the_digest_is_that_of_the_documentation() -> None:
    write()
    (row,) = rows.read(1)
    seal()
    (sealed,) = next(iter(log.seals())).sealed_rows()
    assert sealed.digest == row_digest(row, CURRENT_FORMAT)
