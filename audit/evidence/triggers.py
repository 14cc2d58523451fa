"""The triggers that make the audit log append-only on SQLite and PostgreSQL. Why so: docs/decisions/0016-permission-is-a-record.md.

What may change is what a record says that it does, in tables that are append-only themselves: a row goes where a removal covers it,
its personal columns are blanked where an erasure names it, and neither while a legal hold is on it. What can be no row of ours is not
taken in: it could stand in the way of all that follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.evidence import persons
from audit.evidence.canonical import PERSONAL_COLUMNS

LOG: Final = "audit_log"
# Each with its primary key, which on SQLite is the rowid, so that REPLACE has no other way to a row.
KEYS: Final = {LOG: "id", "audit_seal": "number", "audit_removal": "id", "audit_erasure": "id", "audit_hold": "id"}
TABLES: Final = tuple(KEYS)
APPEND_ONLY: Final = TABLES[1:]

# Moments are compared as text, in the form that is signed: no text of a forged removal makes the comparison fail.
COVERED: Final = """EXISTS (SELECT 1 FROM audit_removal r WHERE OLD.id BETWEEN r.first_id AND r.last_id
    AND (r.category = '' OR r.category = OLD.source_category) AND {moment} < {until})"""
ERASED: Final = "EXISTS (SELECT 1 FROM audit_erasure e WHERE e.row_id = OLD.id)"
HELD: Final = """EXISTS (SELECT 1 FROM audit_hold h WHERE h.releases = 0
    AND NOT EXISTS (SELECT 1 FROM audit_hold x WHERE x.releases = h.id)
    AND (h.category = '' OR h.category = OLD.source_category) AND (h.user_id = '' OR {of_person})
    AND (h.resource_type = '' OR h.resource_type = OLD.resource_type)
    AND (h.resource_id = '' OR h.resource_id = OLD.resource_id))"""

# What Python can read as a moment, in any time zone.
PG_MOMENT: Final = "{row}timestamp >= '1000-01-01 00:00Z' AND {row}timestamp < '9999-01-01 00:00Z'"
SQLITE_MOMENT: Final = """typeof({row}timestamp) = 'text' AND {row}timestamp >= '1000' AND {row}timestamp < '9999'
    AND substr({row}timestamp, 1, 19) IS strftime('%Y-%m-%d %H:%M:%S', substr({row}timestamp, 1, 19), '+0 days')
    AND (length({row}timestamp) = 19 OR length({row}timestamp) BETWEEN 21 AND 26 AND substr({row}timestamp, 20, 1) = '.'
        AND ltrim(substr({row}timestamp, 21), '0123456789') = '')"""
LIMITS: Final = {
    LOG: "{row}id > 0 AND {moment}",
    "audit_seal": "{row}number > 0 AND {row}first_id <= {row}last_id",
    "audit_removal": "{row}id > 0 AND {row}first_id <= {row}last_id AND {row}until >= '1000' AND {row}until < '9999'",
    "audit_erasure": "{row}id > 0",
    "audit_hold": "{row}id > 0",
}


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
    """Drop the triggers, for one transaction: `lifted`, and `audit.testing` for tests."""
    if not are_tables_there(connection):
        return
    with connection.cursor() as cursor:
        for statement in _drop(connection):
            cursor.execute(statement)


@contextmanager
def lifted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Within the block, one transaction, the tables are without the triggers, if they have them, so that they can be altered: to do that
    SQLite rebuilds a table, which triggers must not name meanwhile, and PostgreSQL may have to fill in values."""
    if not are_tables_there(connection) or not _found(connection):
        yield
        return
    uninstall(connection)
    yield  # what is raised rolls the dropping back
    install(connection)


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """The names of the triggers that are not there, switched off, or not what they are to be; then what else is on the tables and
    changes what statements do."""
    wanted, found = expected(connection), _found(connection)
    names = {trigger.name for trigger in wanted}
    strange = sorted(trigger.name for trigger in found if trigger.name not in names)
    return [trigger.name for trigger in wanted if trigger not in found] + [f"{name} (not ours)" for name in strange]


def are_tables_there(connection: BaseDatabaseWrapper) -> bool:
    """Whether the tables are there that the triggers are for."""
    return set(TABLES) <= set(connection.introspection.table_names())


def expected(connection: BaseDatabaseWrapper) -> list[Trigger]:
    """The triggers that are to be there."""
    return _sqlite(connection) if connection.vendor == "sqlite" else _postgresql(connection)


def _found(connection: BaseDatabaseWrapper) -> set[Trigger]:
    """What is on the tables."""
    names = ", ".join(f"'{table}'" for table in TABLES)
    query = PG_CATALOGUE if connection.vendor == "postgresql" else SQLITE_CATALOGUE
    with connection.cursor() as cursor:
        cursor.execute(query.format(tables=names))
        return {Trigger(*row) for row in cursor.fetchall()}


def _drop(connection: BaseDatabaseWrapper) -> list[str]:
    if connection.vendor == "sqlite":
        return [f"DROP TRIGGER IF EXISTS {name}" for _, name, _ in expected(connection)]
    return [
        *(f"DROP TRIGGER IF EXISTS {name} ON {table}" for name, (table, *_) in PG_TRIGGERS.items()),
        *(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_limits" for table in TABLES),
    ]


def _create(connection: BaseDatabaseWrapper) -> list[str]:
    if connection.vendor == "sqlite":
        return [trigger.definition for trigger in expected(connection)]
    functions = [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY INVOKER"
        # A temporary table must not stand before one of ours.
        f" SET search_path = {_search_path(connection)} AS $body${body}$body$"
        for name, body in _functions(connection).items()
    ]
    # Not for rows that are there already: those `verify_audit` tells of.
    limits = [f"ALTER TABLE {table} ADD CONSTRAINT {table}_limits CHECK ({_limit(table)}) NOT VALID" for table in TABLES]
    triggers = [
        statement
        for name, (table, moment, function, _) in PG_TRIGGERS.items()
        for statement in (
            f"CREATE TRIGGER {name} {moment} EXECUTE FUNCTION {function}()",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",  # also where session_replication_role is replica
        )
    ]
    return [*functions, *triggers, *limits]


def _search_path(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        return f"{cursor.fetchone()[0]}, pg_temp"


def _limit(table: str, row: str = "", moment: str = PG_MOMENT) -> str:
    return LIMITS[table].format(row=row, moment=moment.format(row=row))


def _held() -> str:
    return HELD.format(of_person=persons.sql("OLD", "h.user_id"))


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


SQLITE_CATALOGUE: Final = """
SELECT lower(tbl_name), name, sql FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) IN ({tables})
"""


def _sqlite(connection: BaseDatabaseWrapper) -> list[Trigger]:
    held_or = f"{_held()} OR NOT "
    covered = COVERED.format(moment="OLD.timestamp", until="replace(rtrim(r.until, 'Z'), 'T', ' ')")
    refused = [
        (LOG, "update", f"WHEN {held_or}({_unchanged_but_blank(connection)} AND {ERASED})"),
        (LOG, "delete", f"WHEN {held_or}{covered}"),
        *((table, event, "") for table in APPEND_ONLY for event in ("update", "delete")),
        # REPLACE deletes what is in its way without firing the trigger for DELETE. A key that is not given is -1 here.
        *(
            (table, "insert", f"WHEN NEW.{key} > 0 AND EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})")
            for table, key in KEYS.items()
        ),
    ]
    triggers = [
        (table, f"{table}_no_{event}", f"BEFORE {event.upper()} ON {table} {condition}", f"is append-only: {event} refused")
        for table, event, condition in refused
    ]
    limits = [
        (
            table,
            f"{table}_limits",
            f"AFTER INSERT ON {table} WHEN NOT ({_limit(table, 'NEW.', SQLITE_MOMENT)})",
            "has no such rows: insert refused",
        )
        for table in TABLES
    ]
    return [
        Trigger(table, name, f"CREATE TRIGGER {name} {moment} BEGIN SELECT RAISE(ABORT, '{table} {message}'); END")
        for table, name, moment, message in (*triggers, *limits)
    ]


PG_FUNCTIONS: Final = ("audit_guard", "audit_refuse")
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
PG_MOMENT_TEXT: Final = """to_char(OLD.timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
PG_REFUSE: Final = """
BEGIN
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, lower(TG_OP) USING ERRCODE = 'integrity_constraint_violation';
END
"""
# A trigger fires always ("A"), for all columns and without a condition. A constraint is told by its name: its text is the server's.
PG_CATALOGUE: Final = """
WITH ours AS (SELECT oid, relname, relrowsecurity FROM pg_class WHERE relname IN ({tables}) AND relnamespace = current_schema()::regnamespace)
SELECT relname, tgname, concat_ws(' ', tgtype, tgenabled, nullif(tgattr::text, ''), tgqual::text, tgnargs, lanname, prosecdef,
       array_to_string(proconfig, ';'), prosrc)
  FROM ours JOIN pg_trigger ON tgrelid = ours.oid JOIN pg_proc p ON p.oid = tgfoid JOIN pg_language l ON l.oid = prolang WHERE NOT tgisinternal
UNION ALL SELECT relname, conname, '' FROM ours JOIN pg_constraint ON conrelid = ours.oid WHERE contype = 'c' AND conname = relname || '_limits'
UNION ALL SELECT relname, 'rule ' || rulename, '' FROM ours JOIN pg_rewrite ON ev_class = ours.oid
UNION ALL SELECT relname, 'row-level security of ' || relname, '' FROM ours WHERE relrowsecurity
UNION ALL SELECT relname, 'child table ' || inhrelid::regclass, '' FROM ours JOIN pg_inherits ON inhparent = ours.oid
"""


def _functions(connection: BaseDatabaseWrapper) -> dict[str, str]:
    # "C": byte by byte, whatever the database's collation is. What is no moment of ours is NULL, or longer, and not covered.
    covered = COVERED.format(moment=PG_MOMENT_TEXT, until='r.until COLLATE "C"')
    guard = f"""
BEGIN
  IF NOT {_held()} THEN
    IF TG_OP = 'DELETE' AND {covered} THEN RETURN OLD; END IF;
    IF TG_OP = 'UPDATE' THEN
      IF {_unchanged_but_blank(connection)} AND {ERASED} THEN RETURN NEW; END IF;
    END IF;
  END IF;
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, lower(TG_OP) USING ERRCODE = 'integrity_constraint_violation';
END
"""
    return dict(zip(PG_FUNCTIONS, (guard, PG_REFUSE), strict=True))


def _postgresql(connection: BaseDatabaseWrapper) -> list[Trigger]:
    functions = _functions(connection)
    config = f"plpgsql f search_path={_search_path(connection)}"
    return [
        *(
            Trigger(table, name, f"{bits} A 0 {config} {functions[function]}")
            for name, (table, _, function, bits) in PG_TRIGGERS.items()
        ),
        *(Trigger(table, f"{table}_limits", "") for table in TABLES),
    ]
