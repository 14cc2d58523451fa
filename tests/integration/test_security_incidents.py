"""Incidents: opened once, updated while they go on, closed when quiet or by a person, exactly, whoever does it at once."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connection, transaction

import events
from audit.models import AuditEntry
from events.models import JournalEntry
from events.testing import wait_published
from events.types import utcnow
from security import incidents
from security.detection import Detection, Observation
from security.evidence import KEPT
from security.incidents import acknowledge, close, close_quiet, incident_escalated, incident_opened, note, report
from security.keeper import Keeper
from security.models import Evidence, Incident, Remark, Severity
from tests.support.databases import base_environment
from tests.support.remote import DjangoProcess
from tests.support.together import run_together
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def seen(n: int = 0, **fields: Any) -> Observation:
    values = {"event_type": "auth.login_failure", "event_id": f"e-{n}", "at": utcnow(), "correlation_id": f"c-{n}"}
    return Observation(**values | fields)


def detection(severity: Severity = Severity.HIGH, subject: str = "address 203.0.113.9", **fields: Any) -> Detection:
    values = {"summary": "5 failed logins", "numbers": {"attempts": 5}, "address": "203.0.113.9", "account": "7"}
    return Detection("brute_force", severity, subject, **values | fields)


def opened(**fields: Any) -> Incident:
    incident = report(detection(**fields), seen())
    assert incident is not None
    return incident


def alerts() -> list[dict[str, Any]]:
    wait_published()
    found = JournalEntry.objects.filter(event_type="suspicious.brute_force", category="security").order_by("id")
    return [row.event.data for row in found]


def test_a_detection_opens_an_incident_with_an_alert_and_its_evidence() -> None:
    incident = opened()
    assert (incident.kind, incident.subject, incident.severity, incident.state) == (
        "brute_force", "address 203.0.113.9", "high", "open",
    )  # fmt: skip
    assert (incident.address, incident.account, incident.events, incident.numbers) == ("203.0.113.9", "7", 5, {"attempts": 5})
    assert incident.correlation_id == "c-0"
    assert [(one.event_id, one.correlation_id) for one in incident.evidence.all()] == [("e-0", "c-0")]
    assert [(one.act, one.author) for one in incident.remarks.all()] == [("opened", "security monitor")]
    (alert,) = alerts()
    assert (alert["incident_id"], alert["subject"], alert["attempts"]) == (incident.pk, incident.subject, 5)
    raised = JournalEntry.objects.get(event_type="suspicious.brute_force", category="security").event
    assert (raised.priority, raised.correlation_id, raised.user_id) == ("high", "c-0", "7")


@pytest.mark.parametrize(
    ("severity", "priority"), [("critical", "critical"), ("high", "high"), ("medium", "high"), ("low", "normal")]
)
def test_an_alert_is_as_urgent_as_the_incident_is_bad(severity: str, priority: str) -> None:
    opened(severity=Severity(severity))
    wait_published()
    assert JournalEntry.objects.get(event_type="suspicious.brute_force", category="security").priority == priority


def test_what_goes_on_updates_the_incident_and_alerts_nobody() -> None:
    opened()
    later = report(detection(summary="6 failed logins", numbers={"attempts": 6}), seen(1, number=10))
    assert later == Incident.objects.get()
    assert later is not None
    assert (later.events, later.summary, later.numbers) == (15, "6 failed logins", {"attempts": 6})
    assert Evidence.objects.count() == 2
    assert len(alerts()) == 1


def test_another_subject_is_another_incident() -> None:
    opened()
    opened(subject="account 7")
    assert Incident.objects.count() == len(alerts()) == 2


def test_severity_rises_and_never_falls_and_alerts_again_each_time_it_rises() -> None:
    opened(severity=Severity.LOW)
    for severity, number in (("low", 1), ("high", 2), ("medium", 2), ("critical", 3), ("low", 3), ("critical", 3)):
        report(detection(Severity(severity)), seen())
        assert len(alerts()) == number
    assert Incident.objects.get().severity == "critical"
    assert [alert["severity"] for alert in alerts()] == ["low", "high", "critical"]


def test_a_small_right_hides_no_great_one() -> None:
    mallory = User.objects.create_user("mallory")
    mallory.user_permissions.add(Permission.objects.get(codename="view_session"))
    wait_published()
    assert Incident.objects.get().severity == "low"
    mallory.is_superuser = True
    mallory.save()
    wait_published()
    assert Incident.objects.get().severity == "high"
    told = JournalEntry.objects.filter(event_type="suspicious.privilege_escalation")
    assert sorted(told.values_list("category", flat=True)) == ["audit", "audit", "realtime", "security", "security"]


def test_signals_are_sent_once_it_is_committed() -> None:
    heard: list[tuple[str, bool]] = []

    def hear_opened(incident: Incident, **kwargs: Any) -> None:
        heard.append((f"opened {incident.severity}", connection.in_atomic_block))
        raise RuntimeError("a receiver's own trouble")

    def hear_escalated(incident: Incident, **kwargs: Any) -> None:
        heard.append((f"escalated {incident.severity}", connection.in_atomic_block))

    incident_opened.connect(hear_opened)
    incident_escalated.connect(hear_escalated)
    try:
        with transaction.atomic():
            opened()
            assert heard == []
        opened()
        opened(severity=Severity.CRITICAL)
        with transaction.atomic():
            opened(subject="account 8")
            transaction.set_rollback(True)
    finally:
        incident_opened.disconnect(hear_opened)
        incident_escalated.disconnect(hear_escalated)
    assert heard == [("opened high", False), ("escalated critical", False)]


def test_the_first_and_the_latest_events_are_the_evidence() -> None:
    for n in range(3 * KEPT):
        report(detection(numbers={"attempts": 1}), seen(n))
    kept = [int(one.event_id[2:]) for one in Evidence.objects.all()]
    assert kept == [*range(KEPT), *range(2 * KEPT, 3 * KEPT)]
    assert Incident.objects.get().events == 3 * KEPT


def test_the_events_that_led_to_it_are_evidence_too() -> None:
    for n in range(5):
        events.emit("auth.login_failure", {"ip": f"198.51.100.{n}"}, category="security", user_id=str(n))
        events.emit("auth.login_failure", {"ip": "203.0.113.9"}, category="security", user_id="7", correlation_id=f"c-{n}")
    wait_published()
    incident = Incident.objects.get()
    assert incident.events == 5
    assert [one.correlation_id for one in incident.evidence.all()] == [f"c-{n}" for n in range(5)]


def test_moments_of_events_are_told_late_and_too_early() -> None:
    now = utcnow()
    incident = report(detection(), seen(at=now - timedelta(days=1)))
    assert incident is not None
    assert incident.last_event_at == now - timedelta(days=1)
    incident = report(detection(), seen(1, at=now + timedelta(days=365)))
    assert incident is not None
    assert now <= incident.last_event_at <= utcnow()


# At once


def test_threads_that_report_the_same_open_it_once() -> None:
    run_together(8, lambda n: report(detection(numbers={"attempts": 1}), seen(n)))
    assert Incident.objects.get().events == 8
    assert Evidence.objects.count() == 8
    assert len(alerts()) == 1


REPORTS = """
from events.types import utcnow
from security.detection import Detection, Observation
from security.incidents import close_quiet, report
for n in range(10):
    detection = Detection("brute_force", "critical", "address 203.0.113.9", "failed logins", {})
    report(detection, Observation("auth.login_failure", f"{process}-{n}", utcnow()))
result = "done"
"""
CLOSES = """
import os
from security.incidents import close_quiet
result = close_quiet()
"""
# The demo's accounts, which are in the database, are incidents too: two of them have a status.
FOUND = """
from audit.models import AuditEntry
from events.models import JournalEntry
from security.models import Incident, Remark
result = {
    "incidents": list(Incident.objects.filter(kind="brute_force").values_list("events", "state")),
    "alerts": JournalEntry.objects.filter(event_type="suspicious.brute_force", category="security").count(),
    "remarks": sorted(Remark.objects.filter(incident__kind="brute_force").values_list("act", flat=True)),
    "audited": AuditEntry.objects.filter(event_type="incident.closed").count(),
}
"""


def test_processes_open_it_once_and_close_it_once(databases: Any) -> None:
    url = databases.create()
    processes = [DjangoProcess(base_environment() | {"DATABASE_URL": url}) for _ in range(4)]
    together(processes, REPORTS)
    found = processes[0].run(FOUND)
    assert (found["incidents"], found["alerts"]) == ([[40, "open"]], 1)
    processes[0].run(
        "from security.models import Incident; Incident.objects.filter(kind='brute_force').update(last_event_at='2020-01-01T00:00:00Z')"
    )
    assert sorted(together(processes, CLOSES)) == [0, 0, 0, 1]
    found = processes[0].run(FOUND)
    assert (found["incidents"], found["remarks"], found["audited"]) == ([[40, "closed"]], ["closed", "opened"], 1)
    for process in processes:
        process.stop()
    databases.drop(url)


def together(processes: list[DjangoProcess], code: str) -> list[Any]:
    answers: list[Any] = []
    asked = [
        threading.Thread(target=lambda process=process, n=n: answers.append(process.run(code, process=n)))
        for n, process in enumerate(processes)
    ]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join(60)
    return answers


# Trouble


def test_an_incident_whose_alert_cannot_be_stored_is_opened_by_the_next_event(monkeypatch: pytest.MonkeyPatch) -> None:
    from events.manager import event_router

    class Broken:
        def write(self, written: Any) -> None:
            raise RuntimeError("disk full")

    broken = Broken()
    event_router.register_emitter("audit", broken)
    assert report(detection(), seen()) is None
    event_router.unregister_emitter("audit", broken)
    assert not Incident.objects.exists()
    assert not Evidence.objects.exists()
    assert opened().events == 5
    assert len(alerts()) == 1


def test_a_critical_alert_that_cannot_be_stored_is_raised_by_the_next_event() -> None:
    from events.manager import event_router

    class Broken:
        def write(self, written: Any) -> None:
            raise RuntimeError("disk full")

    broken = Broken()
    opened()
    event_router.register_emitter("audit", broken)
    assert report(detection(Severity.CRITICAL), seen(1)) is None
    event_router.unregister_emitter("audit", broken)
    assert Incident.objects.get().severity == "high"
    opened(severity=Severity.CRITICAL)
    assert [alert["severity"] for alert in alerts()] == ["high", "critical"]


def test_what_goes_on_costs_few_queries(django_assert_max_num_queries: Any) -> None:
    for n in range(2 * KEPT + 1):
        report(detection(numbers={}), seen(n))
    with django_assert_max_num_queries(8):  # look, update, evidence in, evidence out; begin, commit, and savepoints
        report(detection(numbers={}), seen(n + 1))


# People


def remarks(incident: Incident) -> list[tuple[str, str, str]]:
    return list(Remark.objects.filter(incident=incident).exclude(act="opened").values_list("act", "author", "text"))


def test_a_person_acknowledges_notes_and_closes_and_each_is_audited() -> None:
    incident = opened()
    assert acknowledge(incident, "alice", "on it")
    assert note(incident, "bob", "it is our own scanner")
    assert close(incident, "alice", "told them")
    assert remarks(incident) == [
        ("acknowledged", "alice", "on it"),
        ("noted", "bob", "it is our own scanner"),
        ("closed", "alice", "told them"),
    ]
    incident.refresh_from_db()
    assert (incident.state, incident.closed_by) == ("closed", "alice")
    wait_published()
    entries = AuditEntry.objects.filter(resource_type="security.incident", resource_id=str(incident.pk)).order_by("id")
    assert [entry.event_type for entry in entries] == ["incident.acknowledged", "incident.noted", "incident.closed"]
    assert entries[1].data["text"] == "it is our own scanner"


def test_what_cannot_be_done_is_not_done_and_not_audited() -> None:
    incident = opened()
    assert close(incident, "alice")
    assert not acknowledge(incident, "alice")
    assert not close(incident, "alice")
    assert note(incident, "alice", "closed too early")
    assert [act for act, _, _ in remarks(incident)] == ["closed", "noted"]


def test_an_act_that_is_rolled_back_is_neither_remarked_nor_audited() -> None:
    incident = opened()
    with transaction.atomic():
        close(incident, "alice")
        transaction.set_rollback(True)
    wait_published()
    assert Incident.objects.get().state == "open"
    assert remarks(incident) == []
    assert not AuditEntry.objects.filter(event_type="incident.closed").exists()


def test_two_people_at_once_close_it_once() -> None:
    incident = opened()
    assert sorted(run_together(2, lambda n: close(Incident.objects.get(pk=incident.pk), f"person {n}"))) == [False, True]
    assert len(remarks(incident)) == 1


def test_an_attack_that_goes_on_after_it_was_closed_opens_another() -> None:
    first = opened()
    close(first, "alice")
    assert opened().pk != first.pk
    assert len(alerts()) == 2


# Quiet


def make_quiet(incident: Incident, seconds: int = 3_601) -> None:
    Incident.objects.filter(pk=incident.pk).update(last_event_at=utcnow() - timedelta(seconds=seconds))


def test_what_is_quiet_is_closed_also_what_was_acknowledged() -> None:
    quiet, seen_to, loud = opened(subject="a"), opened(subject="b"), opened(subject="c")
    acknowledge(seen_to, "alice")
    make_quiet(quiet)
    make_quiet(seen_to)
    make_quiet(loud, 3_500)
    assert (close_quiet(), close_quiet()) == (2, 0)
    assert dict(Incident.objects.values_list("subject", "state")) == {"a": "closed", "b": "closed", "c": "open"}
    assert remarks(quiet) == [("closed", "security monitor", "no event for 3600 s")]


def test_how_long_is_quiet_is_a_setting(settings: Any) -> None:
    make_quiet(opened(), 20)
    settings.SECURITY = {"INCIDENT_QUIET": 10}
    assert close_quiet() == 1


def test_the_keeper_closes_in_the_background_until_it_is_stopped(settings: Any) -> None:
    settings.SECURITY = {"INCIDENT_INTERVAL": 0.05, "TEND_IN_BACKGROUND": True}
    keeper = Keeper()
    keeper.start()
    keeper.start()
    try:
        for subject in ("a", "b"):
            make_quiet(opened(subject=subject))
            wait_for(lambda subject=subject: Incident.objects.get(subject=subject).state == "closed", "the keeper to close it")
    finally:
        keeper.stop()
    assert "security-keeper" not in [thread.name for thread in threading.enumerate()]


def test_the_keeper_does_nothing_where_it_is_switched_off(settings: Any) -> None:
    settings.SECURITY = {"TEND_IN_BACKGROUND": False}
    keeper = Keeper()
    keeper.start()
    assert "security-keeper" not in [thread.name for thread in threading.enumerate()]


def test_the_command_closes_all_that_is_quiet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "CLOSED_AT_ONCE", 1)
    for subject in ("a", "b"):
        make_quiet(opened(subject=subject))
    call_command("tend_incidents")
    assert "Closed 2 incidents" in capsys.readouterr().out


def test_what_is_done_is_not_done_where_it_cannot_be_audited(settings: Any) -> None:
    one = opened()
    wait_published()
    settings.EVENTS = {"UNIFIED_EVENTS_ENABLED": False}
    assert not note(one, "alice", "said")
    assert not close(one, "alice")
    assert (one.state, Incident.objects.get().state) == ("open", "open")
    assert [remark.act for remark in one.remarks.all()] == ["opened"]


def test_a_note_holds_whatever_is_typed_up_to_its_length() -> None:
    one = opened()
    assert note(one, "al\0ice", "nul \0 half \ud800\n" + "x" * 5_000)
    remark = one.remarks.get(act="noted")
    assert (remark.author, remark.text[:13], len(remark.text)) == ("al\ufffdice", "nul \ufffd half ?\n", 4_000)


def test_an_incident_that_gets_an_event_between_the_look_and_the_closing_stays_open() -> None:
    one = opened()
    wait_published()  # nobody else writes: here an event comes in the middle of a look
    Incident.objects.update(last_event_at=utcnow() - timedelta(days=1))
    looked = []

    def get_an_event(execute: Any, sql: str, *args: Any) -> Any:
        result = execute(sql, *args)
        if "security_incident" in sql and not looked:
            looked.append(sql)
            Incident.objects.filter(pk=one.pk).update(last_event_at=utcnow())
        return result

    with connection.execute_wrapper(get_an_event):
        assert close_quiet() == 0
    assert looked
    assert Incident.objects.get().state == "open"
