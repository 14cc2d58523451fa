"""Keys come and go: what they sealed still verifies, and what they may not seal is named."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.conf import seal_keys
from audit.evidence import erasure, log, retention, rows
from audit.evidence.keys import parse_key, parse_keys, verifying_text
from audit.evidence.sealer import _store
from audit.evidence.seals import make_seal
from audit.evidence.verify import main
from audit.models import AuditEntry, AuditSeal
from events.types import utcnow
from tests.support.auditing import found, seal, unprotected, verify, write

pytestmark = pytest.mark.django_db(transaction=True)

PRIVATE = "2026:ed25519:" + "11" * 32
PUBLIC = verifying_text(parse_key(PRIVATE))


def shown(*arguments: str) -> tuple[list[str], str]:
    out, err = StringIO(), StringIO()
    call_command("audit_keys", *arguments, stdout=out, stderr=err, no_color=True)
    return out.getvalue().splitlines(), err.getvalue()


def test_a_running_site_gets_a_key_of_its_own(settings: Any, tmp_path: Path) -> None:
    write(2, user_id="42")
    seal()
    before = seal_keys()[0].id
    settings.AUDIT = settings.AUDIT | {"SEAL_KEYS": [PRIVATE]}
    write(2)
    seal()
    assert [made.key_id for made in log.seals()] == [before, "2026"]
    assert found() == []
    erasure.erase("42", "x")
    retention.prune(utcnow(), tmp_path, "x")
    assert (found(), verify().removed) == ([], 4)


def test_auditors_get_the_keys_from_a_command(settings: Any, tmp_path: Path) -> None:
    write()
    seal()
    (derived,) = seal_keys()
    settings.AUDIT = settings.AUDIT | {"SEAL_KEYS": [PRIVATE], "SECRET_KEY_LAST_SEAL": 1}
    write()
    seal()
    lines, told = shown()
    assert lines == [PUBLIC]
    assert f"{derived.id} (hmac-sha256): seals 1 to 1, a secret: --secret prints it" in told
    assert not AuditEntry.objects.filter(event_type="audit_log.keys_shown").exists()
    lines, told = shown("--secret")
    assert (lines, "2026 (ed25519): seals 2 to 2\n" in told) == ([PUBLIC, f"{verifying_text(derived)}:1"], True)
    assert AuditEntry.objects.get(event_type="audit_log.keys_shown").data["ids"] == [derived.id]
    path = tmp_path / "log.jsonl"
    call_command("export_audit", path)
    assert main([str(path), *(argument for line in lines for argument in ("--key", line))]) == 0
    assert main([str(path), "--key", PUBLIC]) == 1
    settings.SECRET_KEY = "another"
    assert f"'{derived.id}': seals 1 to 1, and this key is not in the settings" in shown()[1]


def test_the_key_made_of_the_secret_key_verifies_no_longer_than_is_said(settings: Any) -> None:
    write()
    seal()
    write()
    seal()
    settings.AUDIT = settings.AUDIT | {"SEAL_KEYS": [PRIVATE], "SECRET_KEY_LAST_SEAL": 1}
    assert [kind for kind, _, _ in found()] == ["key retired"]
    settings.AUDIT = settings.AUDIT | {"SECRET_KEY_LAST_SEAL": 0}
    assert [kind for kind, _, _ in found()] == ["key retired"] * 2


@pytest.mark.parametrize("old", ["2025:hmac-sha256:" + "22" * 32, "2025:ed25519:" + "22" * 32])
def test_a_retired_key_seals_nothing_anew(settings: Any, old: str) -> None:
    settings.AUDIT = settings.AUDIT | {"SEAL_KEYS": [old]}
    write(2)
    seal()
    settings.AUDIT = settings.AUDIT | {"SEAL_KEYS": [f"{old}:1", PRIVATE]}
    (row_id,) = write(1, user_id="42")
    seal()
    assert [made.key_id for made in log.seals()] == ["2025", "2026"]
    assert found() == []
    # Who still has the retired key, and the database, puts another end to the log.
    first, second = log.seals()
    (row,) = AuditEntry.objects.filter(id=row_id)
    with unprotected():
        row.user_id = "43"
        row.save()
        AuditSeal.objects.filter(number=second.number).delete()
        assert _store(make_seal(list(rows.read(row_id, row_id)), second.last_id, first, parse_key(old)))
    assert found() == [("key retired", second.first_id, second.last_id)]


def test_a_retired_key_explains_nothing_of_what_was_sealed_after_it(settings: Any, tmp_path: Path) -> None:
    old = "2025:hmac-sha256:" + "22" * 32
    settings.AUDIT = settings.AUDIT | {"SEAL_KEYS": [old]}
    write(1, user_id="42")
    seal()
    erasure.erase("42", "x")
    retention.prune(utcnow(), tmp_path, "x")
    settings.AUDIT = settings.AUDIT | {"SEAL_KEYS": [PRIVATE, f"{old}:0"]}
    assert {kind for kind, _, _ in found()} == {"key retired", "row deleted"}


def test_two_keys_of_one_id_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.jsonl"
    call_command("export_audit", path)
    twice = ["--key", PUBLIC, "--key", "2026:ed25519-public:" + "33" * 32]
    assert main([str(path), *twice]) == 2
    assert "two keys have one id" in capsys.readouterr().err
    with pytest.raises(CommandError, match="two keys have one id") as refused:
        call_command("verify_audit", *twice)
    assert refused.value.returncode == 2


@pytest.mark.parametrize("text", [f"{PUBLIC}:", f"{PUBLIC}:x", f"{PUBLIC}:-1", f"{PUBLIC}:1:2", f"{PUBLIC}:²"])
def test_what_is_no_number_of_a_last_seal_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"last seal|is written"):
        parse_keys([text])
