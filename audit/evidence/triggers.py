"""The triggers that make the audit log append-only on SQLite and PostgreSQL. Why so: docs/decisions/0016-permission-is-a-record.md.

What may change is what a record says that it does, in tables that are append-only themselves: a row goes where a removal covers it,
its personal columns are blanked where an erasure names it, and neither while a legal hold is on it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.evidence.canonical import PERSONAL_COLUMNS

LOG: Final = "audit_log"
# Each with the column that tells its rows apart.
APPEND_ONLY: Final = {"audit_seal": "number", "audit_removal": "id", "audit_erasure": "row_id", "audit_hold": "id"}
TABLES: Final = (LOG, *APPEND_ONLY)

COVERED: Final = """EXISTS (SELECT 1 FROM audit_removal r WHERE OLD.id BETWEEN r.first_id AND r.last_id
    AND (r.category = '' OR r.category = OLD.source_category) AND OLD.timestamp < {until})"""
ERASED: Final = "EXISTS (SELECT 1 FROM audit_erasure e WHERE e.row_id = OLD.id)"
HELD: Final = """EXISTS (SELECT 1 FROM audit_hold h WHERE h.releases IS NULL
    AND NOT EXISTS (SELECT 1 FROM audit_hold x WHERE x.releases = h.id)
    AND (h.category = '' OR h.category = OLD.source_category) AND (h.user_id = '' OR h.user_id = OLD.user_id)
    AND (h.resource_type = '' OR h.resource_type = OLD.resource_type)
    AND (h.resource_id = '' OR h.resource_id = OLD.resource_id))"""


class Trigger(NamedTuple):
    """A trigger as it is to be: its table, its name, and what the database's catalogue tells of it."""

    table: str
    name: str
    definition: str


def install(connection: BaseDatabaseWrapper) -> None:
    """Put the triggers in place, those that are there already anew. Does nothing where the tables are not there yet."""
    if not are_tables_there(connection):
        return
    with connection.cursor() as cursor:
        for statement in (*_drop(connection), *_create(connection)):
            cursor.execute(statement)


def uninstall(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers. For migrations that are reversed; tests have `audit.testing`."""
    if not are_tables_there(connection):
        return
    with connection.cursor() as cursor:
        for statement in _drop(connection):
            cursor.execute(statement)


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """The names of the triggers that are not there, switched off, or not what they are to be."""
    wanted = expected(connection)
    query = (
        PG_CATALOGUE
        if connection.vendor == "postgresql"
        else "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        found = {Trigger(*row) for row in cursor.fetchall()}
    return [trigger.name for trigger in wanted if trigger not in found]


def are_tables_there(connection: BaseDatabaseWrapper) -> bool:
    """Whether the tables are there that the triggers are for."""
    return set(TABLES) <= set(connection.introspection.table_names())


def expected(connection: BaseDatabaseWrapper) -> list[Trigger]:
    """The triggers that are to be there."""
    return _sqlite(connection) if connection.vendor == "sqlite" else _postgresql(connection)


def _drop(connection: BaseDatabaseWrapper) -> list[str]:
    on = connection.vendor == "postgresql"
    return [f"DROP TRIGGER IF EXISTS {name}{f' ON {table}' if on else ''}" for table, name, _ in expected(connection)]


def _create(connection: BaseDatabaseWrapper) -> list[str]:
    if connection.vendor == "sqlite":
        return [trigger.definition for trigger in expected(connection)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        (schema,) = cursor.fetchone()
    functions = [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
        # A temporary table must not stand before one of ours.
        f" SET search_path = {schema}, pg_temp AS $body${body}$body$"
        for name, body in _functions(connection).items()
    ]
    triggers = [
        statement
        for name, (table, moment, function, _) in PG_TRIGGERS.items()
        for statement in (
            f"CREATE TRIGGER {name} {moment} EXECUTE FUNCTION {function}()",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",  # also where session_replication_role is replica
        )
    ]
    return [*functions, *triggers]


def _unchanged_but_blank(connection: BaseDatabaseWrapper) -> str:
    """The condition that an UPDATE leaves a row as it is, but for the personal columns, which it blanks."""
    same = "IS" if connection.vendor == "sqlite" else "IS NOT DISTINCT FROM"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {LOG} LIMIT 0")  # Django's introspection of SQLite asks once for each column
        columns = [column[0] for column in cursor.description]
    personal = (*PERSONAL_COLUMNS, "personal_salt")
    return " AND ".join(
        _is_blank(name, connection) if name in personal else f'NEW."{name}" {same} OLD."{name}"' for name in columns
    )


def _is_blank(name: str, connection: BaseDatabaseWrapper) -> str:
    blank = blank_value(name)
    if blank is None:
        return f'NEW."{name}" IS NULL'
    if blank == "":
        return f"NEW.\"{name}\" = ''"
    return f"NEW.\"{name}\" = '{{}}'{'::jsonb' if connection.vendor == 'postgresql' else ''}"


def blank_value(name: str) -> object:
    """What erasing leaves in a personal column."""
    from audit.models import AuditEntry  # noqa: PLC0415  the app's registry is not there when apps.py imports this

    field = AuditEntry._meta.get_field(name)
    if getattr(field, "null", False):
        return None
    return {} if isinstance(field, models.JSONField) else ""


def _sqlite(connection: BaseDatabaseWrapper) -> list[Trigger]:
    held_or = f"{HELD} OR NOT "
    covered = COVERED.format(until="replace(rtrim(r.until, 'Z'), 'T', ' ')")
    conditions = [
        (LOG, "update", f"WHEN {held_or}({_unchanged_but_blank(connection)} AND {ERASED})"),
        (LOG, "delete", f"WHEN {held_or}{covered}"),
        *((table, event, "") for table in APPEND_ONLY for event in ("update", "delete")),
        # REPLACE deletes what is in its way without firing the trigger for DELETE.
        *(
            (table, "insert", f'WHEN EXISTS (SELECT 1 FROM {table} WHERE "{key}" = NEW."{key}")')
            for table, key in {LOG: "id", **APPEND_ONLY}.items()
        ),
    ]
    return [
        Trigger(
            table,
            f"{table}_no_{event}",
            f"CREATE TRIGGER {table}_no_{event} BEFORE {event.upper()} ON {table} {condition}"
            f" BEGIN SELECT RAISE(ABORT, '{table} is append-only: {event} refused'); END",
        )
        for table, event, condition in conditions
    ]


# Table, when it fires, its function, and that moment as the bits of pg_trigger.tgtype.
PG_TRIGGERS: Final = {
    f"{LOG}_guard": (LOG, f"BEFORE UPDATE OR DELETE ON {LOG} FOR EACH ROW", "audit_guard", 1 + 2 + 8 + 16),
    f"{LOG}_no_truncate": (LOG, f"BEFORE TRUNCATE ON {LOG} FOR EACH STATEMENT", "audit_refuse", 2 + 32),
    **{
        f"{table}_append_only": (
            table,
            f"BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT",
            "audit_refuse",
            2 + 8 + 16 + 32,
        )
        for table in APPEND_ONLY
    },
}
PG_REFUSE: Final = """
BEGIN
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, lower(TG_OP) USING ERRCODE = 'integrity_constraint_violation';
END
"""
# Fires always ("A"), for all columns and without a condition.
PG_CATALOGUE: Final = """
SELECT relname, tgname, concat_ws(' ', tgtype, tgenabled, nullif(tgattr::text, ''), tgqual::text, prosrc)
  FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid JOIN pg_proc p ON p.oid = tgfoid WHERE NOT tgisinternal
"""


def _functions(connection: BaseDatabaseWrapper) -> dict[str, str]:
    covered = COVERED.format(until="r.until::timestamptz")
    guard = f"""
BEGIN
  IF NOT {HELD} THEN
    IF TG_OP = 'DELETE' AND {covered} THEN RETURN OLD; END IF;
    IF TG_OP = 'UPDATE' THEN
      IF {_unchanged_but_blank(connection)} AND {ERASED} THEN RETURN NEW; END IF;
    END IF;
  END IF;
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, lower(TG_OP) USING ERRCODE = 'integrity_constraint_violation';
END
"""
    return {"audit_refuse": PG_REFUSE, "audit_guard": guard}


def _postgresql(connection: BaseDatabaseWrapper) -> list[Trigger]:
    functions = _functions(connection)
    return [Trigger(table, name, f"{bits} A {functions[function]}") for name, (table, _, function, bits) in PG_TRIGGERS.items()]
