"""Migrations of the log leave it protected, tell when it was not, and what can be no row of ours is not taken in."""

from __future__ import annotations

from copy import copy
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import IntegrityError, connection, migrations, transaction
from django.db.migrations.state import ProjectState

import audit.migrations
from audit.evidence import triggers
from audit.evidence.rebuilding import ProtectedMigration
from audit.models import AuditEntry, AuditErasure, AuditRemoval, AuditSeal, LegalHold
from events.testing import wait_published
from events.types import utcnow
from tests.support.auditing import entry, execute, found, seal, tamper

pytestmark = pytest.mark.django_db(transaction=True)

COLUMNS = ", ".join(f'"{field.column}"' for field in AuditEntry._meta.concrete_fields if field.column not in ("id", "timestamp"))
SEAL = "audit_seal (format, key_id, algorithm, signature, number, first_id, last_id, count, digest, previous, sealed_at, rows"
WIDER = {"auditentry": "action", "auditseal": "digest", "auditremoval": "reason", "auditerasure": "reason", "legalhold": "reason"}


def on(vendor: str) -> Any:
    return pytest.mark.skipif(connection.vendor != vendor, reason="not on this database")


def migrate(*operations: Any, state: ProjectState) -> ProjectState:
    migration = type("Migration", (ProtectedMigration,), {"operations": operations})("next", "audit")
    with connection.schema_editor(atomic=True) as editor:
        return migration.apply(state, editor)


def altered(model: str, name: str, more: int) -> migrations.AlterField:
    field: Any = apps.get_model("audit", model)._meta.get_field(name).clone()
    field.max_length += more
    return migrations.AlterField(model, name, field)


@pytest.mark.parametrize("model", WIDER)
def test_a_migration_of_any_table_leaves_the_triggers_in_place(model: str) -> None:
    entry()
    seal()
    state = migrate(altered(model, WIDER[model], 1), state=ProjectState.from_apps(apps))
    assert triggers.missing(connection) == []
    migrate(altered(model, WIDER[model], 0), state=state)
    assert triggers.missing(connection) == []
    assert found() == []


def test_a_migration_that_fails_leaves_the_triggers_in_place() -> None:
    def fail(*args: Any) -> None:
        raise ValueError

    with pytest.raises(ValueError):
        migrate(altered("auditentry", "action", 1), migrations.RunPython(fail), state=ProjectState.from_apps(apps))
    assert triggers.missing(connection) == []


@pytest.mark.once
def test_all_migrations_since_there_are_triggers_are_of_that_kind() -> None:
    names = sorted(path.stem for path in Path(audit.migrations.__path__[0]).glob("0*.py"))
    later = [import_module(f"audit.migrations.{name}").Migration for name in names[2:]]
    assert later
    assert all(issubclass(migration, ProtectedMigration) for migration in later)


def protections() -> list[Any]:
    wait_published()
    return [one.data["missing"] for one in AuditEntry.objects.filter(event_type="audit_log.protected")]


def test_migrate_puts_triggers_back_and_tells_that_they_were_gone() -> None:
    call_command("migrate", verbosity=0)
    assert protections() == []
    name = triggers.expected(connection)[0].name
    execute(f"DROP TRIGGER {name}" + (" ON audit_log" if connection.vendor == "postgresql" else ""))
    call_command("migrate", verbosity=0)
    assert triggers.missing(connection) == []
    assert protections() == [[name]]
    assert AuditEntry.objects.get(event_type="audit_log.protected").priority == "high"


STRANGE = {
    "sqlite": {
        "CREATE TRIGGER a_quiet BEFORE INSERT ON Audit_Log WHEN NEW.actor_label = 'mallory' BEGIN SELECT RAISE(IGNORE); END": "a_quiet (not ours)",
    },
    "postgresql": {
        """CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.actor_label := 'nobody'; RETURN NEW; END$$;
           CREATE TRIGGER a_evil BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION evil()""": "a_evil (not ours)",
        "CREATE RULE quiet AS ON INSERT TO audit_hold DO INSTEAD NOTHING": "rule quiet (not ours)",
        "ALTER FUNCTION audit_guard() RESET search_path": "audit_log_guard",
        "ALTER FUNCTION audit_guard() SECURITY DEFINER": "audit_log_guard",
        "CREATE TABLE kid () INHERITS (audit_log)": "child table kid (not ours)",
        "ALTER TABLE audit_removal ENABLE ROW LEVEL SECURITY": "row-level security of audit_removal (not ours)",
        "ALTER TABLE audit_seal DROP CONSTRAINT audit_seal_limits": "audit_seal_limits",
    },
}  # fmt: skip


@pytest.mark.parametrize(("vendor", "statement"), [(vendor, one) for vendor, statements in STRANGE.items() for one in statements])
def test_whatever_else_is_on_the_tables_is_told(vendor: str, statement: str) -> None:
    if connection.vendor != vendor:
        pytest.skip("not on this database")
    with transaction.atomic():
        execute(statement)
        assert triggers.missing(connection) == [STRANGE[vendor][statement]]
        assert "audit.W002" in {message.id for message in run_checks(databases=["default"])}
        transaction.set_rollback(True)
    assert triggers.missing(connection) == []


# What can be no row of ours


UNREADABLE = {
    "sqlite": [
        "20000-01-01",
        "20000-01-01 00:00:00",
        "2026-02-30 00:00:00",
        "0000-01-01 00:00:00",
        "12",
        "now",
        "2026-01-01 00:00:00..1",
    ],
    "postgresql": ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC", "9999-12-31 23:59:59+00"],
}
READABLE = ["2026-01-01 23:59:59", "2026-01-01 23:59:59.9", "2026-12-31 23:59:59.999999", "1970-01-01 00:00:00"]


def insert_at(moment: str) -> None:
    execute(
        f"INSERT INTO audit_log ({COLUMNS}, timestamp) SELECT {COLUMNS}, '{moment}' FROM audit_log WHERE id = (SELECT min(id) FROM audit_log)"
    )


def test_a_moment_that_python_can_not_read_is_refused() -> None:
    entry()
    for moment in UNREADABLE[connection.vendor]:
        with pytest.raises(IntegrityError):
            insert_at(moment)
    for moment in READABLE:
        insert_at(moment)
    assert len(AuditEntry.objects.all()) == 1 + len(READABLE)


def test_a_moment_from_before_that_was_refused_is_told() -> None:
    row_id = entry().id
    tamper("UPDATE audit_log SET timestamp = %s", "infinity" if connection.vendor == "postgresql" else "20000-01-01")
    seal()
    assert found() == [("moment unreadable", row_id, row_id)]


SIGNED: dict[str, Any] = {"format": 1, "key_id": "", "algorithm": "", "signature": ""}
RANGE: dict[str, Any] = {"first_id": 1, "last_id": 2}
ROWS = {
    "seal": AuditSeal(**SIGNED, **RANGE, number=7, count=0),
    "removal": AuditRemoval(**SIGNED, **RANGE, id=7, seal=1, until="2026-01-31T12:00:00.000000Z"),
    "erasure": AuditErasure(**SIGNED, id=7, row_id=1),
    "hold": LegalHold(**SIGNED, id=7),
    "entry": AuditEntry(id=7, timestamp=utcnow(), data={}, metadata={}),
}
WRONG = [
    *((name, {row._meta.pk.attname: key}) for name, row in ROWS.items() for key in (0, -1)),
    ("seal", {"first_id": 3}),
    ("removal", {"first_id": 3}),
    ("removal", {"until": "soon"}),
    ("removal", {"until": ""}),
]


@pytest.mark.parametrize("name", ROWS)
def test_what_can_be_no_row_of_ours_is_refused(name: str) -> None:
    rows = ROWS[name]._meta.model.objects
    for values in (values for of, values in WRONG if of == name):
        wrong = copy(ROWS[name])
        for column, value in values.items():
            setattr(wrong, column, value)
        with pytest.raises(IntegrityError, match=r"limits|no such rows"):
            rows.bulk_create([wrong])
    rows.bulk_create([copy(ROWS[name])])
    assert rows.count() == 1


@on("sqlite")
def test_replace_finds_no_second_way_to_a_row() -> None:
    entry()
    seal()
    assert [table for table, key in triggers.KEYS.items() if not is_rowid(table, key)] == []
    for statement in (
        "REPLACE INTO audit_seal SELECT * FROM audit_seal",
        f"REPLACE INTO {SEAL}, rowid) SELECT 1,'','','',7,1,1,1,'','','','',rowid FROM audit_seal",
    ):
        with pytest.raises(IntegrityError, match="append-only"):
            execute(statement)
    assert found() == []


def is_rowid(table: str, key: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT type, pk FROM pragma_table_info('{table}') WHERE name = '{key}'")
        return cursor.fetchone() == ("INTEGER", 1)
