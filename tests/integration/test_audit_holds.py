"""Legal holds: on all rows of a person, signed, and released by nobody but who has the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError

from audit.access import NotRecorded
from audit.evidence import erasure, holds, persons, retention
from audit.evidence.erasure import Resource
from audit.models import AuditEntry, AuditErasure, AuditRemoval, LegalHold
from events.types import utcnow
from tests.support.auditing import entry, execute, found, seal

pytestmark = pytest.mark.django_db(transaction=True)

BLANK: dict[str, Any] = {
    "user_id": None, "actor_label": "", "actor_id": "", "impersonator": "", "ip_address": None, "user_agent": "", "session_id": None,
    "resource_label": "", "changes": None, "data": {}, "metadata": {}, "personal_salt": "",
}  # fmt: skip
SIGNED = "format, key_id, algorithm, signature"
RELEASE = f"INSERT INTO audit_hold ({SIGNED}, releases, released, category, user_id, resource_type, resource_id, reason, actor, placed_at)"
ERASE = (
    f"INSERT INTO audit_erasure ({SIGNED}, row_id, personal, reason, actor, erased_at) VALUES (1,'x','x','x',%s,'x','x','x','x')"
)

PERSONS = {
    "their business": {"user_id": "42"},
    "what they did": {"user_id": "7", "actor_type": "user", "actor_id": "42"},
    "what their token did": {"user_id": "7", "actor_type": "token", "actor_id": "42"},
    "a change of their own record": {"user_id": "7", "resource_type": "auth.user", "resource_id": "42"},
    "an event about them": {"user_id": "7", "resource_type": "user", "resource_id": "42"},
}
OTHERS = {
    "a task of that number": {"user_id": "7", "actor_type": "task", "actor_id": "42"},
    "another object of that number": {"user_id": "7", "resource_type": "tracked.article", "resource_id": "42"},
    "another person": {"user_id": "43"},
    "nobody": {},
}


@pytest.mark.parametrize("what", [*PERSONS, *OTHERS])
def test_erasure_and_holds_and_the_triggers_mean_the_same_rows_of_a_person(what: str) -> None:
    is_theirs = what in PERSONS
    row_id = entry(**(PERSONS | OTHERS)[what]).id
    seal()
    assert (
        list(erasure.rows_of("42"))
        == list(AuditEntry.objects.filter(persons.where("42")))
        == ([AuditEntry.objects.get()] if is_theirs else [])
    )
    hold = holds.place("case 7", user_id="42")
    assert erasure.erase("42", "x") == (0, 0, int(is_theirs))
    execute(ERASE, row_id)
    blanked = AuditEntry.objects.filter(id=row_id)
    if is_theirs:
        with pytest.raises(IntegrityError, match="append-only"):
            blanked.update(**BLANK)
        assert holds.release(hold.id, "closed")
    assert blanked.update(**BLANK) == 1


def test_a_persons_own_record_and_named_resources_are_erased() -> None:
    names = {"email": ["alice@old.example", "alice@new.example"]}
    own = entry(user_id="7", resource_type="auth.user", resource_id="42", resource_label="Alice Smith", changes=names)
    profile = entry(user_id="7", resource_type="shop.customer", resource_id="9", changes=names)
    other = entry(user_id="7", resource_type="shop.customer", resource_id="42", changes=names)
    seal()
    call_command("erase_audit", "42", "--resource", "shop.customer:9", "--reason", "x", verbosity=0)
    for erased in (own, profile):
        erased.refresh_from_db()
        assert (erased.resource_label, erased.changes, erased.user_id) == ("", None, None)
    other.refresh_from_db()
    assert other.changes == names
    assert found() == []
    assert list(erasure.rows_of("", [Resource("shop.customer", "42")])) == [other]


@pytest.mark.parametrize("arguments", [[], ["42", "--resource", "shop.customer"], ["--resource", ":9"]])
def test_who_is_to_be_erased_must_be_said(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match=r"user|resource"):
        call_command("erase_audit", *arguments, "--reason", "x")


def test_a_hold_on_everything_must_be_meant() -> None:
    with pytest.raises(CommandError, match="all"):
        call_command("hold_audit", "--reason", "x")
    with pytest.raises(CommandError, match="all"):
        call_command("hold_audit", "--reason", "x", "--all", "--user", "42")
    call_command("hold_audit", "--reason", "x", "--all", verbosity=0)
    assert [str(hold) for hold in holds.in_force()] == [str(LegalHold.objects.get())]


def test_a_release_that_nobody_signed_ends_nothing_and_is_told(tmp_path: Path) -> None:
    entry(user_id="42")
    seal()
    hold = holds.place("case 7", user_id="42")
    assert found() == []
    execute(f"{RELEASE} SELECT {SIGNED}, id, '', '', '', '', '', '', '', placed_at FROM audit_hold")
    assert [one.id for one in holds.in_force()] == [hold.id]
    assert erasure.erase("42", "x") == (0, 0, 1)
    assert retention.prune(utcnow(), tmp_path, "x") == (0, [])
    assert [kind for kind, _, _ in found()] == ["signature wrong"]
    assert holds.release(hold.id, "closed")
    assert holds.in_force() == []


def test_a_signed_release_ends_no_other_hold() -> None:
    first, second = holds.place("case 7"), holds.place("case 8")
    holds.release(first.id, "closed")
    execute(
        f"{RELEASE} SELECT {SIGNED}, %s, released, category, user_id, resource_type, resource_id, reason, actor, placed_at"
        " FROM audit_hold WHERE releases > 0",
        second.id,
    )
    assert [hold.id for hold in holds.in_force()] == [second.id]


def test_a_hold_that_nobody_signed_is_told_and_can_be_released(tmp_path: Path) -> None:
    entry(user_id="42")
    seal()
    execute(f"{RELEASE} VALUES (1,'x','x','x',0,'','','','','','','mallory','soon')")
    assert [kind for kind, _, _ in found()] == ["signature wrong"]
    (forged,) = holds.in_force()
    assert retention.prune(utcnow(), tmp_path, "x") == (0, [])
    assert holds.release(forged.id, "forged")
    assert retention.prune(utcnow(), tmp_path, "x").rows == 1


def test_what_can_not_be_recorded_is_not_done(settings: Any, tmp_path: Path) -> None:
    entry(user_id="42")
    seal()
    hold = holds.place("case 8", user_id="43")
    settings.EVENTS = settings.EVENTS | {"UNIFIED_EVENTS_ENABLED": False}
    for attempt in (
        lambda: holds.place("x"),
        lambda: holds.release(hold.id, "x"),
        lambda: erasure.erase("42", "x"),
        lambda: retention.prune(utcnow(), tmp_path, "x"),
    ):
        with pytest.raises(NotRecorded):
            attempt()
    assert [one.id for one in holds.in_force()] == [hold.id]
    assert AuditEntry.objects.get(user_id="42")
    assert not AuditErasure.objects.exists()
    assert not AuditRemoval.objects.exists()
    for command in (
        ["erase_audit", "42"],
        ["hold_audit", "--all"],
        ["prune_audit", "--older-than", "0", "--archives", str(tmp_path)],
    ):
        with pytest.raises(CommandError, match="could not be recorded"):
            call_command(*command, "--reason", "x")


def test_a_forged_record_keeps_nothing_from_being_erased_or_removed(settings: Any, tmp_path: Path) -> None:
    settings.AUDIT = settings.AUDIT | {"SEAL_MAX_ROWS": 1}
    row_id = entry(user_id="42").id
    seal()
    execute(ERASE, row_id)
    assert erasure.erase("42", "x").rows == 1
    assert found() == [("key unknown", row_id, row_id)]
    rows: dict[str, Any] = {"seal": 1, "first_id": 1, "last_id": 2**63 - 1, "rows": "1"}
    AuditRemoval.objects.create(format=1, key_id="x", algorithm="x", signature="x", until="1999-99-99", **rows)
    entry(user_id="43")
    seal()
    done = retention.prune(utcnow(), tmp_path, "x")
    assert list(AuditEntry.objects.exclude(event_type__startswith="audit_log.").values_list("id", flat=True)) == [row_id]
    assert ["key unknown" in problem for problem in done.problems] == [True]
