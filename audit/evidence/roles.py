"""How the database role of the site could go around the triggers, on PostgreSQL."""

from __future__ import annotations

from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from audit.evidence.triggers import PG_FUNCTIONS, TABLES

# A member of a role may become it, whether or not it inherits its privileges.
WAYS: Final = """
WITH mine AS (SELECT oid, rolsuper FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER')),
tables AS (SELECT oid, relname, relowner FROM pg_class WHERE relname IN ({tables}) AND relnamespace = current_schema()::regnamespace),
owned AS (
    SELECT 'table ' || relname AS what, relowner AS owner FROM tables
    UNION ALL SELECT 'function ' || proname, proowner FROM pg_proc
        WHERE proname IN ({functions}) AND pronamespace = current_schema()::regnamespace
    UNION ALL SELECT 'schema ' || nspname, nspowner FROM pg_namespace WHERE nspname = current_schema()
    UNION ALL SELECT 'database ' || datname, datdba FROM pg_database WHERE datname = current_database()
)
SELECT DISTINCT 'is a superuser, or can become one' FROM mine WHERE rolsuper
UNION ALL SELECT 'can become the owner of the ' || what FROM owned WHERE owner IN (SELECT oid FROM mine)
UNION ALL SELECT DISTINCT 'has ' || privilege || ' on ' || relname FROM mine, tables, unnest(ARRAY['TRIGGER', 'TRUNCATE']) AS privilege
    WHERE has_table_privilege(mine.oid, tables.oid, privilege)
"""
SUPERUSER: Final = "is a superuser, or can become one"


def ways_around(connection: BaseDatabaseWrapper) -> list[str]:
    """What the role of the connection is, may become or has that lets it, each in words. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(WAYS.format(tables=_quoted(TABLES), functions=_quoted(PG_FUNCTIONS)))
        ways = [way for (way,) in cursor.fetchall()]
    return [SUPERUSER] if SUPERUSER in ways else ways  # who has all of them


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)
