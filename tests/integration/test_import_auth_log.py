"""`import_auth_log`: a log becomes security events at the times they happened, once, and nobody is alerted."""

from __future__ import annotations

import gzip
import io
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

import events
from audit.models import AuditEntry
from events.models import JournalEntry
from security.models import Counter, Evidence, Incident
from tests.support import traffic
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def run(path: Path | str, *options: str) -> str:
    out, err = StringIO(), StringIO()
    call_command("import_auth_log", str(path), *options, stdout=out, stderr=err, no_color=True)
    return out.getvalue() + err.getvalue()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    acts, _ = traffic.plant(1, [traffic.brute_force, traffic.guessed])
    path = tmp_path / "auth.log"
    path.write_text("".join(f"{line}\n" for line in traffic.openssh_lines(acts)))
    return path


OPENSSH = ("--format", "openssh", "--year", "2026", "--site", "web1")


def stored() -> list[tuple[str, Any]]:
    rows = JournalEntry.objects.filter(category="security")
    return sorted(rows.values_list("event_id", "timestamp"))


def test_a_log_becomes_events_at_the_times_they_happened(log: Path) -> None:
    said = run(log, *OPENSSH)
    failures = JournalEntry.objects.filter(category="security", event_type="auth.login_failure").order_by("timestamp")
    assert {row.timestamp.date() for row in failures} <= {traffic.DAY.date(), (traffic.DAY + timedelta(days=1)).date()}
    event = failures.filter(timestamp__gte=traffic.DAY + timedelta(hours=3)).first().event
    assert (event.metadata["source"], event.metadata["site"], event.source_system) == ("openssh", "web1", "openssh")
    assert AuditEntry.objects.filter(event_type="auth.login_failure").count() == failures.count()
    assert "brute_force" in said
    assert "success_after_failures" in said


def test_reading_it_again_imports_nothing_twice(log: Path) -> None:
    first = run(log, *OPENSSH)
    before, incidents = stored(), list(Incident.objects.values())
    assert len(before) > 100
    again = run(log, *OPENSSH)
    assert stored() == before
    assert list(Incident.objects.values()) == incidents
    assert " 0 events imported" not in first
    assert f"0 events imported, {len(before)} were there already. 0 incidents are new." in again


def test_a_log_that_has_grown_or_was_compressed_adds_what_is_new(log: Path, tmp_path: Path) -> None:
    text = log.read_text().splitlines(keepends=True)
    half = tmp_path / "half.log"
    half.write_text("".join(text[: len(text) // 2]))
    run(half, *OPENSSH)
    compressed = tmp_path / "auth.log.1.gz"
    compressed.write_bytes(gzip.compress("".join(text).encode()))
    run(compressed, *OPENSSH)
    grown = stored()
    JournalEntry.objects.all().delete()
    run(log, *OPENSSH)
    assert stored() == grown


def test_equal_lines_are_events_of_their_own_and_so_are_two_machines(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    path.write_text("Mar  2 10:00:00 web1 sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2\n" * 3)
    run(path, *OPENSSH)
    run(path, *OPENSSH)
    assert len(stored()) == 3
    run(path, *OPENSSH[:-1], "web2")
    assert len(stored()) == 6


def test_incidents_are_those_of_then_and_nobody_is_alerted(log: Path) -> None:
    run(log, *OPENSSH)
    incident = Incident.objects.get(kind="brute_force", address="192.0.2.10")
    assert incident.opened_at == traffic.DAY + timedelta(hours=3)
    assert incident.last_event_at == traffic.DAY + timedelta(hours=3, seconds=4 * 39)
    assert (incident.state, incident.events, incident.account) == ("closed", 40, "")
    assert Evidence.objects.filter(incident=incident).count() == 36  # from the fifth on
    assert not JournalEntry.objects.filter(event_type__startswith="suspicious.").exists()
    assert not JournalEntry.objects.filter(category="realtime").exists()
    assert not Counter.objects.exists()


def test_alerts_are_raised_if_they_are_asked_for(log: Path) -> None:
    run(log, *OPENSSH, "--alert")
    assert JournalEntry.objects.filter(event_type="suspicious.brute_force", category="security").exists()


def test_a_dry_run_stores_nothing_and_says_the_same(log: Path) -> None:
    said = run(log, *OPENSSH, "--dry-run")
    assert not JournalEntry.objects.exists()
    assert not Incident.objects.exists()
    assert "Nothing was stored." in said
    assert run(log, *OPENSSH).splitlines()[2:] == said.splitlines()[2:]


def test_the_monitor_goes_on_watching_what_happens_now(log: Path) -> None:
    run(log, *OPENSSH)
    for _ in range(5):
        events.emit("auth.login_failure", {"ip": "192.0.2.99"}, category="security")
    wait_for(Incident.objects.filter(address="192.0.2.99").exists)


def test_standard_input_and_the_journals_export(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = b"__REALTIME_TIMESTAMP=1770631262500000\nSYSLOG_IDENTIFIER=sshd\nMESSAGE=Failed password for root from 192.0.2.1 port 1 ssh2\n\n"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(entry * 3)))
    assert "3 happenings" in run("-", "--format", "openssh")
    assert len(stored()) == 3


def test_bad_lines_are_counted_and_the_first_is_told(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    path.write_bytes(
        b"nonsense\nMar  2 10:00:00 web1 sshd[1]: Failed password for \xff\xfe\x00 from 192.0.2.1 port 22 ssh2\n"
        + b"x" * 200_000
        + b"\n"
    )
    said = run(path, *OPENSSH)
    assert "3 lines: 1 happenings, 0 lines that tell of nothing, 2 that are no such lines." in said
    assert "The first of those: line 1" in said
    assert len(stored()) == 1


def test_an_unknown_username_is_kept_only_as_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    path.write_text("Mar  2 10:00:00 web1 sshd[1]: Failed password for invalid user hunter2 from 192.0.2.1 port 22 ssh2\n")
    run(path, *OPENSSH)
    row = JournalEntry.objects.get(category="security")
    assert "hunter2" not in row.body + row.private
    assert row.event.data["username_hash"]


def test_usernames_are_accounts_of_this_site_only_if_that_is_said(tmp_path: Path) -> None:
    alice = User.objects.create_user("alice")
    failures = JournalEntry.objects.filter(category="security", event_type="auth.login_failure")
    path = tmp_path / "auth.log"
    path.write_text("Mar  2 10:00:00 web1 sshd[1]: Failed password for alice from 192.0.2.1 port 22 ssh2\n")
    run(path, *OPENSSH)
    assert failures.get().user_id is None
    run(path, *OPENSSH[:-1], "web2", "--map-accounts")
    assert failures.filter(user_id=str(alice.pk)).count() == 1


def test_an_access_log(tmp_path: Path) -> None:
    acts, _ = traffic.plant(1, [traffic.brute_force, traffic.enumeration])
    path = tmp_path / "access.log"
    path.write_text("".join(f"{line}\n" for line in traffic.nginx_lines(acts)))
    said = run(path, "--format", "nginx", "--login-path", traffic.LOGIN_PATH)
    assert "brute_force" in said
    assert "enumeration" in said
    assert Incident.objects.filter(kind="enumeration").count() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--timezone", "Mars/Base"], "timezone"), (["--year", "1"], "year"), (["--dry-run", "--alert"], "dry run")],
)
def test_wrong_options_are_named(log: Path, options: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(log, "--format", "openssh", *options)


def test_a_file_that_is_not_there_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nowhere"):
        run(tmp_path / "nowhere", *OPENSSH)
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"x" * 100_000)[:-20])
    with pytest.raises(CommandError, match=r"broken\.gz"):
        run(broken, *OPENSSH)
