"""One alert an incident: a security event that the rules carry on, with its mails and webhooks, all or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import checks, mail
from django.db import transaction

from audit.models import AuditEntry
from events.models import JournalEntry
from events.testing import wait_published
from events.types import utcnow
from security.alerts.deliveries import courier
from security.alerts.raising import alert
from security.models import SEVERITIES, Delivery, Incident
from tests.support.desk import incident

pytestmark = pytest.mark.django_db(transaction=True)

TARGETS = {
    "ALERT_MAIL": ["ops@example.org", "sec@example.org"],
    "ALERT_WEBHOOKS": ["https://hooks.example.org/a"],
    "WEBHOOK_SECRET": "sixteen or more.",
    "DELIVER_IN_BACKGROUND": False,
}
HOSTILE = "a\r\nBcc: evil@example.org\n\u2028<b>x</b>\x00\x07" + "y" * 300


def told(event_type: str = "suspicious.brute_force") -> dict[str, Any]:
    return {row.category: row.event for row in JournalEntry.objects.filter(event_type=event_type)}


@pytest.mark.parametrize(
    ("severity", "priority", "notifies"),
    [("medium", "high", None), ("high", "high", None), ("critical", "critical", True)],
)
def test_an_alert_is_one_event_one_entry_and_one_realtime_event(severity: str, priority: str, notifies: bool | None) -> None:
    one = incident(severity=severity, account="7", correlation_id="c-1")
    assert alert(one)
    found = told()
    assert JournalEntry.objects.count() == len(found) == 3
    assert (found["security"].priority, found["security"].correlation_id, found["security"].user_id) == (priority, "c-1", "7")
    assert found["realtime"].metadata.get("notification") is notifies
    assert JournalEntry.objects.get(category="realtime").audience == "staff:security"
    entry = AuditEntry.objects.get(event_type="suspicious.brute_force")
    assert (entry.actor_label, entry.ip_address, entry.priority) == ("security monitor", "203.0.113.9", priority)


def test_a_low_incident_interrupts_nobody() -> None:
    assert alert(incident(severity="low"))
    assert set(told()) == {"security", "audit"}
    assert told()["security"].priority == "normal"


def test_an_alert_says_what_the_detector_counted_and_which_incident_it_is() -> None:
    one = incident(numbers={"attempts": 5, "keys": {"address": "203.0.113.9"}})
    assert alert(one)
    assert told()["security"].data == {
        "message": one.summary,
        "attempts": 5,
        "keys": {"address": "203.0.113.9"},
        "ip_address": "203.0.113.9",
        "incident_id": one.pk,
        "severity": "high",
        "subject": "address 203.0.113.9",
    }


def test_each_target_has_a_delivery(settings: Any) -> None:
    settings.SECURITY = TARGETS | {"ALERT_MAIL": ["ops@example.org", "sec@example.org", "ops@example.org"]}
    assert alert(incident())
    found = Delivery.objects.values_list("channel", "target", "state")
    assert list(found) == [
        ("mail", "ops@example.org", "pending"),
        ("mail", "sec@example.org", "pending"),
        ("webhook", "https://hooks.example.org/a", "pending"),
    ]


@pytest.mark.parametrize(("least", "mailed"), [({}, ["high", "critical"]), ({"ALERT_MAIL_SEVERITY": "low"}, list(SEVERITIES))])
def test_mails_go_out_for_what_is_bad_enough(settings: Any, least: dict[str, str], mailed: list[str]) -> None:
    settings.SECURITY = TARGETS | least
    for severity in SEVERITIES:
        assert alert(incident(severity=severity, subject=f"address of {severity}"))
    told = Delivery.objects.filter(target="ops@example.org").values_list("incident__severity", flat=True)
    assert sorted(told) == sorted(mailed)
    assert Delivery.objects.filter(channel="webhook").count() == 4


def test_nothing_is_delivered_unless_somebody_is_named() -> None:
    assert alert(incident())
    assert not Delivery.objects.exists()


def test_all_vanishes_with_the_transaction(settings: Any) -> None:
    settings.SECURITY = TARGETS
    with transaction.atomic():
        assert alert(incident())
        transaction.set_rollback(True)
    wait_published()
    assert not Incident.objects.exists()
    assert not Delivery.objects.exists()
    assert not JournalEntry.objects.exists()


def test_nothing_is_delivered_of_an_alert_that_is_not_stored(settings: Any) -> None:
    settings.SECURITY = TARGETS
    settings.EVENTS = {"UNIFIED_EVENTS_ENABLED": False}
    with transaction.atomic():
        assert not alert(incident())
    assert Incident.objects.exists()
    assert not Delivery.objects.exists()


def test_an_incident_that_gets_worse_is_told_again(settings: Any) -> None:
    settings.SECURITY = TARGETS | {"ALERT_WEBHOOKS": []}
    one = incident()
    assert alert(one)
    assert [delivery.state for delivery in courier.deliver()] == ["sent", "sent"]
    one.severity = "critical"
    one.save()
    assert alert(one)
    assert [delivery.state for delivery in courier.deliver()] == ["sent", "sent"]
    assert len({message.extra_headers["Message-ID"] for message in mail.outbox}) == 4
    assert JournalEntry.objects.filter(category="security").count() == 2


# Mails


def test_a_mail_says_what_happened_and_links_to_the_incident(settings: Any) -> None:
    settings.SECURITY = TARGETS | {"ALERT_WEBHOOKS": [], "SITE_URL": "https://example.org/"}
    settings.DEFAULT_FROM_EMAIL = "site@example.org"
    one = incident(severity="critical")
    assert alert(one)
    assert [delivery.state for delivery in courier.deliver()] == ["sent", "sent"]
    first, second = mail.outbox
    assert (first.to, second.to) == (["ops@example.org"], ["sec@example.org"])
    assert (first.subject, first.from_email) == (
        "[Critical] 5 failed logins within 300 s: address 203.0.113.9",
        "site@example.org",
    )
    ((html, kind),) = first.alternatives
    assert kind == "text/html"
    for body in (str(first.body), str(html)):
        assert f"https://example.org/admin/security/incident/{one.pk}/change/" in body
        assert "Critical" in body
        assert one.summary in body


def test_a_hostile_summary_breaks_no_mail(settings: Any) -> None:
    settings.SECURITY = TARGETS | {"ALERT_WEBHOOKS": []}
    one = incident(summary="")
    assert alert(one)
    one.summary = HOSTILE  # not through the database: PostgreSQL takes no NUL
    for delivery in Delivery.objects.all():
        delivery.incident = one
        from security.alerts import messages

        messages.send(delivery)
    message = mail.outbox[0].message()
    assert message["Bcc"] is None
    assert "\n" not in mail.outbox[0].subject
    assert len(mail.outbox[0].subject) <= 150
    ((html, _),) = mail.outbox[0].alternatives
    assert "<b>x</b>" not in str(html)
    assert "&lt;b&gt;x" in str(html)


# Settings


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"ALERT_MAIL": ["nobody"]}, "ALERT_MAIL"),
        ({"ALERT_MAIL": ["a@b\nBcc: c@d"]}, "ALERT_MAIL"),
        ({"ALERT_WEBHOOKS": ["ftp://example.org/"], "WEBHOOK_SECRET": "s" * 16}, "ALERT_WEBHOOKS"),
        ({"ALERT_WEBHOOKS": ["file:///etc/passwd"], "WEBHOOK_SECRET": "s" * 16}, "ALERT_WEBHOOKS"),
        ({"ALERT_WEBHOOKS": ["https://example.org/"]}, "WEBHOOK_SECRET"),
        ({"WEBHOOK_SECRET": "x" * 15}, "WEBHOOK_SECRET"),
        ({"SITE_URL": "example.org"}, "SITE_URL"),
        ({"REDIS_URL": "nonsense"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://a:b"}, "REDIS_URL"),
        ({"ALERT_MAIL_SEVERITY": "bad"}, "ALERT_MAIL_SEVERITY"),
        ({"DELIVERY_ATTEMPTS": 0}, "DELIVERY_ATTEMPTS"),
    ],
)
def test_a_bad_setting_is_found_when_django_starts(settings: Any, wrong: dict[str, Any], key: str) -> None:
    settings.SECURITY = wrong
    found = [message.msg for message in checks.run_checks() if message.id == "security.E001"]
    assert found
    assert all(key in message for message in found)


def test_a_delivery_that_is_not_due_waits() -> None:
    one = incident()
    Delivery.objects.create(incident=one, channel="mail", target="a@b", next_attempt_at=utcnow().replace(year=2999))
    assert list(courier.deliver()) == []
