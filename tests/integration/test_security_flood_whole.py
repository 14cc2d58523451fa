"""Ten thousand failed logins through everything: sources, floods, journal, monitor, counters, incidents, audit log.

Nothing is lost, what is written and remembered is bounded by the settings, and the log of what people did stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.db import connection
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext

import events
from audit.models import AuditEntry
from audit.reading.paging import read_page
from events.models import JournalEntry
from events.testing import wait_published
from events.types import EventCategory, utcnow
from security.conf import SecuritySettings
from security.conf import settings as security_settings
from security.detection import Observation
from security.detectors import DETECTORS
from security.evidence import KEPT as KEPT_AS_EVIDENCE
from security.models import Counter, Delivery, Evidence, Incident, Severity
from security.sources.floods import MAX_SUMMARIES, MAX_WINDOWS, floods
from security.sources.tally import KEPT

pytestmark = pytest.mark.django_db(transaction=True)

FAILURES, BATCH, BUSINESS = 10_000, 1_000, "invoice.approved"
SINGLE, MANY = "auth.login_failure", "auth.login_failures"
TARGETS = {"ALERT_MAIL": ["ops@example.org"], "ALERT_WEBHOOKS": ["https://example.org/hook"], "WEBHOOK_SECRET": "s" * 16}


@pytest.fixture(autouse=True)
def told_only_when_asked(settings: Any) -> None:
    """All alerts are delivered; summaries come when the test flushes them, and from the thread only in a run of minutes."""
    longest = SecuritySettings.model_fields["FLOOD_SUMMARY_INTERVAL"].metadata[-1].le
    settings.SECURITY = settings.SECURITY | TARGETS | {"ALERT_MAIL_SEVERITY": "low", "FLOOD_SUMMARY_INTERVAL": longest}


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


def from_one_address_for_one_account() -> Iterator[tuple[str, str]]:
    while True:
        yield "203.0.113.9", "alice"


def each_from_another_address_for_another_name() -> Iterator[tuple[str, str]]:
    for number in count():
        yield f"10.{number // 65_536}.{number // 256 % 256}.{number % 256}", f"nobody-{number}"


def attack(attempts: Iterator[tuple[str, str]]) -> int:
    """Everything happens, and beside it an invoice is approved now and then. How many summaries may have been told of a type and
    network."""
    began = utcnow()
    for _ in range(FAILURES // BATCH):
        for _ in range(BATCH):
            address, username = next(attempts)
            request = HttpRequest()
            request.META["REMOTE_ADDR"] = address
            user_login_failed.send(sender=__name__, credentials={"username": username}, request=request)
        approve()
        assert_little_is_remembered()
        floods.flush()
    wait_published()
    assert not floods._summaries
    return FAILURES // BATCH + int((utcnow() - began).total_seconds() / security_settings().FLOOD_SUMMARY_INTERVAL)


def approve() -> None:
    """Somebody's business goes on."""
    data = {"action": "approve", "resource_type": "invoice", "resource_id": str(approved() + 1)}
    assert events.emit(BUSINESS, data, category="audit", user_id="7")


def approved() -> int:
    return AuditEntry.objects.filter(event_type=BUSINESS).count()


def assert_little_is_remembered() -> None:
    assert len(floods._windows) <= MAX_WINDOWS
    assert len(floods._summaries) <= MAX_SUMMARIES
    for summary in floods._summaries.values():
        assert max(map(len, (summary.addresses, summary.accounts, summary.usernames))) <= KEPT


def told(rows: Any) -> tuple[int, int, int]:
    """How many singles and how many summaries there are, and of how many failures they tell."""
    counted = [row["data"]["count"] for row in rows if row["type"] == MANY]
    singles = sum(row["type"] == SINGLE for row in rows)
    return singles, len(counted), singles + sum(counted)


def in_journal() -> tuple[int, int, int]:
    rows = JournalEntry.objects.filter(category="security", event_type__in=[SINGLE, MANY])
    return told([{"type": row.event_type, "data": row.event.data} for row in rows])


def in_audit_log() -> tuple[int, int, int]:
    return told([{"type": kind, "data": data} for kind, data in AuditEntry.objects.values_list("event_type", "data")])


def assert_little_is_written(told_events: int, summaries: int) -> None:
    """Rows of each table, by the number of events that were told, of which some are summaries, and that of the incidents."""
    incidents = Incident.objects.count()
    alerts = incidents * len(Severity)  # each alerts when it opens and when it gets worse
    assert incidents <= len(DETECTORS), "one attack"
    events_of_all = told_events + alerts + approved() + 1  # and the account
    assert AuditEntry.objects.count() <= events_of_all
    assert JournalEntry.objects.count() <= events_of_all * len(EventCategory)
    assert Delivery.objects.count() <= incidents * 2
    assert Evidence.objects.count() <= incidents * 2 * KEPT_AS_EVIDENCE
    looked_at = told_events + summaries * 2 * KEPT  # accounts and usernames, or addresses
    seen = Observation(SINGLE, "", utcnow(), network="x", username_hash="x")
    hits = [hit for detector in DETECTORS for hit in detector.hits(seen)]
    assert Counter.objects.count() <= looked_at * len({hit.key for hit in hits})
    assert max(len(row.hits) for row in Counter.objects.all()) <= 2 * max(hit.limit for hit in hits)


def pages() -> list[str]:
    """Which invoices the log has, read page by page."""
    log, found, before = [AuditEntry.objects.filter(event_type=BUSINESS)], list[str](), None
    while True:
        page = read_page(log, 7, before=before)
        found += [entry.resource_id for entry in page.entries]
        if page.older is None:
            return found
        before = page.older


def queries_of_the_first_page() -> int:
    with CaptureQueriesContext(connection) as captured:
        assert read_page([AuditEntry.objects.all()], 50).entries
    return len(captured)


@pytest.mark.parametrize(
    ("attempts", "limit", "recognised"),
    [
        (from_one_address_for_one_account, "FLOOD_AFTER", ("brute_force", "account {pk} and address 203.0.113.9")),
        (each_from_another_address_for_another_name, "FLOOD_AFTER_SITE", ("password_spraying", "site")),
    ],
)
def test_ten_thousand_failures(alice: User, attempts: Any, limit: str, recognised: tuple[str, str]) -> None:
    for _ in range(30):
        approve()
    before = queries_of_the_first_page()

    flushes = attack(attempts())

    singles, summaries, failures = in_journal()
    assert in_audit_log() == (singles, summaries, failures)
    assert failures == FAILURES
    assert singles == getattr(security_settings(), limit)
    assert 1 <= summaries <= flushes
    assert_little_is_written(singles + summaries, summaries)
    kind, subject = recognised
    assert Incident.objects.filter(kind=kind, subject=subject.format(pk=alice.pk)).count() == 1
    assert pages() == [str(number) for number in range(30 + FAILURES // BATCH, 0, -1)]
    assert queries_of_the_first_page() == before
