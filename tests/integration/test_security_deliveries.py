"""Deliveries: tried again until they are there or given up, by one process at a time; to real servers on real sockets."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from events.stats import stats
from events.types import utcnow
from security.alerts.deliveries import GRACE, courier
from security.models import Delivery
from tests.support.databases import Databases, base_environment
from tests.support.desk import incident
from tests.support.paths import ROOT, free_port
from tests.support.receivers import Receiver, receiver
from tests.support.remote import DjangoProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "shared by the two"
PAGE = ROOT / "docs" / "how-to" / "work-on-incidents.md"


@pytest.fixture(autouse=True)
def configured(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    settings.SECURITY = {
        "WEBHOOK_SECRET": SECRET, "DELIVERY_ATTEMPTS": 3, "DELIVERY_INTERVAL": 0.02, "DELIVER_IN_BACKGROUND": False,
    }  # fmt: skip


@pytest.fixture
def impatient(settings: Any) -> None:
    """An attempt takes one second at most."""
    settings.SECURITY = settings.SECURITY | {"DELIVERY_TIMEOUT": 1}


def due(target: str, channel: str = "webhook", **fields: Any) -> Delivery:
    """A delivery that is due, to a target that is in the settings."""
    name = "ALERT_WEBHOOKS" if channel == "webhook" else "ALERT_MAIL"
    configured = django_settings.SECURITY
    override_settings(SECURITY=configured | {name: [*configured.get(name, []), target]}).enable()  # `configured` ends it
    return Delivery.objects.create(
        incident=incident(subject=target), channel=channel, target=target, next_attempt_at=utcnow(), **fields
    )


def tried(delivery: Delivery) -> Delivery:
    """The delivery after one more attempt, made due."""
    Delivery.objects.filter(pk=delivery.pk, state="pending").update(next_attempt_at=utcnow())
    list(courier.deliver())
    delivery.refresh_from_db()
    return delivery


def test_a_webhook_that_recovers_gets_it_once_it_does() -> None:
    with receiver(500, 503, 200) as server:
        delivery = due(server.url)
        states = []
        for _ in range(3):
            tried(delivery)
            states.append((delivery.state, delivery.attempts, delivery.last_error))
        list(courier.deliver())
    assert states == [("pending", 1, "Refused: answered 500"), ("pending", 2, "Refused: answered 503"), ("sent", 3, "")]
    assert len(server.got) == 3
    assert len({headers["X-Delivery-ID"] for headers, _ in server.got}) == 1


def test_a_target_that_was_removed_gets_nothing_and_is_given_up(settings: Any) -> None:
    with receiver(200) as server:
        delivery = due(server.url)
        settings.SECURITY = {"DELIVERY_ATTEMPTS": 2}
        states = [tried(delivery).state for _ in range(2)]
    assert server.got == []
    assert (states, delivery.last_error) == (["pending", "failed"], "is not in the settings any more")


def test_a_webhooks_url_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with receiver(200, 500) as server:
        target = f"{server.url}hook-s3cr3t"
        state = tried(due(target)).state
        httpx.get(server.url + "asked-by-others", trust_env=False)
    assert state == "sent"
    assert "hook-s3cr3t" not in caplog.text
    assert "asked-by-others" in caplog.text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Receiver.HANG, "no answer within 1 s"),
        (Receiver.DRIP, "no answer within 1 s"),
        (302, "answered 302"),
        (404, "answered 404"),
        (204, ""),
    ],
)
def test_what_counts_as_delivered(answer: int | str, said: str, request: pytest.FixtureRequest) -> None:
    if isinstance(answer, str):
        request.getfixturevalue("impatient")
    with receiver(answer) as server:
        delivery = tried(due(server.url))
    assert delivery.state == ("pending" if said else "sent")
    assert said in delivery.last_error
    assert len(server.got) == 1, "a redirect is not followed"


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://[::1/", "http://a..b/", "http://" + "a" * 64 + ".example/"])
def test_a_webhook_that_nobody_answers_is_tried_again(url: str) -> None:
    delivery = tried(due(url.format(port=free_port())))
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert delivery.last_error


def test_pauses_grow_and_are_not_all_alike() -> None:
    port = free_port()
    pauses: dict[int, set[float]] = {1: set(), 2: set()}
    for number in range(4):
        delivery = due(f"http://127.0.0.1:{port}/{number}")
        for attempt in (1, 2):
            before = utcnow()
            tried(delivery)
            pauses[attempt].add((delivery.next_attempt_at - before).total_seconds())
    assert all(6.6 < pause < 14 for pause in pauses[1])
    assert all(20 < pause < 41 for pause in pauses[2])
    assert max(pauses[1]) - min(pauses[1]) > 0.05


def test_what_can_not_be_delivered_is_given_up_and_said(caplog: pytest.LogCaptureFixture) -> None:
    before = stats.snapshot()["delivery_errors"]
    with receiver(500) as server:
        delivery = due(server.url)
        for _ in range(5):
            tried(delivery)
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("failed", 3, "Refused: answered 500")
    assert len(server.got) == 3
    assert stats.snapshot()["delivery_errors"] == before + 1
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        f"The alert of incident {delivery.incident_id} by webhook was given up: Refused: answered 500"
    ]


def test_a_webhook_is_signed() -> None:
    with receiver(200) as server:
        delivery = tried(due(server.url))
    ((headers, body),) = server.got
    expected = hmac.new(SECRET.encode(), headers["X-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Signature"] == f"sha256={expected}"
    assert abs(int(headers["X-Timestamp"]) - utcnow().timestamp()) < 60
    content = json.loads(body)
    assert content["id"] == headers["X-Delivery-ID"]
    assert content["type"] == "suspicious.brute_force"
    assert content["incident"]["id"] == delivery.incident_id
    assert content["incident"]["numbers"] == {"attempts": 5, "threshold": 5, "window": 300}
    assert content["incident"]["url"] == f"/admin/security/incident/{delivery.incident_id}/change/"


def test_the_receiver_in_the_docs_verifies() -> None:
    (sample,) = re.findall(r"^```python\n(# A receiver.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(sample, names)
    names["SECRET"] = SECRET.encode()
    with receiver(200) as server:
        tried(due(server.url))
    ((headers, body),) = server.got
    assert names["is_genuine"](headers, body)
    assert not names["is_genuine"](headers, body + b" ")
    assert not names["is_genuine"](headers | {"X-Timestamp": "1"}, body)
    assert not names["is_genuine"]({"X-Timestamp": "x"}, body)


# Several processes


def deliver_and_close() -> None:
    """In a thread of its own."""
    list(courier.deliver())
    connections.close_all()


def test_one_who_has_claimed_it_is_the_only_one_who_tries(impatient: None) -> None:
    with receiver(Receiver.HANG) as server:
        delivery = due(server.url)
        first = threading.Thread(target=deliver_and_close)
        first.start()
        wait_for(lambda: server.got, "the first to try")
        assert list(courier.deliver()) == []
        first.join()
    delivery.refresh_from_db()
    assert (delivery.attempts, len(server.got)) == (1, 1)


def test_what_a_process_that_died_had_claimed_is_tried_by_another() -> None:
    with receiver(200) as server:
        delivery = due(server.url, attempts=1)
        Delivery.objects.update(next_attempt_at=utcnow() - GRACE)
        list(courier.deliver())
        delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("sent", 2)


def test_a_last_attempt_that_was_not_finished_is_given_up() -> None:
    with receiver(200) as server:
        delivery = tried(due(server.url, attempts=3))
    assert (delivery.state, delivery.last_error) == ("failed", "the last attempt was not finished")
    assert server.got == []


def test_an_alert_that_is_renewed_while_it_is_sent_is_sent_again(impatient: None) -> None:
    with receiver(Receiver.HANG, 200) as server:
        delivery = due(server.url)
        sending = threading.Thread(target=deliver_and_close)
        sending.start()
        wait_for(lambda: server.got, "the first to try")
        Delivery.objects.update(attempts=0, next_attempt_at=utcnow())  # as `alert` does
        sending.join()
        list(courier.deliver())
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, len(server.got)) == ("sent", 1, 2)


@pytest.mark.parametrize("number", [20])
def test_processes_share_the_work_and_send_each_once(databases: Databases, tmp_path: Path, number: int) -> None:
    with receiver(200) as server:
        env = base_environment() | {"DATABASE_URL": databases.create(), "VAR_DIR": str(tmp_path)}
        env |= {"SECURITY_WEBHOOK_SECRET": SECRET, "SECURITY_ALERT_WEBHOOKS": server.url, "NO_PROXY": "127.0.0.1"}
        with DjangoProcess(env) as one, DjangoProcess(env) as other:
            one.run(
                "from tests.support.desk import incident\nfrom security.models import Delivery\nfrom events.types import utcnow\n"
                "for n in range(number):\n"
                "    Delivery.objects.create(incident=incident(subject=str(n)), channel='webhook', target=url, next_attempt_at=utcnow())",
                url=server.url,
                number=number,
            )
            work = "from security.alerts.deliveries import courier\nresult = len(list(courier.deliver()))"
            counts: list[int] = []
            threads = [
                threading.Thread(target=lambda process=process: counts.append(process.run(work))) for process in (one, other)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert sum(counts) == number
    assert len({headers["X-Delivery-ID"] for headers, _ in server.got}) == len(server.got) == number


# In the background, by command


def test_the_service_delivers_by_itself(settings: Any) -> None:
    settings.SECURITY = settings.SECURITY | {"DELIVER_IN_BACKGROUND": True}
    with receiver(200) as server:
        delivery = due(server.url)
        courier.start()
        try:
            wait_for(lambda: Delivery.objects.filter(pk=delivery.pk, state="sent").exists(), "the delivery")
        finally:
            courier.stop()


def test_the_command_delivers_what_is_due(capsys: pytest.CaptureFixture[str]) -> None:
    with receiver(200, 500) as server:
        due(server.url)
        due(server.url + "/other")
        call_command("deliver_alerts")
    assert capsys.readouterr().out == "1 sent, 1 to be tried again, 0 given up.\n"


# Mails


class Mailbox:
    """An SMTP server's handler that refuses a mail before it takes the next."""

    def __init__(self) -> None:
        self.refuses = True
        self.got: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refuses:
            self.refuses = False
            return "451 4.3.0 not now"
        self.got.append(envelope)
        return "250 OK"


@pytest.fixture
def smtp(settings: Any) -> Iterator[Callable[[], Mailbox]]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    started = []

    def start() -> Mailbox:
        mailbox = Mailbox()
        controller = Controller(mailbox, hostname="127.0.0.1", port=settings.EMAIL_PORT)
        controller.start()
        started.append(controller)
        return mailbox

    yield start
    for controller in started:
        controller.stop()


def test_a_mail_server_that_recovers_gets_it_once_it_does(smtp: Callable[[], Mailbox]) -> None:
    delivery = due("ops@example.org", "mail")
    tried(delivery)  # nobody listens
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert "ConnectionRefusedError" in delivery.last_error
    mailbox = smtp()
    tried(delivery)
    assert (delivery.state, delivery.attempts) == ("pending", 2)
    assert "not now" in delivery.last_error
    tried(delivery)
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("sent", 3, "")
    (envelope,) = mailbox.got
    assert envelope.rcpt_tos == ["ops@example.org"]
    assert b"Subject: [High] 5 failed logins" in envelope.content


def test_a_mail_backend_of_another_make_may_raise_what_it_likes(settings: Any) -> None:
    settings.EMAIL_BACKEND = "tests.support.receivers.BrokenBackend"
    delivery = tried(due("ops@example.org", "mail"))
    assert (delivery.state, delivery.last_error) == ("pending", "RuntimeError: it is broken")


def test_pauses_end_at_an_hour(settings: Any) -> None:
    settings.SECURITY = settings.SECURITY | {"DELIVERY_ATTEMPTS": 50}
    before = utcnow()
    delivery = tried(due(f"http://127.0.0.1:{free_port()}/", attempts=40))
    assert timedelta(minutes=39) < delivery.next_attempt_at - before < timedelta(minutes=81)
