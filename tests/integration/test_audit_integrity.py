"""The admin's page "Integrity": how it stands with the evidence, and verifying all of the log in steps."""

from __future__ import annotations

import json
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from audit.evidence import holds, integrity, log, verification
from audit.evidence.integrity import state
from audit.models import AuditEntry, AuditSeal
from events.testing import wait_published
from events.types import utcnow
from tests.support.auditing import execute, found, seal, tamper, write, write_old

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/admin/audit/auditentry/integrity/"
JSON = {"accept": "application/json"}
POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite hides no row that others wait for")


def member(name: str, *permissions: str, staff: bool = True, superuser: bool = False, csrf: bool = False) -> Client:
    """A signed-in client of a new user. What making it records stays in the log."""
    user = User.objects.create_user(name, is_staff=staff, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(enforce_csrf_checks=csrf)
    client.force_login(user)
    wait_published()
    return client


@pytest.fixture
def client() -> Client:
    """An auditor's."""
    return member("auditor", "view_auditentry", "verify_auditentry")


@pytest.fixture
def single(settings: Any) -> None:
    """Each row has a seal of its own."""
    settings.AUDIT = settings.AUDIT | {"SEAL_MAX_ROWS": 1}


@pytest.fixture
def one_seal_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time for more than what is verified in any case."""
    monkeypatch.setattr(verification, "STEP_SECONDS", 0.0)


def page(client: Client) -> str:
    response = client.get(PAGE)
    assert response.status_code == 200
    return " ".join(unescape(response.content.decode()).split())


def step(client: Client, number: int = 1, **headers: str) -> dict[str, Any]:
    response = client.post(PAGE, {"from": number}, headers=JSON | headers)
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


def steps(client: Client, run: str = "run-1") -> list[dict[str, Any]]:
    """All steps of a verification."""
    made = [step(client, **{"x-correlation-id": run})]
    while made[-1]["next"] is not None:
        made.append(step(client, made[-1]["next"], **{"x-correlation-id": run}))
    return made


def kinds(made: list[dict[str, Any]]) -> list[str]:
    return [finding["kind"] for one in made for finding in one["findings"]]


def recorded() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(event_type="audit_log.verified").order_by("id"))


# Who may

VIEW, EXPORT, VERIFY = "view_auditentry", "export_auditentry", "verify_auditentry"
WHO = {
    "no staff, all permissions": ((VIEW, EXPORT, VERIFY), False, False, 302),
    "staff without a permission": ((), True, False, 403),
    "staff who may only view": ((VIEW,), True, False, 403),
    "staff who may only verify": ((VERIFY,), True, False, 403),
    "staff who may view and export": ((VIEW, EXPORT), True, False, 403),
    "staff who may view and verify": ((VIEW, VERIFY), True, False, 200),
    "superuser": ((), True, True, 200),
}


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("who", WHO)
def test_the_page_is_for_who_may_view_and_verify(who: str, method: str) -> None:
    permissions, staff, superuser, status = WHO[who]
    someone = member("someone", *permissions, staff=staff, superuser=superuser)
    assert getattr(someone, method)(PAGE).status_code == status
    assert bool(recorded()) == (method == "post" and status == 200)
    listed = someone.get("/admin/audit/auditentry/")
    assert (PAGE.encode() in listed.content) == (status == 200)


@pytest.mark.parametrize("method", ["get", "post"])
def test_nobody_gets_the_page_without_signing_in(method: str) -> None:
    assert getattr(Client(), method)(PAGE).status_code == 302
    assert recorded() == []


def test_a_step_takes_a_csrf_token() -> None:
    someone = member("someone", superuser=True, csrf=True)
    assert someone.post(PAGE, {"from": 1}, headers=JSON).status_code == 403
    someone.get(PAGE)
    token = {"csrfmiddlewaretoken": someone.cookies["csrftoken"].value}
    assert someone.post(PAGE, {"from": 1} | token, headers=JSON).status_code == 200


@pytest.mark.parametrize("number", ["0", "-1", "", "x", "1e3", "²", "9" * 19, "9" * 40])
def test_what_is_no_number_of_a_seal_is_refused(client: Client, number: str) -> None:
    assert client.post(PAGE, {"from": number}, headers=JSON).status_code == 400
    assert recorded() == []


# Steps


@pytest.mark.usefixtures("single", "one_seal_a_step")
def test_the_whole_log_is_verified_step_by_step(client: Client) -> None:
    write(5)
    seals = seal()
    (late,) = write()
    made = steps(client)
    assert len(made) == seals
    assert [one["from"] for one in made] == list(range(1, seals + 1))
    assert [(one["seals"], one["rows"], one["findings"]) for one in made] == [(1, 1, [])] * seals
    # What waits are the last row, and the entries that the steps before the last one left.
    assert made[-1]["unsealed"] == AuditEntry.objects.filter(id__gte=late).count() - 1
    assert log.verify_step(seals, []).verifier.last.number == seals  # type: ignore[union-attr]


@pytest.mark.usefixtures("single", "one_seal_a_step")
def test_seals_must_follow_on_each_other_across_steps(client: Client) -> None:
    ids = write(6)
    seal()
    third = next(one for one in log.seals() if one.last_id == ids[2])
    tamper("DELETE FROM audit_seal WHERE number = %s", third.number)
    made = steps(client)
    assert kinds(made) == ["seal dropped"]
    assert len(state().verifications) == 1
    (finding,) = [finding for one in made for finding in one["findings"]]
    assert [row["id"] for row in finding["rows"]] == [ids[2]]
    assert found() == [("seal dropped", ids[2], ids[2])]


@pytest.mark.usefixtures("single", "one_seal_a_step")
def test_a_seal_that_was_made_anew_is_found_at_the_begin_of_the_step_after_it(client: Client) -> None:
    write(4)
    seal()
    second, third = list(log.seals())[1:3]
    tamper("UPDATE audit_seal SET sealed_at = %s WHERE number = %s", third.sealed_at, second.number)
    assert step(client, third.number)["findings"][0]["kind"] == "seal re-made"
    assert kinds(steps(client)) == ["signature wrong", "seal re-made"]


@pytest.mark.usefixtures("single", "one_seal_a_step")
def test_steps_find_what_the_command_finds(client: Client) -> None:
    ids = write(9)
    seal()
    tamper("UPDATE audit_log SET action = 'read' WHERE id = %s", ids[1])
    tamper("DELETE FROM audit_log WHERE id = %s", ids[4])
    made = steps(client)
    told = {(finding["kind"], tuple(row["id"] for row in finding["rows"])) for one in made for finding in one["findings"]}
    assert told == {("row changed", (ids[1],)), ("row deleted", ())}
    assert kinds(made) == [kind for kind, _, _ in found()]
    with pytest.raises(CommandError, match="2 findings"):
        call_command("verify_audit")


def test_a_dropped_tail_is_found(client: Client, settings: Any, tmp_path: Path) -> None:
    settings.AUDIT = settings.AUDIT | {"ANCHOR_FILE": str(tmp_path / "anchors"), "SEAL_MAX_ROWS": 2}
    ids = write(6)
    seals = seal()
    assert state().anchors == integrity.Anchors(settings.AUDIT["ANCHOR_FILE"], "", seals, "")
    tamper("DELETE FROM audit_seal WHERE number = %s", seals)
    tamper("DELETE FROM audit_log WHERE id = %s", ids[-1])
    assert kinds(steps(client)) == ["tail dropped"]
    assert f"Seals up to {seals} were anchored, the log ends with {seals - 1}: its tail was dropped." in page(client)


@pytest.mark.usefixtures("single")
def test_steps_know_the_anchors_of_what_they_verify(
    client: Client, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "STEP_SEALS", 2)
    anchors = tmp_path / "anchors"
    settings.AUDIT = settings.AUDIT | {"ANCHOR_FILE": str(anchors)}
    write(7)
    seals = seal()
    lines = [json.loads(line) for line in anchors.read_text().splitlines()]
    lines[4]["digest"] = "0" * 64
    # Of another program: other white space, another order.
    others = [f"{dict(reversed(line.items()))}".replace("'", '"') for line in lines[:3]]
    anchors.write_text("\n".join([*others, *map(json.dumps, lines[3:]), '{"number": 3, "di']))
    made = steps(client)
    assert [one["seals"] for one in made] == [2] * (seals // 2) + [1] * (seals % 2)
    assert kinds(made) == ["seal re-made"]
    tamper("DELETE FROM audit_seal WHERE number >= %s", seals - 1)
    assert kinds(steps(client)) == ["seal re-made", "tail dropped"]


def test_a_missing_trigger_is_shown_and_found(client: Client) -> None:
    write()
    seal()
    assert "Yes, all triggers are in place." in page(client)
    name = "audit_log_no_update" if connection.vendor == "sqlite" else "audit_log_guard ON audit_log"
    trigger = name.split(" ", maxsplit=1)[0]
    execute(f"DROP TRIGGER {name}")
    try:
        assert f"No: {trigger} is missing, changed or not ours." in page(client)
        assert kinds(steps(client)) == ["not append-only"]
    finally:
        call_command("migrate", verbosity=0)
    assert "Yes, all triggers are in place." in page(client)


def test_a_file_of_anchors_that_can_not_be_read_is_no_server_error(client: Client, settings: Any, tmp_path: Path) -> None:
    settings.AUDIT = settings.AUDIT | {"ANCHOR_FILE": str(tmp_path)}
    assert "It can't be read: Is a directory." in page(client)
    assert client.post(PAGE, headers=JSON).status_code == 503


# On record


@pytest.mark.usefixtures("single", "one_seal_a_step")
def test_each_step_is_on_record_and_those_of_a_run_belong_together(client: Client) -> None:
    ids = write(4)
    seals = seal()
    tamper("UPDATE audit_log SET action = 'read' WHERE id >= %s AND id <= %s", ids[0], ids[1])
    steps(client, "run-1")
    entries = recorded()
    covered = [(entry.data["from_seal"], entry.data["seal"], entry.data["is_end"]) for entry in entries]
    assert covered == [(number, number, number == seals) for number in range(1, seals + 1)]
    assert {(entry.actor_label, entry.correlation_id) for entry in entries} == {("auditor", "run-1")}
    # The staff's browsers are told at once, and once.
    assert [entry.priority for entry in entries if entry.outcome == "failure"] == ["high", "normal"]
    (shown,) = state().verifications
    assert (shown.from_seal, shown.to_seal, shown.rows, shown.findings, shown.is_end) == (1, seals, seals, 2, True)
    assert "2 findings" in page(client)


@pytest.mark.usefixtures("single", "one_seal_a_step")
def test_what_a_browser_verified_before_it_went_away_is_not_lost(client: Client) -> None:
    write(3)
    seal()
    step(client, **{"x-correlation-id": "run-1"})
    step(client, 2, **{"x-correlation-id": "run-1"})
    (shown,) = state().verifications
    assert (shown.from_seal, shown.to_seal, shown.is_end) == (1, 2, False)
    assert "not to the end" in page(client)


@pytest.mark.usefixtures("single", "one_seal_a_step")
def test_steps_that_leave_out_a_seal_are_not_taken_for_one_verification(client: Client) -> None:
    write(6)
    seals = seal()
    tamper("UPDATE audit_log SET action = 'read' WHERE id = (SELECT MIN(id) + 3 FROM audit_log)")
    run = {"x-correlation-id": "run-1"}
    for number in (1, 2, seals - 1, seals, seals + 1):
        step(client, number, **run)
    shown = [(one.from_seal, one.to_seal, one.findings, one.is_end) for one in state().verifications]
    assert shown == [(seals - 1, seals, 0, True), (1, 2, 0, False)]
    step(client, seals + 9, **run)
    assert f"none from {seals + 9} on" in page(client)


@pytest.mark.usefixtures("single", "one_seal_a_step")
def test_steps_of_two_users_are_not_taken_for_one_verification(client: Client) -> None:
    write(3)
    seals = seal()
    another = member("another", superuser=True)
    for number in range(1, seals + 1):
        step(another if number == seals else client, number, **{"x-correlation-id": "run-1"})
    shown = [(one.from_seal, one.to_seal, one.is_end, one.entry.actor_label) for one in state().verifications]
    assert shown == [(seals, seals, True, "another"), (1, seals - 1, False, "auditor")]


@pytest.mark.usefixtures("single", "one_seal_a_step")
def test_two_verifications_at_once_are_two(client: Client) -> None:
    write(3)
    seals = seal()
    for number in range(1, seals + 1):
        step(client, number, **{"x-correlation-id": "run-1"})
        step(client, number, **{"x-correlation-id": "run-2"})
    assert [(one.from_seal, one.to_seal, one.is_end) for one in state().verifications] == [(1, seals, True)] * 2


def test_the_command_is_among_the_verifications(client: Client) -> None:
    write(3)
    seal()
    call_command("verify_audit")
    (shown,) = state().verifications
    assert (shown.is_end, shown.findings, shown.rows) == (True, 0, shown.entry.data["rows"])


def test_a_step_that_can_not_be_recorded_says_so(client: Client, settings: Any) -> None:
    write()
    seal()
    settings.EVENTS = {"UNIFIED_EVENTS_ENABLED": False}
    assert step(client)["is_recorded"] is False
    assert "This could not be put on record." in client.post(PAGE).content.decode()


# Without JavaScript


@pytest.mark.usefixtures("single", "one_seal_a_step")
def test_the_form_verifies_a_step_and_shows_how_far_it_came(client: Client) -> None:
    ids = write(2)
    seals = seal()
    tamper("UPDATE audit_log SET action = 'read' WHERE id = %s", ids[0])
    number = next(one.number for one in log.seals() if one.last_id == ids[0])
    text = " ".join(unescape(client.post(PAGE, {"from": number}).content.decode()).split())
    assert f"Verified 1 row in 1 seal from seal {number} on, up to {number} of {seals}: 1 finding." in text
    assert f"Go on with seal {number + 1}" in text
    assert f'<input type="hidden" name="from" value="{number + 1}">' in text
    assert f'<a class="text-link" href="/admin/audit/auditentry/{ids[0]}/change/">row {ids[0]}</a>' in text
    text = " ".join(client.post(PAGE, {"from": seals}).content.decode().split())
    assert "to the end: all is as it was sealed." in text


# What is shown


def test_the_page_of_an_empty_log_says_so(client: Client) -> None:
    text = page(client)
    for said in ("There are no seals yet.", "None in force.", "It was never verified.", "None: who can write the database"):
        assert said in text


def test_the_page_tells_how_it_stands(client: Client, settings: Any, tmp_path: Path) -> None:
    secret = "ab" * 32
    anchors = tmp_path / "anchors"
    settings.AUDIT = settings.AUDIT | {
        "SEAL_KEYS": [f"2026:hmac-sha256:{secret}", f"2025:ed25519-public:{'cd' * 32}"],
        "ANCHOR_FILE": str(anchors),
        "ANCHOR_LOGGER": "audit.anchor",
    }
    write(3)
    holds.place("case 7", user_id="42")
    seal()
    write(2)
    newest = AuditSeal.objects.latest("number")
    text = page(client)
    assert f"Up to row {newest.last_id}, by seal {newest.number} of" in text
    assert "2 rows, the oldest for" in text
    assert "<code>2026</code> hmac-sha256, signs and verifies" in text
    assert "<code>2025</code> ed25519, verifies" in text
    assert secret not in text
    assert f"<code>{anchors}</code>, up to seal {newest.number}." in text
    assert "The logger <code>audit.anchor</code> is told" in text
    assert "case 7 <" in text
    assert "user 42 since" in text
    assert "0 removals by retention, 0 rows with erased personal fields." in text
    assert f"{newest.first_id} to {newest.last_id}" in text


def test_what_is_tampered_with_in_the_records_of_verifications_is_no_server_error(client: Client) -> None:
    write()
    seal()
    steps(client)
    tamper("UPDATE audit_log SET data = %s WHERE event_type = 'audit_log.verified'", json.dumps({"rows": "many", "seal": None}))
    tamper("UPDATE audit_seal SET sealed_at = 'never'")
    assert "never" in page(client)


def test_rows_that_wait_are_not_counted_without_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "MAX_COUNTED", 3)
    write(5)
    assert state().waiting.are_uncounted
    assert "More than" in page(client)


def test_rows_that_wait_for_longer_than_a_minute_are_told_of(client: Client) -> None:
    write(1)
    assert not state().waiting.are_late
    seal()
    write_old(utcnow() - timedelta(minutes=5))
    text = page(client)
    assert "The oldest waits for longer than a minute." in text
    assert "does a server run that seals" in text


@POSTGRESQL
def test_a_transaction_that_holds_sealing_up_is_seen(client: Client) -> None:
    columns = ", ".join(field.column for field in AuditEntry._meta.concrete_fields if field.column != "id")
    write()
    seal()
    values = connection.get_connection_params()
    with psycopg.connect(
        **{name: values[name] for name in ("dbname", "user", "host", "port", "password") if values.get(name)}
    ) as slow:
        slow.execute(f"INSERT INTO audit_log ({columns}) SELECT {columns} FROM audit_log LIMIT 1")
        write_old(utcnow() - timedelta(minutes=5))
        seal()
        opened = state().waiting.open_since
        assert opened is not None
        assert utcnow() - opened < timedelta(minutes=1)
        assert "A transaction that wrote to the log is open since" in page(client)
        slow.rollback()
    seal()
    assert state().waiting.open_since is None


def test_the_page_takes_few_queries_however_long_the_log_is(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    write(3)
    holds.place("case 7")
    seal()
    write_old(utcnow() - timedelta(minutes=5), 2)
    steps(client)
    page(client)
    with django_assert_max_num_queries(15):
        page(client)
