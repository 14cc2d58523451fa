"""The Python of docs/how-to/read-the-audit-log.md, run as it stands there."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Group

from tests.support.auditing import account
from tests.support.paths import ROOT

pytestmark = pytest.mark.django_db

PAGE = (ROOT / "docs" / "how-to" / "read-the-audit-log.md").read_text()
PERMISSIONS, EXPORTS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_auditors_get_all_permissions_of_the_log() -> None:
    exec(PERMISSIONS, {})
    assert set(Group.objects.get(name="auditors").permissions.values_list("codename", flat=True)) == {
        "view_auditentry", "export_auditentry", "verify_auditentry", "view_audit_events",
    }  # fmt: skip


def test_who_exported_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    b"".join(account("alice", superuser=True).get("/api/audit/export/?as=csv&action=share"))
    exec(EXPORTS, {})
    assert capsys.readouterr().out == "[('alice', {'action': 'share'})]\n"
