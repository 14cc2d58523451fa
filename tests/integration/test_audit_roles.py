"""On PostgreSQL: the role of docs/how-to/seal-the-audit-log.md can do what the site does, and a role that could do more is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection

from audit.evidence import roles, triggers
from audit.models import AuditEntry
from tests.support.auditing import entry, execute, found, seal
from tests.support.paths import ROOT

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no roles"),
]

PAGE = (ROOT / "docs" / "how-to" / "seal-the-audit-log.md").read_text()
(GRANTS,) = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def role() -> Iterator[str]:
    """A role of one's own, and another that its name with _owner is."""
    name = f"audit_test_{connection.settings_dict['NAME'][-20:]}"
    execute(f"CREATE ROLE {name} NOINHERIT; CREATE ROLE {name}_owner")
    yield name
    execute("RESET ROLE")
    execute(f"REASSIGN OWNED BY {name}_owner TO current_user; DROP OWNED BY {name}, {name}_owner; DROP ROLE {name}, {name}_owner")


def grant(role: str) -> None:
    """What the page says, and all on what is not the audit log's."""
    execute(GRANTS.replace("TO site", f"TO {role}"))
    for table in set(connection.introspection.table_names()) - {*triggers.TABLES, "audit_sealer"}:
        execute(f'GRANT ALL ON "{table}" TO {role}')


def warnings() -> list[str]:
    return [message.msg for message in run_checks(databases=["default"]) if message.id in ("audit.W002", "audit.W003")]


def test_the_role_of_the_page_seals_verifies_prunes_erases_and_holds(role: str, tmp_path: Path) -> None:
    grant(role)
    execute(f"SET ROLE {role}")
    entry(user_id="42"), entry(user_id="43")
    assert seal() == 1
    call_command("hold_audit", "--user", "43", "--reason", "x", verbosity=0)
    call_command("erase_audit", "42", "--reason", "x", verbosity=0)
    call_command("verify_audit", verbosity=0)
    assert found() == []
    assert warnings() == []
    call_command("prune_audit", "--older-than", "0", "--archives", str(tmp_path), verbosity=0)
    assert AuditEntry.objects.filter(user_id="43").exists()


@pytest.mark.parametrize(
    ("sql", "way"),
    [
        *((f"ALTER TABLE {table} OWNER TO {{0}}_owner", f"owner of the table {table}") for table in triggers.TABLES),
        *((f"ALTER FUNCTION {name}() OWNER TO {{0}}_owner", f"owner of the function {name}") for name in triggers.PG_FUNCTIONS),
        ("ALTER SCHEMA public OWNER TO {0}_owner", "owner of the schema public"),
        ("GRANT TRIGGER ON audit_seal TO {0}", "has TRIGGER on audit_seal"),
        ("GRANT TRUNCATE ON audit_hold TO {0}_owner", "has TRUNCATE on audit_hold"),
        ("ALTER ROLE {0}_owner SUPERUSER", "superuser"),
    ],
)
def test_a_role_that_could_go_around_is_told(role: str, sql: str, way: str) -> None:
    grant(role)
    execute(f"SET ROLE {role}")
    assert roles.ways_around(connection) == []
    execute("RESET ROLE")
    execute(f"GRANT CREATE ON SCHEMA public TO {role}_owner; GRANT {role}_owner TO {role}")
    (schema_owner,) = owner_of_the_schema()
    try:
        execute(sql.format(role))
        execute(f"SET ROLE {role}")
        (warning,) = warnings()
        assert way in warning
    finally:
        execute("RESET ROLE")
        execute(f"ALTER SCHEMA public OWNER TO {schema_owner}")


def owner_of_the_schema() -> tuple[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = 'public'")
        return cursor.fetchone()
