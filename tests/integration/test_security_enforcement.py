"""Attempts to sign in are refused where there were too many, and only those."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import aauthenticate, authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import path, reverse
from rest_framework.authentication import BasicAuthentication
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.models import AuditEntry
from events.testing import wait_published
from events.types import utcnow
from security.accounts import username_hash
from security.counters import counters
from security.enforcement import cool_offs, guard, known_networks
from security.models import CoolOff, Counter, Incident, KnownNetwork

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery staple"
HOME, CAFE = "203.0.113.9", "198.51.100.7"


@pytest.fixture(autouse=True)
def enforced(settings: Any) -> Iterator[None]:
    settings.SECURITY = {"ENFORCE": True}
    known_networks.forget_written()
    yield
    known_networks.forget_written()
    guard.forget_attempt()


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password=PASSWORD)


def sign_in(username: str = "alice", password: str = "wrong", address: str = HOME, client: Client | None = None) -> Any:
    response = (client or Client()).post(reverse("login"), {"username": username, "password": password}, REMOTE_ADDR=address)
    if response.status_code == 302:
        wait_published()  # from where it was is remembered beside
    return response


def refused(response: Any) -> bool:
    return hasattr(response.wsgi_request, "login_refused")


def told(event_type: str) -> list[AuditEntry]:
    wait_published()
    return list(AuditEntry.objects.filter(event_type=event_type).order_by("id"))


def let_cool_off_pass(by: timedelta = timedelta()) -> None:
    """As if the time had come: what is in force ended just now, or so long ago."""
    for row in CoolOff.objects.all():
        CoolOff.objects.filter(pk=row.pk).update(until=utcnow() - by)


def test_an_attack_that_is_refused_goes_on_in_its_incident(alice: User) -> None:
    for _ in range(9):
        sign_in()
    wait_published()
    incident = Incident.objects.get()
    assert (incident.subject, incident.events) == (f"account {alice.pk} and address {HOME}", 9)


def test_a_pair_that_failed_too_often_is_refused_even_with_the_right_password(alice: User) -> None:
    assert [refused(sign_in()) for _ in range(5)] == [False] * 5
    response = sign_in(password=PASSWORD)
    assert refused(response)
    assert response.status_code == 200
    assert "_auth_user_id" not in response.client.session
    assert 55 <= response.wsgi_request.login_refused.retry_after <= 60


def test_nothing_is_refused_unless_it_is_asked_for(alice: User, settings: Any) -> None:
    settings.SECURITY = {}
    assert not any(refused(sign_in()) for _ in range(8))
    assert sign_in(password=PASSWORD).status_code == 302
    assert not CoolOff.objects.exists()
    assert not Counter.objects.filter(key__startswith="attempts").exists()


def test_what_succeeds_does_not_count(alice: User) -> None:
    for _ in range(8):
        assert sign_in(password=PASSWORD).status_code == 302
    assert [refused(sign_in()) for _ in range(6)] == [False] * 5 + [True]


def test_the_owner_is_let_in_from_elsewhere_while_an_attacker_cools_off(alice: User) -> None:
    for _ in range(20):
        sign_in(address=CAFE)
    assert sign_in(password=PASSWORD, address=HOME).status_code == 302


def test_refused_attempts_count_for_nothing(alice: User, settings: Any) -> None:
    settings.SECURITY = {"ENFORCE": True, "ACCOUNT_LIMIT": 8, "ADDRESS_LIMIT": 8}
    for _ in range(30):
        sign_in(address=CAFE)
    assert not refused(sign_in(address=HOME))
    assert not refused(sign_in(username="bob", address=CAFE))


def test_an_account_attacked_from_many_addresses_is_refused_from_new_ones_only(alice: User, settings: Any) -> None:
    settings.SECURITY = {"ENFORCE": True, "ACCOUNT_LIMIT": 10}
    assert sign_in(password=PASSWORD, address=HOME).status_code == 302
    answers = [refused(sign_in(address=f"198.51.100.{n}")) for n in range(12)]
    assert answers == [False] * 10 + [True] * 2
    assert sign_in(password=PASSWORD, address=HOME).status_code == 302  # known
    assert refused(sign_in(password=PASSWORD, address=CAFE))  # not known
    assert {row.subject.split()[0] for row in CoolOff.objects.all()} == {"account"}


def test_colleagues_behind_one_address_who_signed_in_before_are_not_kept_out_by_one_who_attacks(settings: Any) -> None:
    settings.SECURITY = {"ENFORCE": True, "ADDRESS_LIMIT": 10}
    users = [User.objects.create_user(f"user{n}", password=PASSWORD) for n in range(3)]
    for user in users:
        assert sign_in(username=user.username, password=PASSWORD).status_code == 302
    for n in range(14):
        sign_in(username=f"guess{n}")
    assert refused(sign_in(username="newcomer"))
    for user in users:
        assert sign_in(username=user.username, password=PASSWORD).status_code == 302


def test_what_was_known_long_ago_is_no_longer(alice: User, settings: Any) -> None:
    settings.SECURITY = {"ENFORCE": True, "ACCOUNT_LIMIT": 5}
    sign_in(password=PASSWORD, address=HOME)
    KnownNetwork.objects.update(last_at=utcnow() - timedelta(days=31))
    for n in range(6):
        sign_in(address=f"198.51.100.{n}")
    assert refused(sign_in(password=PASSWORD, address=HOME))


def test_known_networks_are_bounded(alice: User) -> None:
    for n in range(25):
        known_networks.remember("a", f"198.51.100.{n}", utcnow() + timedelta(seconds=n))
    kept = set(KnownNetwork.objects.values_list("network", flat=True))
    assert kept == {f"198.51.100.{n}" for n in range(5, 25)}


def test_ipv6_is_counted_by_the_64(alice: User) -> None:
    answers = [refused(sign_in(address=f"2001:db8:1:2::{n}")) for n in range(7)]
    assert answers == [False] * 5 + [True] * 2
    assert not refused(sign_in(address="2001:db8:1:3::1"))
    assert CoolOff.objects.get().address == "2001:db8:1:2::/64"


def test_spellings_that_some_backend_takes_for_one_name_are_counted_as_one(alice: User) -> None:
    names = ["alice", "Alice", "ALICE", " alice", "ａlice", "alice"]
    assert [refused(sign_in(username=name)) for name in names] == [False] * 5 + [True]


@pytest.mark.parametrize("letters", ["iıİI", "sſS"])
def test_letters_that_databases_take_for_one_are_counted_as_one(letters: str) -> None:
    assert len({username_hash(f"al{letter}ce") for letter in letters}) == 1


def test_what_an_address_is_refused_leaves_no_rows(settings: Any) -> None:
    settings.SECURITY = {"ENFORCE": True, "ADDRESS_LIMIT": 3}
    for n in range(5):
        sign_in(username=f"guess{n}")
    attempts = Counter.objects.filter(key__startswith="attempts")  # detection counts beside
    counted = attempts.count()
    assert [refused(sign_in(username=f"more{n}")) for n in range(5)] == [True] * 5
    assert attempts.count() == counted
    assert cool_offs.release(f"address {HOME}", "carol")
    assert not refused(sign_in(username="again"))


def test_allowed_networks_are_neither_counted_nor_refused(alice: User, settings: Any) -> None:
    settings.SECURITY = {"ENFORCE": True, "ALLOW": ["203.0.113.0/24", "2001:db8::/32"]}
    assert not any(refused(sign_in()) for _ in range(8))
    assert not any(refused(sign_in(address="2001:db8::1")) for _ in range(8))
    assert not Counter.objects.filter(key__startswith="attempts").exists()


def test_without_a_request_only_the_accounts_limit_holds(alice: User, settings: Any) -> None:
    settings.SECURITY = {"ENFORCE": True, "ACCOUNT_LIMIT": 7}
    for _ in range(7):
        assert authenticate(username="alice", password="wrong") is None
    assert authenticate(username="alice", password=PASSWORD) is None
    assert [row.subject.split()[0] for row in CoolOff.objects.all()] == ["account"]


def test_a_cool_off_ends_and_the_next_one_is_longer(alice: User) -> None:
    for _ in range(6):
        sign_in()
    for length in (120, 240, 480, 900, 900):
        let_cool_off_pass()
        assert [refused(sign_in()) for _ in range(3)] == [False, True, True]  # one may try
        row = CoolOff.objects.get()
        assert (row.until - row.since).total_seconds() == length


def test_who_tries_with_the_right_password_after_a_cool_off_is_free_of_it(alice: User) -> None:
    for _ in range(6):
        sign_in()
    let_cool_off_pass()
    assert sign_in(password=PASSWORD).status_code == 302
    assert not CoolOff.objects.exists()
    assert [refused(sign_in()) for _ in range(6)] == [False] * 5 + [True]


def test_failures_that_no_longer_count_leave_the_whole_limit_and_not_one_more(alice: User) -> None:
    for _ in range(6):
        sign_in()
    Counter.objects.all().delete()  # the window has passed
    CoolOff.objects.update(since=utcnow() - timedelta(hours=2), until=utcnow() - timedelta(hours=1))
    assert [refused(sign_in()) for _ in range(6)] == [False] * 5 + [True]
    assert CoolOff.objects.get().times == 2


def test_a_cool_off_of_the_day_before_yesterday_is_forgotten(alice: User) -> None:
    for _ in range(6):
        sign_in()
    Counter.objects.all().delete()
    let_cool_off_pass(timedelta(days=2))
    for _ in range(6):
        sign_in()
    assert CoolOff.objects.get().times == 1


@pytest.mark.parametrize("username", ["alice", "nobody"])
def test_the_answer_does_not_tell_whether_the_account_exists(alice: User, username: str) -> None:
    for _ in range(5):
        sign_in(username=username)
    page = sign_in(username=username).content.decode()
    assert "Too many attempts to sign in. Try again later." in page
    assert "correct username and password" not in page


def test_the_answers_to_an_account_and_to_nobody_are_the_same(alice: User) -> None:
    pages = []
    for username in ("alice", "nobod"):
        client = Client()
        client.get(reverse("login"))
        answers = [sign_in(username=username, client=client).content.decode() for _ in range(6)]
        token = client.cookies["csrftoken"].value
        pages.append([page.replace(username, "…").split("csrfmiddlewaretoken")[0] for page in answers])
        assert token
    assert pages[0] == pages[1]


def test_the_admins_page_says_to_try_later(alice: User) -> None:
    client = Client(REMOTE_ADDR=HOME)
    for _ in range(6):
        response = client.post(reverse("admin:login"), {"username": "alice", "password": "wrong"})
    assert "Try again later" in response.content.decode()


def test_a_refusal_is_told_as_what_it_is_and_is_no_wrong_password(alice: User) -> None:
    for _ in range(7):
        sign_in()
    assert len(told("auth.login_failure")) == 5
    first, second = told("auth.login_refused")
    assert (first.user_id, first.outcome, first.ip_address) == (str(alice.pk), "denied", HOME)
    assert (first.priority, second.priority) == ("high", "normal")
    assert first.data["scope"] == "pair"
    assert "password" not in f"{first.data}{first.metadata}"


def test_what_was_typed_is_kept_only_as_a_hash() -> None:
    for _ in range(6):
        sign_in(username="hunter2")
    assert told("auth.login_refused")[0].user_id is None
    stored = f"{list(CoolOff.objects.values())}{list(Counter.objects.values())}{[row.data for row in told('auth.login_refused')]}"
    assert "hunter2" not in stored


@pytest.mark.parametrize(
    "username", ["\0", "x" * 100_000, "<script>alert(1)</script>", "a\r\nb: c", "é" * 5_000, "\u202ealice", ""]
)
def test_a_hostile_username_is_refused_like_any_other(username: str) -> None:
    for _ in range(7):
        assert sign_in(username=username).status_code == 200
        guard.begin_attempt(None, username)


def test_asynchronous_sign_in_is_guarded(alice: User) -> None:
    async def attempts() -> list[int]:
        client = AsyncClient()
        form = {"username": "alice", "password": "wrong"}
        return [(await client.post(reverse("login"), form)).status_code for _ in range(6)]

    assert asyncio.run(attempts()) == [200] * 6
    assert CoolOff.objects.count() == 1


async def test_aauthenticate_is_guarded(settings: Any) -> None:
    settings.SECURITY = {"ENFORCE": True, "ACCOUNT_LIMIT": 5}
    await User.objects.acreate_user("alice", password=PASSWORD)
    for _ in range(5):
        assert await aauthenticate(username="alice", password="wrong") is None
    assert await aauthenticate(username="alice", password=PASSWORD) is None
    failures = AuditEntry.objects.filter(event_type="auth.login_failure")
    assert await failures.acount() == 5


class Private(APIView):
    authentication_classes = [BasicAuthentication]

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.get_username()})


class Broken:
    """A backend whose directory is away."""

    def authenticate(self, request: Any, **credentials: Any) -> None:
        raise ConnectionError("no directory")


urlpatterns = [path("private/", Private.as_view()), path("token/", ObtainAuthToken.as_view())]


def test_a_password_that_was_right_for_a_token_does_not_count(alice: User, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    for _ in range(8):
        assert Client().post("/token/", {"username": "alice", "password": PASSWORD}).status_code == 200
    assert not KnownNetwork.objects.exists()


def test_an_attempt_that_ends_in_an_exception_counts_and_makes_nothing_known(alice: User, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, f"{__name__}.Broken"]
    client = Client(raise_request_exception=False)
    wrong = {"Authorization": "Basic " + b64encode(b"alice:wrong").decode()}
    assert [client.get("/private/", headers=wrong).status_code for _ in range(6)] == [500] * 5 + [401]
    let_cool_off_pass()
    assert client.get("/private/", headers=wrong).status_code == 500  # the one that may try
    assert (CoolOff.objects.get().times, KnownNetwork.objects.count()) == (2, 0)


def test_a_right_password_that_signs_nobody_in_does_not_count_once_the_request_is_done(alice: User, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    header = {"Authorization": "Basic " + b64encode(f"alice:{PASSWORD}".encode()).decode()}
    for _ in range(8):
        assert Client().get("/private/", headers=header).status_code == 200
    wrong = {"Authorization": "Basic " + b64encode(b"alice:wrong").decode()}
    for _ in range(6):
        assert Client().get("/private/", headers=wrong).status_code == 401
    assert CoolOff.objects.count() == 1
    assert not KnownNetwork.objects.exists()


def test_a_sign_in_takes_two_queries_more(alice: User, settings: Any) -> None:
    sign_in(password=PASSWORD)  # what others do only the first time
    KnownNetwork.objects.all().delete()
    known_networks.forget_written()
    numbers = []
    for enforce in (True, False):  # as on the first of a day
        settings.SECURITY = {"ENFORCE": enforce}
        with CaptureQueriesContext(connection) as captured:
            sign_in(password=PASSWORD)
        numbers.append(len(captured))
    assert numbers[0] - numbers[1] <= 2


def test_release_ends_it_and_is_audited(alice: User) -> None:
    for _ in range(6):
        sign_in()
    subject = CoolOff.objects.get().subject
    assert cool_offs.release(subject, author="carol")
    assert not cool_offs.release(subject, author="carol")
    assert sign_in(password=PASSWORD).status_code == 302
    (entry,) = told("auth.cool_off_released")
    assert (entry.actor_label, entry.user_id, entry.data["subject"]) == ("carol", str(alice.pk), subject)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("release_cool_off", *arguments, stdout=out, no_color=True)
    return out.getvalue()


@pytest.mark.parametrize("how", ["alice", HOME, "--all", "subject"])
def test_the_command_releases(alice: User, how: str) -> None:
    for _ in range(6):
        sign_in()
    subject = CoolOff.objects.get().subject
    assert subject in run()
    assert "alice" in run("--list")
    assert run(subject if how == "subject" else how) == f"Released {subject}.\n"
    assert run() == "No cool-off is in force.\n"
    assert len(told("auth.cool_off_released")) == 1


def test_the_command_says_what_it_does_not_find() -> None:
    with pytest.raises(CommandError, match="No cool-off of 'alice'"):
        run("alice")
    assert run("--all") == "No cool-off is in force.\n"


def test_what_one_releases_is_forgotten_in_the_counters_too(alice: User) -> None:
    for _ in range(6):
        sign_in()
    subject = CoolOff.objects.get().subject
    cool_offs.release(subject, "carol")
    hit = guard.Scope("pair", *subject.split()[1:], 5).hit._replace(only_look=True)
    assert counters().count([hit], utcnow())[0].number == 0
    assert not cool_offs.in_force().exists()


def test_the_command_takes_any_address_of_an_ipv6_subscriber_and_no_name_for_an_id(alice: User) -> None:
    for _ in range(6):
        sign_in(address="2001:db8::5")
    User.objects.create_user(str(alice.pk))
    with pytest.raises(CommandError):
        run(str(alice.pk))
    assert run("2001:db8::7").startswith("Released pair")
