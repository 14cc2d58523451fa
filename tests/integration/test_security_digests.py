"""Many incidents: a target hears of some by themselves and of all others in digests, whose counts are exact."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import transaction
from django.test import Client

from events.models import JournalEntry
from events.types import utcnow
from security import models
from security.alerts.allowance import NOTIFICATIONS_A_MINUTE
from security.alerts.deliveries import courier
from security.alerts.raising import alert
from security.models import Delivery, Incident
from tests.support.databases import Databases, base_environment
from tests.support.desk import incident
from tests.support.receivers import receiver
from tests.support.remote import DjangoProcess

pytestmark = pytest.mark.django_db(transaction=True)

OPS = "ops@example.org"
SECRET = "shared by the two"
LIMIT = 3


@pytest.fixture(autouse=True)
def configured(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    settings.SECURITY = {
        "ALERT_MAIL": [OPS], "ALERT_MAIL_SEVERITY": "low", "ALERTS_AN_HOUR": LIMIT, "SITE_URL": "https://example.org",
        "WEBHOOK_SECRET": SECRET, "DELIVER_IN_BACKGROUND": False,
    }  # fmt: skip


def attacked(number: int, **fields: Any) -> list[Incident]:
    """So many incidents that were alerted of, each from another address."""
    before = Incident.objects.count()
    found = [incident(subject=f"address {before + n}", **fields) for n in range(number)]
    assert all(map(alert, found))
    return found


def worsened(one: Incident) -> None:
    """It is critical by now, and alerted of."""
    one.severity = "critical"
    one.save()
    assert alert(one)


def digest(**which: Any) -> Delivery:
    """The only digest."""
    return Delivery.objects.get(incident=None, **which)


def delivered(*, due: bool = True) -> list[str]:
    """What the courier delivers now, digests before their time; how each ended."""
    if due:
        Delivery.objects.filter(state="held").update(next_attempt_at=utcnow())
    return [delivery.state for delivery in courier.deliver()]


def signed_in() -> Client:
    """An administrator's. Made without a signal, which would open an incident."""
    User.objects.bulk_create([User(username="admin", is_staff=True, is_superuser=True)])
    client = Client()
    client.force_login(User.objects.get())
    return client


def test_beyond_the_limit_alerts_are_counted_in_one_digest() -> None:
    attacked(LIMIT + 5, severity="high")
    attacked(2, severity="low", kind="enumeration")
    assert Delivery.objects.filter(incident__isnull=False).count() == LIMIT
    assert digest().counts == {"high": {"brute_force": 5}, "low": {"enumeration": 2}}
    assert (digest().state, digest().target) == ("held", OPS)
    assert Delivery.objects.count() == LIMIT + 1, "no row for each of those that are held"


def test_a_digest_is_sent_when_it_is_due_and_what_comes_later_goes_into_the_next() -> None:
    attacked(LIMIT + 4)
    assert delivered(due=False) == ["sent"] * LIMIT
    assert delivered() == ["sent"]
    attacked(6)
    assert delivered(due=False) == []
    assert delivered() == ["sent"]
    assert delivered() == []
    assert [message.subject for message in mail.outbox[LIMIT:]] == [
        "[High] Digest of 4 incidents: 4 high",
        "[High] Digest of 6 incidents: 6 high",
    ]
    assert len({message.extra_headers["Message-ID"] for message in mail.outbox}) == LIMIT + 2


def test_each_target_has_its_own_limit_and_digest(settings: Any) -> None:
    settings.SECURITY = settings.SECURITY | {"ALERT_MAIL": [OPS, "sec@example.org"], "ALERT_MAIL_SEVERITY": "high"}
    settings.SECURITY = settings.SECURITY | {"ALERT_WEBHOOKS": ["https://hooks.example.org/a"]}
    attacked(2, severity="medium")
    attacked(2, severity="high")
    assert {(one.target, *one.counts["high"].values()) for one in Delivery.objects.filter(incident=None)} == {
        ("https://hooks.example.org/a", 1)
    }


def test_critical_ones_are_not_hidden_behind_others() -> None:
    attacked(LIMIT + 50, severity="low")
    first, *others = attacked(LIMIT + 2, severity="critical", kind="token_reuse")
    assert Delivery.objects.get(incident=first).state == "pending"
    delivered()
    subjects = [message.subject for message in mail.outbox]
    assert sum(subject.startswith("[Critical] 5 failed") for subject in subjects) == LIMIT
    assert subjects[-1] == "[Critical] Digest of 52 incidents: 2 critical, 50 low"
    text = str(mail.outbox[-1].body)
    assert text.index("Token reuse") < text.index("Brute force")
    assert not Delivery.objects.filter(incident=others[-1]).exists()


def test_an_incident_that_gets_worse_is_counted_once_as_bad_as_it_is() -> None:
    attacked(LIMIT)
    attacked(LIMIT, severity="critical")
    (one,) = attacked(1, severity="low")
    worsened(one)
    assert digest().counts == {"critical": {"brute_force": 1}}
    assert delivered()[-1] == "sent"
    assert mail.outbox[-1].subject == "[Critical] Digest of 1 incident: 1 critical"


def test_an_incident_that_gets_worse_after_its_digest_was_sent_is_told_again() -> None:
    attacked(LIMIT)
    attacked(LIMIT, severity="critical")
    (one,) = attacked(1, severity="low")
    delivered()
    worsened(one)
    assert digest(state="held").counts == {"critical": {"brute_force": 1}}
    one.refresh_from_db()
    assert sorted(one.digests.values()) == ["critical", "low"]


def test_what_is_on_its_way_by_itself_tells_that_it_got_worse_and_no_digest_does() -> None:
    (one,) = attacked(1, severity="low")
    attacked(LIMIT, severity="critical", summary="another one")
    worsened(one)
    assert one.digests == {}
    assert not Delivery.objects.filter(incident=None).exists()
    delivered()
    assert sorted(message.subject for message in mail.outbox) == [
        "[Critical] 5 failed logins within 300 s: address 203.0.113.9",
        *["[Critical] another one"] * LIMIT,
    ]


def test_what_is_being_sent_when_it_gets_worse_is_sent_anew_as_bad_as_it_is() -> None:
    *others, one = attacked(LIMIT, severity="low")
    attacked(LIMIT, severity="critical", summary="another one")
    attempts = courier.deliver()
    assert next(attempts).incident in others, "the courier has read all of them"
    worsened(one)
    assert [*attempts, *courier.deliver()]
    told = [message.subject for message in mail.outbox if "another one" not in message.subject]
    assert sorted(told) == [
        "[Critical] 5 failed logins within 300 s: address 203.0.113.9",
        *["[Low] 5 failed logins within 300 s: address 203.0.113.9"] * (LIMIT - 1),
    ]
    assert not Delivery.objects.filter(incident=None).exists()


def test_what_was_sent_by_itself_is_told_in_a_digest_that_it_got_worse() -> None:
    (one,) = attacked(1, severity="low")
    attacked(LIMIT, severity="critical")
    delivered()
    worsened(one)
    assert digest().counts == {"critical": {"brute_force": 1}}
    assert delivered() == ["sent"]


def test_a_digest_that_is_held_counts_no_more_what_is_told_by_itself() -> None:
    attacked(LIMIT)
    one, _ = attacked(2, severity="low")
    attacked(1, severity="medium")
    worsened(one)
    assert digest().counts == {"low": {"brute_force": 1}, "medium": {"brute_force": 1}}
    one.refresh_from_db()
    assert one.digests == {}
    delivered()
    assert [message.subject for message in mail.outbox[LIMIT:]] == [
        "[Critical] 5 failed logins within 300 s: address 203.0.113.9",
        "[Medium] Digest of 2 incidents: 1 medium, 1 low",
    ]


def test_a_digest_that_counts_nothing_any_more_is_not_sent() -> None:
    attacked(LIMIT)
    (one,) = attacked(1, severity="low")
    worsened(one)
    assert not Delivery.objects.filter(incident=None).exists()
    assert delivered() == ["sent"] * (LIMIT + 1)
    attacked(1)
    assert digest().counts == {"high": {"brute_force": 1}}


def test_a_digest_of_one_target_still_counts_what_another_is_told_by_itself(settings: Any) -> None:
    other = "sec@example.org"
    attacked(LIMIT)
    attacked(LIMIT, severity="critical")
    settings.SECURITY = settings.SECURITY | {"ALERT_MAIL": [OPS, other]}
    attacked(LIMIT)
    (one,) = attacked(1, severity="low")
    worsened(one)
    assert digest().counts["critical"] == {"brute_force": 1}
    assert (digest().target, list(one.digests)) == (OPS, [str(digest().pk)])
    assert Delivery.objects.filter(incident=one).get().target == other


def test_what_is_rolled_back_takes_nothing_and_counts_nowhere() -> None:
    for number in (2, LIMIT + 1):
        with transaction.atomic():
            attacked(number)
            transaction.set_rollback(True)
    assert not Delivery.objects.exists()
    attacked(LIMIT)
    assert not Delivery.objects.filter(incident=None).exists()


def test_an_hour_later_alerts_come_by_themselves_again() -> None:
    attacked(LIMIT + 1)
    for counter in models.Counter.objects.all():
        counter.hits = [[moment - 3_601, member] for moment, member in counter.hits]
        counter.save()
    attacked(LIMIT + 1)
    assert Delivery.objects.filter(incident__isnull=False).count() == 2 * LIMIT
    assert digest().counts == {"high": {"brute_force": 2}}


# What it says


def test_a_mail_counts_the_worst_first_and_links_to_the_list() -> None:
    attacked(LIMIT)
    attacked(1, severity="low", kind="enumeration")
    attacked(12, severity="medium", kind="burst")
    attacked(3, severity="medium", kind="token_reuse")
    delivered()
    message = mail.outbox[-1]
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    for body in (str(message.body), str(html)):
        assert "16 incidents" in body
        assert "https://example.org/admin/security/incident/" in body
        assert f"{LIMIT} an hour" in body
        assert body.index("Burst") < body.index("Token reuse") < body.index("Enumeration")


def test_a_webhook_hears_of_it_signed_and_again_until_it_takes_it(settings: Any) -> None:
    with receiver(200, 200, 200, 500, 200) as server:
        settings.SECURITY = settings.SECURITY | {"ALERT_MAIL": [], "ALERT_WEBHOOKS": [server.url]}
        attacked(LIMIT + 4)
        attacked(2, severity="medium", kind="enumeration")
        assert delivered() == ["sent"] * LIMIT + ["pending"]
        Delivery.objects.filter(state="pending").update(next_attempt_at=utcnow())
        assert delivered() == ["sent"]
    (first, refused), (headers, body) = server.got[LIMIT:]
    assert (refused, first["X-Delivery-ID"]) == (body, headers["X-Delivery-ID"])
    expected = hmac.new(SECRET.encode(), headers["X-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Signature"] == f"sha256={expected}"
    content = json.loads(body)
    since, until = content["digest"].pop("since"), content["digest"].pop("until")
    assert since < until
    assert content == {
        "id": f"digest-{digest().pk}",
        "type": "incidents.digest",
        "digest": {
            "incidents": 6,
            "counts": [
                {"severity": "high", "kind": "brute_force", "number": 4},
                {"severity": "medium", "kind": "enumeration", "number": 2},
            ],
            "url": "https://example.org/admin/security/incident/",
        },
    }


def test_the_page_of_an_incident_shows_its_digest() -> None:
    client = signed_in()
    *_, one, other = attacked(LIMIT + 2)
    page = f"/admin/security/incident/{one.pk}/change/"
    text = client.get(page).content.decode()
    assert f"E-mail to {OPS}, in a digest of 2 incidents" in text
    assert "held" in text
    delivered()
    text = client.get(page).content.decode()
    assert "in a digest of 2 incidents" in text
    assert "sent" in text
    assert "given up" not in text
    assert other.digests == one.digests


def test_a_digest_that_was_given_up_is_said_while_one_of_its_incidents_is_not_closed(settings: Any, caplog: Any) -> None:
    settings.SECURITY = settings.SECURITY | {"DELIVERY_ATTEMPTS": 1}
    client = signed_in()
    attacked(LIMIT + 2)
    delivered(due=False)
    settings.SECURITY = settings.SECURITY | {"ALERT_MAIL": []}
    assert delivered() == ["failed"]
    assert f"The alert of digest {digest().pk} by mail was given up: is not in the settings any more" in caplog.text
    dashboard = "/admin/security/incident/dashboard/"
    assert "1 alert by mail could not be delivered" in client.get(dashboard).content.decode()
    Incident.objects.update(state="closed")
    assert "could not be delivered" not in client.get(dashboard).content.decode()


# Browsers


def test_of_many_critical_ones_browsers_show_a_few_and_hear_of_all() -> None:
    attacked(NOTIFICATIONS_A_MINUTE + 4, severity="critical")
    told = [row.event for row in JournalEntry.objects.filter(category="realtime").order_by("id")]
    assert len(told) == NOTIFICATIONS_A_MINUTE + 4
    assert [event.metadata.get("notification") for event in told] == [True] * NOTIFICATIONS_A_MINUTE + [None] * 4
    assert {event.priority for event in told} == {"critical"}


# Several processes

RAISE = """
from security.alerts.raising import alert
from tests.support.desk import incident
for n in range(number):
    assert alert(incident(subject=f"{name} {n}", severity=("high", "critical")[n % 2]))
"""
WORSEN = """
from django.db import transaction
from security.alerts.raising import alert
from security.models import Incident
from tests.support.desk import incident
for n in range(number):
    pk = incident(subject=f"{name} {n}").pk
    for severity in ("low", "medium", "critical"):
        with transaction.atomic():
            one = Incident.objects.select_for_update().get(pk=pk)
            one.severity = severity
            one.save()
            assert alert(one)
"""
DELIVER = """
import threading
from security.alerts.deliveries import courier
stopping = threading.Event()
thread = threading.Thread(target=courier.run, args=[stopping])
thread.start()
try:
    exec(work, {"number": number, "name": name})
finally:
    stopping.set()
    thread.join()
"""
FINISH = """
from security.alerts.deliveries import courier
from security.models import Delivery, Incident
from events.types import utcnow
Delivery.objects.filter(state="held").update(next_attempt_at=utcnow())
list(courier.deliver())
assert not Delivery.objects.exclude(state="sent").exists()
result = {
    "counts": {f"digest-{pk}": counts for pk, counts in Delivery.objects.filter(incident=None).values_list("pk", "counts")},
    "told_in": list(Incident.objects.values_list("digests", flat=True)),
}
"""


def raced(databases: Databases, var: Path, url: str, work: str, number: int, limit: int = LIMIT) -> dict[str, Any]:
    """Two processes do the work, with a courier each, until all is sent: what the digests count, and what each incident was told in."""
    env = base_environment() | {"DATABASE_URL": databases.create(), "VAR_DIR": str(var)}
    env |= {"SECURITY_WEBHOOK_SECRET": SECRET, "NO_PROXY": "127.0.0.1", "SECURITY_ALERT_WEBHOOKS": f"{url},{url}/other"}
    env |= {"SECURITY_ALERTS_AN_HOUR": str(limit), "SECURITY_DIGEST_INTERVAL": "0.05", "SECURITY_DELIVERY_INTERVAL": "0.01"}
    with DjangoProcess(env) as one, DjangoProcess(env) as other:
        failures: list[Exception] = []

        def run(process: DjangoProcess, name: str) -> None:
            try:
                process.run(DELIVER, work=work, number=number, name=name)
            except Exception as error:  # noqa: BLE001 - a thread's is seen by nobody else
                failures.append(error)

        threads = [threading.Thread(target=run, args=each) for each in ((one, "one"), (other, "other"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        found: dict[str, Any] = one.run(FINISH)
    return found


@pytest.mark.parametrize("number", [25])
def test_processes_that_raise_and_deliver_at_once_tell_each_incident_once(
    databases: Databases, tmp_path: Path, number: int
) -> None:
    with receiver(200) as server:
        raced(databases, tmp_path, server.url, RAISE, number)
    told = [json.loads(body) for _, body in server.got]
    assert max(Counter(content["id"] for content in told).values()) == 1
    digests = [content["digest"] for content in told if content["type"] == "incidents.digest"]
    singles = 2 * 2 * LIMIT  # high and critical ones, for each of two targets
    assert len(told) - len(digests) == singles
    assert len(digests) >= 2  # one for each target, or more where the work takes longer than an interval
    assert sum(one["incidents"] for one in digests) == 2 * 2 * number - singles


@pytest.mark.parametrize("number", [15])
def test_processes_whose_incidents_get_worse_meanwhile_count_each_where_it_was_told(
    databases: Databases, tmp_path: Path, number: int
) -> None:
    with receiver(200) as server:
        found = raced(databases, tmp_path, server.url, WORSEN, number, limit=number)
    told = [json.loads(body) for _, body in server.got]
    digests = {content["id"]: content["digest"]["counts"] for content in told if content["type"] == "incidents.digest"}
    assert digests.keys() == found["counts"].keys()
    expected = Counter((f"digest-{pk}", severity) for told_in in found["told_in"] for pk, severity in told_in.items())
    assert Counter({(name, line["severity"]): line["number"] for name, lines in digests.items() for line in lines}) == expected
    critical = sum(line["number"] for lines in digests.values() for line in lines if line["severity"] == "critical")
    singly = {content["id"] for content in told if content["type"] != "incidents.digest"}
    assert critical + sum(name.endswith("-critical") for name in singly) == 2 * 2 * number, "each target hears once of each"
