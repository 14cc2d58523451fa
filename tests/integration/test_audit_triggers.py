"""The database refuses to change the audit log, whoever asks: SQLite and PostgreSQL alike."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import IntegrityError, connection, migrations, models, transaction
from django.db.migrations.state import ProjectState

from audit import testing
from audit.evidence import holds, triggers
from audit.models import AuditEntry, AuditSeal
from tests.support.auditing import execute, found, seal, tamper, write

pytestmark = pytest.mark.django_db(transaction=True)

COPY = ", ".join(f'"{field.column}"' for field in AuditEntry._meta.concrete_fields)
CHANGES = {
    "UPDATE": "UPDATE audit_log SET outcome = 'success'",
    "UPDATE of a personal column": "UPDATE audit_log SET user_id = NULL",
    "DELETE": "DELETE FROM audit_log",
    "upsert": f"INSERT INTO audit_log ({COPY}) SELECT {COPY} FROM audit_log WHERE true ON CONFLICT (id) DO UPDATE SET outcome = 'success'",
}
ONLY_SQLITE = {"REPLACE": f"REPLACE INTO audit_log ({COPY}) SELECT {COPY} FROM audit_log"}
ONLY_POSTGRESQL = {
    "TRUNCATE": "TRUNCATE audit_log",
    "a replica's DELETE": "SET LOCAL session_replication_role = replica; DELETE FROM audit_log",
    "a DELETE that a temporary table allows": """
        CREATE TEMPORARY TABLE audit_removal ON COMMIT DROP AS SELECT 1 AS first_id, 99 AS last_id, '' AS category, '2999-01-01T' AS until;
        DELETE FROM audit_log""",
}


@pytest.mark.parametrize("how", [*CHANGES, *ONLY_SQLITE, *ONLY_POSTGRESQL])
def test_an_entry_can_be_neither_changed_nor_removed(how: str) -> None:
    here = ONLY_SQLITE if connection.vendor == "sqlite" else ONLY_POSTGRESQL
    if how not in CHANGES | here:
        pytest.skip("not on this database")
    write()
    kept = AuditEntry.objects.values().get()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        execute((CHANGES | here)[how])
    assert AuditEntry.objects.values().get() == kept


@pytest.mark.parametrize("table", sorted(triggers.APPEND_ONLY))
@pytest.mark.parametrize(
    "statement", ["DELETE FROM {}", "UPDATE {} SET {} = {}", "TRUNCATE {}", "REPLACE INTO {} SELECT * FROM {}"]
)
def test_what_allows_a_change_can_not_be_changed_itself(table: str, statement: str) -> None:
    sqlite = connection.vendor == "sqlite"
    if statement.startswith("TRUNCATE" if sqlite else "REPLACE"):
        pytest.skip("not on this database")
    fill(table)
    key = triggers.KEYS[table]
    names = [table, table] if statement.startswith("REPLACE") else [table, key, key]
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        execute(statement.format(*names))


def fill(table: str) -> None:
    signed = "format, key_id, algorithm, signature"
    values = {
        "audit_seal": f"({signed}, number, first_id, last_id, count, digest, previous, sealed_at, rows) VALUES (1,'','','',1,1,1,1,'','','','')",
        "audit_removal": f"({signed}, seal, seal_digest, first_id, last_id, category, until, rows, archive, archive_digest, reason, actor, removed_at)"
        " VALUES (1,'','','',1,'',1,1,'','2026-01-31','','','','','','')",
        "audit_erasure": f"({signed}, row_id, personal, reason, actor, erased_at) VALUES (1,'','','',1,'','','','')",
    }
    if table == "audit_hold":
        holds.place("case 7")
    else:
        execute(f"INSERT INTO {table} {values[table]}")


def test_an_insert_over_an_entry_is_refused() -> None:
    (row_id,) = write()
    with pytest.raises(IntegrityError):
        AuditEntry.objects.bulk_create([AuditEntry.objects.get(id=row_id)])


def test_no_record_no_removal_and_no_erasure_even_in_djangos_words() -> None:
    write()
    with pytest.raises(IntegrityError, match="append-only"):
        AuditEntry.objects.all().delete()
    with pytest.raises(IntegrityError, match="append-only"):
        AuditEntry.objects.update(user_id=None)
    entry = AuditEntry.objects.get()
    entry.outcome = "failure"
    with pytest.raises(IntegrityError, match="append-only"):
        entry.save()


def test_triggers_that_are_gone_are_told_by_the_check_and_by_verification() -> None:
    write()
    seal()
    triggers.uninstall(connection)
    try:
        (warning,) = [message for message in run_checks(databases=["default"]) if message.id == "audit.W002"]
        assert "migrate" in warning.hint
        assert [kind for kind, _, _ in found()] == ["not append-only"]
    finally:
        triggers.install(connection)
    assert found() == []
    assert not [message for message in run_checks(databases=["default"]) if message.id == "audit.W002"]


def test_a_trigger_that_does_something_else_is_told() -> None:
    name, table = ("audit_log_guard", "audit_log") if connection.vendor == "postgresql" else ("audit_log_no_delete", "audit_log")
    weak = (
        f"ALTER TABLE {table} DISABLE TRIGGER {name}"
        if connection.vendor == "postgresql"
        else f"DROP TRIGGER {name}; CREATE TRIGGER {name} BEFORE DELETE ON {table} WHEN 0 BEGIN SELECT 1; END"
    )
    try:
        for statement in weak.split("; ", 1):
            execute(statement)
        assert triggers.missing(connection) == [name]
    finally:
        triggers.install(connection)


def test_migrating_puts_back_what_the_rebuild_of_a_table_dropped() -> None:
    from django.core.management import call_command

    write()
    state = ProjectState.from_apps(__import__("django.apps", fromlist=["apps"]).apps)
    operation = migrations.AlterField("auditentry", "action", models.CharField(max_length=101))
    after = state.clone()
    operation.state_forwards("audit", after)
    back = migrations.AlterField("auditentry", "action", models.CharField(max_length=100))
    for migrate, before, then in ((operation, state, after), (back, after, state)):
        with connection.schema_editor() as editor:
            migrate.database_forwards("audit", editor, before, then)
    if connection.vendor == "sqlite":
        assert triggers.missing(connection)
    call_command("migrate", verbosity=0)
    assert triggers.missing(connection) == []


def test_the_way_for_tests_leads_into_no_other_database(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write()
    monkeypatch.setitem(connection.settings_dict, "NAME", "production")
    with pytest.raises(testing.NotATestDatabase), testing.unprotected():
        pass
    monkeypatch.undo()
    from django.core import mail

    monkeypatch.delattr(mail, "outbox")
    with pytest.raises(testing.NotATestDatabase), testing.unprotected():
        pass


def test_a_test_may_empty_the_log_and_it_is_protected_again() -> None:
    write()
    tamper("DELETE FROM audit_log")
    assert triggers.missing(connection) == []
    assert not AuditSeal.objects.exists()
