"""Events, audit log and incidents in a database of their own: all that reads or writes them uses that one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.databases import Databases, base_environment
from tests.support.paths import ROOT
from tests.support.remote import DjangoProcess

PAGE = ROOT / "docs" / "how-to" / "deploy.md"
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.support.two_databases"}


def test_each_page_and_act_and_command_uses_the_database_of_the_events(databases: Databases, tmp_path: Path) -> None:
    site, log = databases.create(), databases.create()
    env = base_environment() | {"DATABASE_URL": site, "LOG_DATABASE_URL": log, "VAR_DIR": str(tmp_path)}
    with DjangoProcess(env | SETTINGS) as process:
        found = process.call("tests.support.working_elsewhere.work")
    for url in (site, log):
        databases.drop(url)
    assert found == {
        "wrong": {},
        "strayed": [],
        "state": "closed",
        "remarks": ["acknowledged", "noted", "closed"],
        "audited": [
            "auth.cool_off_released", "incident.acknowledged", "incident.closed", "incident.noted", "proxy.forgotten",
        ],
        "cool_offs": 0,
        "proxies": [],
        "delivered": ["sent"],
    }  # fmt: skip


MIGRATE = """
import sys
from types import ModuleType
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connections, router
sys.modules["routers"] = ModuleType("routers")
exec(sample, sys.modules["routers"].__dict__)
router.routers = [sys.modules["routers"].LogRouter()]
for alias in ("default", "log"):
    call_command("migrate", database=alias, verbosity=0)
result = {alias: connections[alias].introspection.table_names() for alias in ("default", "log")}
result["permissions"] = Permission.objects.filter(codename="view_incident").count()
"""


@pytest.mark.once
def test_the_router_in_the_docs_gives_each_database_its_tables(tmp_path: Path) -> None:
    (sample,) = re.findall(r"^```python\n(# mysite/routers.py.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    urls = {"DATABASE_URL": f"sqlite:///{tmp_path}/site.sqlite3", "LOG_DATABASE_URL": f"sqlite:///{tmp_path}/log.sqlite3"}
    with DjangoProcess(base_environment() | urls | {"VAR_DIR": str(tmp_path)} | SETTINGS) as process:
        found = process.run(MIGRATE, sample=sample)
    own = ("events_", "audit_", "security_")
    assert found["permissions"] == 1
    assert {name for name in found["log"] if not name.startswith(own)} == {"django_migrations"}
    assert {"audit_log", "security_incident", "events_journal"} <= set(found["log"])
    assert "auth_user" in found["default"]
    assert not [name for name in found["default"] if name.startswith(own)]
