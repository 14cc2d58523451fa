"""Old rows go, a person's fields are erased, and the log still verifies."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from audit.conf import seal_keys
from audit.evidence import erasure, holds, log, retention
from audit.evidence.seals import Removal
from audit.evidence.verify import verify_export
from audit.models import AuditEntry, AuditErasure, AuditRemoval
from events import act_as
from events.context import user_actor
from events.testing import wait_published
from events.types import utcnow
from tests.support.auditing import execute, found, seal, tamper, verify, write, write_old
from tests.support.tracked.models import Article

pytestmark = pytest.mark.django_db(transaction=True)

YEAR_AGO = timedelta(days=365)


def run(command: str, *arguments: str) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out, no_color=True)
    wait_published()
    return out.getvalue()


def of_the_audit(action: str) -> AuditEntry:
    return AuditEntry.objects.get(event_type=f"audit_log.{action}")


# Retention


def test_old_rows_of_a_category_go_into_an_archive_and_the_log_still_verifies(tmp_path: Path) -> None:
    now = utcnow()
    old = write_old(now - 2 * YEAR_AGO, 2)
    security = write_old(now - 2 * YEAR_AGO, 2, metadata={"source_category": "security"})
    seal()
    write_old(now - 2 * YEAR_AGO)
    young = write()
    seal()
    out = run("prune_audit", "--archives", str(tmp_path), "--category", "security", "--older-than", "365", "--reason", "policy 4")
    assert "removed 2 rows" in out
    assert not AuditEntry.objects.filter(id__in=security).exists()
    assert AuditEntry.objects.filter(id__in=[*old, *young]).count() == 3
    assert found() == []
    assert verify().removed == 2
    pruned = of_the_audit("pruned")
    assert pruned.data["rows"] == f"{security[0]}-{security[1]}"
    (archive,) = tmp_path.iterdir()
    assert AuditRemoval.objects.get().archive == archive.name
    with archive.open() as lines:
        kept = verify_export(lines, seal_keys())
    assert (kept.rows, kept.findings) == (4, [])
    assert "removed 2 rows" in run("prune_audit", "--archives", str(tmp_path), "--older-than", "365"), (
        "the rest of the first seal only"
    )
    assert found() == []


def test_a_range_with_a_younger_row_stays_whole(tmp_path: Path) -> None:
    write_old(utcnow() - 2 * YEAR_AGO)
    write()
    write_old(utcnow() - 2 * YEAR_AGO)
    seal()
    assert "removed 0 rows" in run("prune_audit", "--archives", str(tmp_path), "--older-than", "365")
    assert AuditEntry.objects.count() == 3
    assert list(tmp_path.iterdir()) == []


def test_rows_whose_seal_was_dropped_stay(settings: Any, tmp_path: Path) -> None:
    settings.AUDIT = settings.AUDIT | {"SEAL_MAX_ROWS": 2}
    ids = write_old(utcnow() - 2 * YEAR_AGO, 6)
    seal()
    tamper("DELETE FROM audit_seal WHERE number = 2")
    assert retention.prune(utcnow() - YEAR_AGO, tmp_path, "x").rows == 4
    assert set(AuditEntry.objects.filter(id__in=ids).values_list("id", flat=True)) == set(ids[2:4])


def test_what_has_no_seal_stays(tmp_path: Path) -> None:
    write_old(utcnow() - 2 * YEAR_AGO)
    assert retention.prune(utcnow(), tmp_path, "x").rows == 0


def test_what_is_under_a_legal_hold_stays_until_it_is_released(tmp_path: Path) -> None:
    write_old(utcnow() - 2 * YEAR_AGO, user_id="42")
    seal()
    run("hold_audit", "--user", "42", "--reason", "case 7")
    (hold,) = holds.in_force()
    assert "user_id=42" in run("hold_audit")
    assert retention.prune(utcnow() - YEAR_AGO, tmp_path, "x").rows == 0
    assert erasure.erase("42", "x") == (0, 0, 1)
    row_id = AuditEntry.objects.get(user_id="42").id
    execute(
        "INSERT INTO audit_erasure (format, key_id, algorithm, signature, row_id, personal, reason, actor, erased_at)"
        f" VALUES (1,'','','',{row_id},'','','','')"
    )
    with pytest.raises(IntegrityError, match="append-only"):  # the database knows of it too
        AuditEntry.objects.filter(id=row_id).update(
            user_id=None, actor_label="", ip_address=None, user_agent="", session_id=None, data={}, metadata={}, personal_salt=""
        )
    tamper("DELETE FROM audit_erasure")
    run("hold_audit", "--release", str(hold.id), "--reason", "case closed")
    assert not holds.in_force()
    assert retention.prune(utcnow() - YEAR_AGO, tmp_path, "x").rows == 1
    with pytest.raises(CommandError, match="no hold"):
        run("hold_audit", "--release", str(hold.id), "--reason", "again")
    assert (of_the_audit("held").data["reason"], of_the_audit("released").data["hold"]) == ("case 7", hold.id)


def test_what_was_tampered_with_is_not_removed(tmp_path: Path) -> None:
    (row_id,) = write_old(utcnow() - 2 * YEAR_AGO)
    seal()
    tamper("UPDATE audit_log SET outcome = 'denied' WHERE id = %s", row_id)
    with pytest.raises(CommandError, match="row changed"):
        run("prune_audit", "--archives", str(tmp_path), "--older-than", "1")
    assert AuditEntry.objects.filter(id=row_id).exists()


def test_a_removal_that_the_key_did_not_sign_explains_nothing(tmp_path: Path) -> None:
    ids = write_old(utcnow() - 2 * YEAR_AGO, 3)
    seal()
    retention.prune(utcnow() - YEAR_AGO, tmp_path, "x")
    assert found() == []
    tamper("UPDATE audit_removal SET reason = 'another'")
    assert found() == [("signature wrong", ids[0], ids[2]), ("row deleted", ids[0], ids[2])]


def test_retention_is_a_setting_for_each_category(settings: Any, tmp_path: Path) -> None:
    write_old(utcnow() - 2 * YEAR_AGO)
    seal()
    settings.AUDIT = settings.AUDIT | {"RETENTION": {"audit": 365, "security": 30}}
    assert "audit: 1 rows" in run("prune_audit", "--dry-run")
    assert "audit: removed 1 rows" in run("prune_audit", "--archives", str(tmp_path))


def test_seals_without_old_rows_are_not_read(settings: Any) -> None:
    settings.AUDIT = settings.AUDIT | {"SEAL_MAX_ROWS": 1}

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert [one.ids for one in retention.prunable(utcnow() - YEAR_AGO)] == [old]
        return len(queries)

    write(1)
    old = write_old(utcnow() - 2 * YEAR_AGO)
    write(1)
    seal()
    few = asked()
    write(3 * log.SEALS)
    seal()
    assert asked() == few


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dry-run"], "older-than"),
        (["--older-than", "1"], "archives"),
        (["--dry-run", "--category", "audit"], "category"),
        (["--dry-run", "--older-than", "-1"], "older-than"),
        (["--dry-run", "--older-than", "nan"], "older-than"),
    ],
)
def test_a_bad_option_is_refused_by_its_name(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run("prune_audit", *arguments)


# Erasure


def test_a_persons_fields_are_erased_and_the_seals_stay_valid() -> None:
    mine = write(2, user_id="42", session_id="s-42")
    acted = write(1, user_id="7", metadata={"actor": {"type": "user", "id": "42", "label": "Alice"}})
    others = write(1, user_id="7")
    seal()
    assert "Erased 3 rows" in run("erase_audit", "42", "--reason", "request of 3 May")
    for entry in AuditEntry.objects.filter(id__in=[*mine, *acted]):
        assert (entry.user_id, entry.actor_label, entry.ip_address, entry.user_agent, entry.session_id) == (
            None,
            "",
            None,
            "",
            None,
        )
        assert (entry.data, entry.metadata, entry.personal_salt) == ({}, {}, "")
        assert (entry.event_type, entry.action) == ("model.delete", "delete")
    assert AuditEntry.objects.get(id=others[0]).user_id == "7"
    assert found() == []
    assert verify().erased == 3
    erased = of_the_audit("erased")
    assert (erased.data["rows"], erased.data["reason"]) == ([*mine, *acted], "request of 3 May")
    assert "42" not in str(erased.data["reason"])
    assert erasure.erase("42", "again") == (0, 0, 0)


def test_all_rows_of_a_person_are_found_and_no_others() -> None:
    def by(**actor: Any) -> list[int]:
        return write(1, user_id="7", metadata={"actor": actor})

    wanted = [
        *write(1, user_id="42", metadata={}),
        *write(1, user_id="42", metadata={"source_category": "security", "actor": {"type": "system", "label": "system"}}),
        *write(1, user_id=None, metadata={"actor": {"type": "user", "id": "42"}}),
        *by(type="user", id="42", label="Alice"),
        *by(type="user", id=42),
        *by(type="token", id="42", label="token of Alice"),
    ]
    write(1, user_id="7", metadata={"session_id": "42"})
    for others in ({"type": "task", "id": "42"}, {"type": "user", "id": "421"}, {"type": "user", "id": ["42"]}, {}):
        by(**others)
    with act_as(user_actor(User(pk=42, username="Alice"))):
        Article.objects.create(title="a")
    wanted.append(AuditEntry.objects.latest("id").id)
    Article.objects.update(title="b")
    found = erasure.rows_of("42").values_list("id", flat=True)
    assert list(found) == wanted
    assert "metadata" not in str(found.query), "JSON is not searched: that reads the whole log"


def test_a_row_without_a_seal_is_erased_later() -> None:
    write(1, user_id="42")
    with pytest.raises(CommandError, match="run it again"):
        run("erase_audit", "42", "--reason", "x")
    seal()
    assert erasure.erase("42", "x").rows == 1


def test_an_erasure_hides_no_tampering() -> None:
    first, second = write(2, user_id="42")
    seal()
    erasure.erase("42", "x")
    tamper("UPDATE audit_log SET outcome = 'denied' WHERE id = %s", first)
    assert found() == [("row changed", first, first)]
    tamper("UPDATE audit_erasure SET personal = %s WHERE row_id = %s", "0" * 64, second)
    assert found() == [("signature wrong", second, second), ("row changed", first, second)]


def test_what_was_tampered_with_is_not_erased() -> None:
    (row_id,) = write(1, user_id="42")
    seal()
    tamper("UPDATE audit_log SET outcome = 'denied' WHERE id = %s", row_id)
    with pytest.raises(CommandError, match="verify the log first"):
        run("erase_audit", "42", "--reason", "x")
    assert AuditEntry.objects.get(id=row_id).user_id == "42"
    assert not AuditErasure.objects.exists()


def test_an_erasure_blanks_nothing_but_what_is_personal() -> None:
    (row_id,) = write(1, user_id="42")
    seal()
    erasure.erase("42", "x")
    with pytest.raises(IntegrityError):
        AuditEntry.objects.filter(id=row_id).update(outcome="denied")
    with pytest.raises(IntegrityError):
        AuditEntry.objects.filter(id=row_id).update(user_id="43")


# The audit of the audit


def test_who_verified_and_how_it_went_is_recorded() -> None:
    (row_id,) = write()
    seal()
    assert "OK: 1 rows in seals 1 to 1" in run("verify_audit")
    verified = of_the_audit("verified")
    assert (verified.outcome, verified.resource_type, verified.actor_label != "") == ("success", "audit_log", True)
    tamper("UPDATE audit_log SET outcome = 'denied' WHERE id = %s", row_id)
    with pytest.raises(CommandError, match="1 findings"):
        run("verify_audit")
    wait_published()
    failed = AuditEntry.objects.filter(event_type="audit_log.verified").latest("id")
    assert (failed.outcome, failed.priority) == ("failure", "high")
    assert f"row {row_id}" in failed.data["first_findings"][0]


def test_the_command_seals_once() -> None:
    write(3)
    assert "Sealed 3 rows with 1 seals" in run("seal_audit")
    assert Removal.KIND == "removal"
