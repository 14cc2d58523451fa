"""Thousands of failed logins through everything: sources, floods, journal, monitor, counters, incidents, audit log.

Nothing is lost, what is written and remembered is bounded by the settings, and the log of what people did stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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

BUSINESS = "invoice.approved"
# Summaries are told so many times, however many failures there are.
FLUSHES = 4
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


def from_a_hundred_networks_for_another_name_each() -> Iterator[tuple[str, str]]:
    for number in count():
        yield f"203.0.113.{number % 100}", f"nobody-{number}"


def attack(attempts: Iterator[tuple[str, str]], failures: int) -> int:
    """Everything happens, and beside it an invoice is approved now and then. How many summaries may have been told of a type and
    network."""
    began = utcnow()
    for _ in range(FLUSHES):
        for _ in range(failures // FLUSHES):
            address, username = next(attempts)
            request = HttpRequest()
            request.META["REMOTE_ADDR"] = address
            user_login_failed.send(sender=__name__, credentials={"username": username}, request=request)
        approve()
        assert_little_is_remembered()
        floods.flush()
    wait_published()
    assert not floods._summaries
    return FLUSHES + int((utcnow() - began).total_seconds() / security_settings().FLOOD_SUMMARY_INTERVAL)


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


def assert_little_is_written(told_events: int, networks: int) -> None:
    """Rows of each table, by the number of events that were told, and that of the networks that did so much that they are told of."""
    incidents = Incident.objects.count()
    alerts = incidents * len(Severity)  # each alerts when it opens and when it gets worse
    assert incidents <= len(DETECTORS) * (networks + 1), "one attack of each network, and one of all"
    events_of_all = told_events + alerts + approved() + 1  # and the account
    assert AuditEntry.objects.count() <= events_of_all
    assert JournalEntry.objects.count() <= events_of_all * len(EventCategory)
    assert Delivery.objects.count() <= incidents * 2
    assert Evidence.objects.count() <= incidents * 2 * KEPT_AS_EVIDENCE


def assert_little_is_counted(singles: int, networks: int, flushes: int) -> None:
    """Rows of counters: so many for each single and for each flush, and so many for each network that is told of. None for a failure."""
    seen = Observation(SINGLE, "", utcnow(), network="x", username_hash="x")
    of_the_site = keys_of(replace(seen, network=None, username_hash=None))
    of_one_of_many = keys_of(replace(seen, singled_out=False))
    of_a_network, of_a_target = of_one_of_many - of_the_site, keys_of(seen) - of_one_of_many
    targets, addresses = singles + flushes * 2 * KEPT, singles + networks  # accounts and usernames
    assert Counter.objects.count() <= len(of_the_site) + targets * len(of_a_target) + addresses * len(of_a_network)
    most = max(hit.limit for detector in DETECTORS for hit in detector.hits(seen))
    assert max(len(row.hits) for row in Counter.objects.all()) <= 2 * most


def keys_of(seen: Observation) -> set[str]:
    """What is counted of it."""
    return {hit.key for detector in DETECTORS for hit in detector.hits(seen)}


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
    ("attempts", "failures", "limit", "networks", "recognised"),
    [
        (
            from_one_address_for_one_account, 10_000, "FLOOD_AFTER", 1,
            ("brute_force", "account {pk} and address 203.0.113.9"),
        ),
        (each_from_another_address_for_another_name, 10_000, "FLOOD_AFTER_SITE", 0, ("password_spraying", "site")),
        (
            from_a_hundred_networks_for_another_name_each, 3_000, "FLOOD_AFTER_SITE", 100,
            ("credential_stuffing", "address 203.0.113.9"),
        ),
    ],
)  # fmt: skip
def test_thousands_of_failures(
    alice: User, settings: Any, attempts: Any, failures: int, limit: str, networks: int, recognised: tuple[str, str]
) -> None:
    settings.SECURITY = settings.SECURITY | {"FLOOD_AFTER": 5, "FLOOD_AFTER_SITE": 50}
    for _ in range(30):
        approve()
    before = queries_of_the_first_page()

    flushes = attack(attempts(), failures)

    singles, summaries, told_failures = in_journal()
    assert in_audit_log() == (singles, summaries, told_failures)
    assert told_failures == failures
    assert singles == getattr(security_settings(), limit)
    assert 1 <= summaries <= flushes * (networks + 1)
    assert_little_is_written(singles + summaries, networks)
    assert_little_is_counted(singles, networks, flushes)
    kind, subject = recognised
    assert Incident.objects.filter(kind=kind, subject=subject.format(pk=alice.pk)).count() == 1
    assert pages() == [str(number) for number in range(30 + FLUSHES, 0, -1)]
    assert queries_of_the_first_page() == before
