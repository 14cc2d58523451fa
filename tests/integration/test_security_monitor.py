"""Failed logins, from wherever they are told, give one alert an attack: exact under load, with its evidence."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, transaction

import events
from audit.models import AuditEntry
from events.models import JournalEntry
from events.stats import stats
from events.testing import wait_published
from events.types import utcnow
from security.adapter import emit_login_event
from security.detection import Hit, Observation
from security.detectors import DETECTORS
from security.detectors.logins import AccountBruteForce
from security.models import Counter, Incident
from security.monitor import monitor
from tests.support.databases import base_environment
from tests.support.paths import ROOT
from tests.support.together import run_together

pytestmark = pytest.mark.django_db(transaction=True)


def fail(number: int = 1, **data: Any) -> None:
    for _ in range(number):
        assert events.emit("auth.login_failure", data, category="security")


def alerts() -> list[dict[str, Any]]:
    """What the alerts tell, in order."""
    wait_published()
    found = JournalEntry.objects.filter(event_type="suspicious.brute_force", category="security").order_by("id")
    return [row.event.data for row in found]


@pytest.mark.parametrize("name", ["ip", "ip_address"])
def test_five_failures_from_one_address_give_one_alert(name: str) -> None:
    for n in range(4):
        fail(**{name: "203.0.113.9", "user_id": n})
    assert alerts() == []
    fail(4, **{name: "203.0.113.9"})
    (alert,) = alerts()
    assert alert["keys"] == {"address": "203.0.113.9"}
    assert alert["ip_address"] == "203.0.113.9"


def test_five_failures_for_one_account_give_one_alert_wherever_they_come_from() -> None:
    for n in range(8):
        fail(ip=f"203.0.113.{n}", user_id="7")
    (alert,) = alerts()
    assert alert["keys"] == {"account": "7"}
    assert "ip_address" not in alert


def test_a_username_in_the_data_stands_for_its_account() -> None:
    alice = User.objects.create_user("alice")
    for n in range(3):
        fail(ip=f"203.0.113.{n}", username="alice")
    for n in range(3, 6):
        fail(ip=f"203.0.113.{n}", user_id=alice.pk)
    (alert,) = alerts()
    assert alert["keys"] == {"account": str(alice.pk)}


def test_a_username_that_is_nobodys_is_counted_and_not_kept() -> None:
    for n in range(5):
        fail(ip=f"203.0.113.{n}", username="hunter2")
    (alert,) = alerts()
    assert list(alert["keys"]) == ["username"]
    assert not [counter for counter in Counter.objects.all() if "hunter2" in f"{counter.key}{counter.hits}"]


def test_an_address_and_an_account_that_one_failure_gives_away_are_one_alert() -> None:
    fail(9, ip="203.0.113.9", user_id="7")
    (alert,) = alerts()
    assert alert["keys"] == {"address": "203.0.113.9", "account": "7"}
    assert alert["message"] == "5 failed logins within 300 s: account 7 and address 203.0.113.9"


def test_the_alert_carries_its_evidence() -> None:
    with events.correlate("c-1"):
        fail(5, ip="203.0.113.9")
    (alert,) = alerts()
    failures = JournalEntry.objects.filter(event_type="auth.login_failure", category="security").order_by("id")
    assert (alert["attempts"], alert["threshold"], alert["window"]) == (5, 5, 300)
    assert alert["first_failure"] == failures[0].timestamp.isoformat()
    assert alert["last_failure"] == failures[4].timestamp.isoformat()
    assert alert["last_failure_event_id"] == failures[4].event_id
    raised = JournalEntry.objects.get(event_type="suspicious.brute_force", category="security").event
    assert (raised.correlation_id, raised.priority) == ("c-1", "critical")
    assert raised.metadata["actor"] == {"type": "system", "id": None, "label": "security monitor"}
    assert raised.metadata["ip_address"] == "203.0.113.9"


def test_the_alert_is_audited_and_notifies_the_staff_in_real_time() -> None:
    fail(5, ip="203.0.113.9")
    wait_published()
    entry = AuditEntry.objects.get(event_type="suspicious.brute_force")
    assert (entry.priority, entry.source_category, entry.ip_address) == ("critical", "security", "203.0.113.9")
    assert (entry.actor_label, entry.outcome) == ("security monitor", "unknown")
    realtime = JournalEntry.objects.get(event_type="suspicious.brute_force", category="realtime")
    assert realtime.audience == "staff:security"
    assert realtime.event.metadata["notification"] is True


async def test_failures_told_by_coroutines_count() -> None:
    for n in range(3):
        await emit_login_event(success=False, user_id=f"user_{n}", ip_address="203.0.113.9")
    await events.emit_security_event("auth.login_failure", {"ip": "203.0.113.9"})
    await emit_login_event(success=True, user_id="user_1", ip_address="203.0.113.9")
    await sync_to_async(wait_published)()
    assert not await JournalEntry.objects.filter(event_type="suspicious.brute_force").aexists()
    await emit_login_event(success=False, user_id="user_9", ip_address="203.0.113.9")
    await sync_to_async(wait_published)()
    assert await JournalEntry.objects.filter(event_type="suspicious.brute_force", category="security").acount() == 1


def test_failures_in_transactions_that_are_rolled_back_count() -> None:
    for _ in range(5):
        with transaction.atomic():
            fail(ip="203.0.113.9")
            transaction.set_rollback(True)
    wait_published()
    assert len(alerts()) == 1


def test_threshold_and_window_are_settings(settings: Any) -> None:
    settings.SECURITY = {"BRUTE_FORCE_THRESHOLD": 2, "BRUTE_FORCE_WINDOW": 60}
    long_ago = utcnow() - timedelta(seconds=61)
    events.emit("auth.login_failure", {"ip": "203.0.113.9"}, category="security", timestamp=long_ago)
    fail(ip="203.0.113.9")
    assert alerts() == []
    fail(ip="203.0.113.9")
    assert [alert["window"] for alert in alerts()] == [60]


def test_an_attack_that_goes_on_is_one_incident_and_one_alert() -> None:
    start = utcnow() - timedelta(seconds=600)
    for n in range(60):
        moment = start + timedelta(seconds=n * 10)
        events.emit("auth.login_failure", {"ip": "203.0.113.9"}, category="security", timestamp=moment)
    assert len(alerts()) == 1
    incident = Incident.objects.get()
    assert (incident.events, incident.last_event_at) == (60, moment)


def test_a_clock_that_runs_ahead_hides_no_attack() -> None:
    events.emit("auth.login_failure", {"ip": "203.0.113.9"}, category="security", timestamp=utcnow() + timedelta(days=365))
    fail(4, ip="203.0.113.9")
    assert len(alerts()) == 1


def test_other_events_and_failures_without_a_key_accuse_nobody() -> None:
    fail(6)
    fail(6, ip="nonsense", user_id=["x"], username={"a": 1})
    fail(6, username_hash=7, network={"a": 1}, count="many", accounts=[[{}, -1], 7, "x", ["a"]])
    for _ in range(6):
        events.emit("auth.login_success", {"ip": "203.0.113.9"}, category="security")
        events.emit("auth.login_failure", {"ip": "203.0.113.9"}, category="realtime")
    wait_published()
    assert [counter.key for counter in Counter.objects.exclude(key__startswith="surge/")] == []
    assert not Incident.objects.exists()
    assert stats.snapshot()["handler_errors"] == 0


def test_failures_in_parallel_threads_give_exactly_one_alert() -> None:
    run_together(12, lambda n: fail(ip="203.0.113.9", user_id=f"{n % 6}"))
    assert len(alerts()) == 1
    assert Incident.objects.get().events == 12


def test_parallel_failures_for_crossing_addresses_and_accounts_neither_wait_for_each_other_nor_get_lost() -> None:
    addresses, accounts = ["203.0.113.1", "203.0.113.2"], ["a", "b"]
    run_together(8, lambda n: fail(3, ip=addresses[n % 2], user_id=accounts[n // 2 % 2]))
    told = [alert["subject"] for alert in alerts()]
    assert len(told) == len(set(told)), "one alert an incident"
    assert {key for alert in alerts() for key in alert["keys"].values()} == {*addresses, *accounts}
    counted = {counter.key: len(counter.hits) for counter in Counter.objects.filter(key__startswith="surge/")}
    assert counted["surge/usual"] == 24
    assert stats.snapshot()["handler_errors"] == 0


def test_failures_in_parallel_processes_give_exactly_one_alert() -> None:
    code = (
        "import os, sys, django; django.setup()\n"
        "from django.db import connections\n"
        "import events\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for n in range(5): assert events.emit('auth.login_failure', {'ip': '203.0.113.9'}, category='security')\n"
    )
    name = connection.settings_dict["NAME"]
    url = f"sqlite:///{name}" if connection.vendor == "sqlite" else _url(connection.settings_dict)
    env = base_environment() | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "chatter_site.settings"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60) and process.returncode for process in processes] == [0, 0, 0]
    assert len(alerts()) == 1
    assert Incident.objects.get().events == 15


def _url(database: dict[str, Any]) -> str:
    password = f":{database['PASSWORD']}" if database["PASSWORD"] else ""
    return f"postgres://{database['USER']}{password}@{database['HOST']}:{database['PORT'] or 5432}/{database['NAME']}"


def test_an_alert_that_cannot_be_stored_is_raised_by_the_next_failure() -> None:
    class Broken:
        def write(self, written: Any) -> None:
            if any(event.event_type == "suspicious.brute_force" for event in written):
                raise RuntimeError("disk full")

    broken = Broken()
    events.event_router.register_emitter("audit", broken)
    fail(5, ip="203.0.113.9")
    assert alerts() == []
    events.event_router.unregister_emitter("audit", broken)
    fail(ip="203.0.113.9")
    assert len(alerts()) == 1


def test_a_replayed_failure_is_not_counted_again() -> None:
    fail(1, ip="203.0.113.9")
    event = JournalEntry.objects.get(category="security").event
    event.metadata["replayed"] = True
    for _ in range(9):
        monitor.receive(event)
    wait_published()
    assert len(Counter.objects.get(key="failures/address/203.0.113.9").hits) == 1


def test_who_signs_in_waits_for_no_detector() -> None:
    """The monitor's work is done in another thread than the caller's."""
    threads = []
    with monitor_observes(lambda seen: threads.append(threading.current_thread())):
        fail(ip="203.0.113.9")
        wait_published()
    assert threads
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("broken", ["hits", "judge"])
def test_a_detector_that_fails_stops_no_other(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(AccountBruteForce):
        def hits(self, seen: Any) -> Any:
            return 1 / 0 if broken == "hits" else super().hits(seen)

        def judge(self, seen: Any, counts: Any) -> Any:
            return 1 / 0

    monkeypatch.setattr("security.monitor.DETECTORS", (Broken(), *DETECTORS))
    fail(5, ip="203.0.113.9", user_id="7")
    assert len(alerts()) == 1
    assert stats.snapshot()["handler_errors"] == 5


def test_a_flood_that_is_more_than_can_be_looked_at_is_looked_at_by_who_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("events.writer.MAX_LATER", 0)
    threads = []
    with monitor_observes(lambda seen: threads.append(threading.current_thread())):
        fail(ip="203.0.113.9")
    assert threads == [threading.current_thread()]


def test_in_a_tests_own_transaction_the_monitor_looks_there(django_capture_on_commit_callbacks: Any) -> None:
    with transaction.atomic():
        transaction.get_connection().atomic_blocks[-1]._from_testcase = True
        with django_capture_on_commit_callbacks(execute=True):
            fail(5, ip="203.0.113.9")
        assert Incident.objects.count() == 1
        transaction.set_rollback(True)
    assert not Incident.objects.exists()


@contextmanager
def monitor_observes(look: Callable[[Observation], None]) -> Iterator[None]:
    """Let a further detector look at what is observed."""

    class Looking:
        kind = "looking"

        def hits(self, seen: Observation) -> list[Hit]:
            look(seen)
            return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("security.monitor.DETECTORS", (Looking(), *DETECTORS))
        yield
