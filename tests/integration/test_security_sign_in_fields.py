"""What was typed and who signs in are one, where people sign in by e-mail address or ignoring case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.models import AuditEntry
from events.testing import wait_published
from security.accounts import find_account, username_hash
from security.enforcement import guard, known_networks
from security.models import CoolOff, Incident

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = ["email__iexact", "username__iexact"]
MAIL, PASSWORD = "alice@example.org", "correct horse battery staple"


class ByMail(ModelBackend):
    """Lets people in who type their e-mail address."""

    def authenticate(self, request: Any, username: Any = None, password: Any = None, email: Any = None, **others: Any) -> Any:
        user = User.objects.filter(email__iexact=email or username).first()
        return user if user is not None and user.check_password(password) else None


@pytest.fixture(autouse=True)
def by_mail(settings: Any) -> Iterator[None]:
    settings.SECURITY = {"SIGN_IN_FIELDS": FIELDS}
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, f"{__name__}.ByMail"]
    known_networks.forget_written()
    yield
    known_networks.forget_written()
    guard.forget_attempt()


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", MAIL, PASSWORD)


def sign_in(username: str, password: str = "wrong") -> Any:
    form = {"username": username, "password": password}
    response = Client(REMOTE_ADDR="203.0.113.9").post(reverse("login"), form)
    wait_published()
    return response


def test_failures_by_mail_and_a_success_are_the_accounts(alice: User) -> None:
    for name in (MAIL, MAIL.upper(), "alice", "ALICE", MAIL):
        sign_in(name)
    assert sign_in(MAIL.title(), PASSWORD).status_code == 302
    assert {incident.kind: incident.subject for incident in Incident.objects.all()} == {
        "brute_force": f"account {alice.pk} and address 203.0.113.9",
        "success_after_failures": f"account {alice.pk}",
    }
    failures = AuditEntry.objects.filter(event_type="auth.login_failure")
    assert set(failures.values_list("user_id", flat=True)) == {str(alice.pk)}


def test_the_username_comes_first_and_a_lookup_counts_where_it_finds_one(alice: User) -> None:
    named_like_the_mail = User.objects.create_user(MAIL)
    bob = User.objects.create_user("bob", "both@example.org")
    User.objects.create_user("carol", "BOTH@example.org")
    dora = User.objects.create_user("Both@Example.org")
    assert find_account(MAIL) == named_like_the_mail
    assert find_account(MAIL.upper()) == alice
    assert find_account("BOTH@EXAMPLE.ORG") == dora, "two have this address, and one this name"
    assert find_account("bob") == bob
    dora.delete()
    assert find_account("BOTH@EXAMPLE.ORG") is None
    assert find_account("") is None, "also where one account alone has no address"


def test_without_lookups_only_the_username_counts(alice: User, settings: Any, django_assert_num_queries: Any) -> None:
    settings.SECURITY = {}
    with django_assert_num_queries(2):
        assert find_account(MAIL) is find_account("ALICE") is None
    assert find_account("alice") == alice


@pytest.mark.parametrize("name", ["Bob", "BOB", " bob ", "ｂｏｂ", "ｂ\u006fb"])
def test_an_unknown_name_typed_in_another_way_is_one_name(name: str) -> None:
    assert username_hash(name) == username_hash("bob") != username_hash("bo b")


def test_an_unknown_name_typed_in_many_ways_is_one_unknown_name(settings: Any) -> None:
    settings.SECURITY = {"ENUMERATION": 3, "STUFFING_ACCOUNTS": 3}
    for name in ("bob", "Bob", "BOB", "ｂob", "Bob"):
        sign_in(name)
    assert [incident.subject for incident in Incident.objects.all()] == [
        f"address 203.0.113.9 and username {username_hash('bob')}"
    ]


def test_credentials_may_be_named_by_the_field(alice: User) -> None:
    assert authenticate(email=MAIL, password="wrong") is None
    assert AuditEntry.objects.get(event_type="auth.login_failure").user_id == str(alice.pk)


def test_a_lookup_that_is_wrong_stops_nobody(alice: User, settings: Any) -> None:
    settings.SECURITY = {"SIGN_IN_FIELDS": ["mail__iexact", "id", "email"], "ENFORCE": True}
    assert sign_in("nobody").status_code == 200
    assert find_account(MAIL) == alice
    user_login_failed.send(sender=__name__, credentials={"username": MAIL}, request=None)
    assert AuditEntry.objects.filter(event_type="auth.login_failure", user_id=str(alice.pk)).count() == 1


def test_limits_are_the_accounts_whatever_is_typed(alice: User, settings: Any) -> None:
    settings.SECURITY = {"ENFORCE": True, "SIGN_IN_FIELDS": FIELDS}
    answers = [sign_in(name) for name in ("alice", MAIL, "Alice", MAIL.upper(), "alice", MAIL, "alice")]
    assert [hasattr(answer.wsgi_request, "login_refused") for answer in answers] == [False] * 5 + [True] * 2
    assert CoolOff.objects.get().account == str(alice.pk)
    assert AuditEntry.objects.filter(event_type="auth.login_failure").count() == 5, "what is refused is no wrong password"
    assert AuditEntry.objects.filter(event_type="auth.login_refused", user_id=str(alice.pk)).count() == 2


def test_who_signs_in_by_mail_is_known_by_name_too(alice: User, settings: Any) -> None:
    settings.SECURITY = {"ENFORCE": True, "SIGN_IN_FIELDS": FIELDS, "ACCOUNT_LIMIT": 1}
    assert sign_in(MAIL, PASSWORD).status_code == 302
    assert [sign_in("alice", password).status_code for password in ("wrong", "wrong", PASSWORD)] == [200, 200, 302]


@pytest.mark.parametrize(("fields", "name", "more"), [([], "alice", 2), (FIELDS, "alice", 3), (FIELDS, MAIL, 4)])
def test_what_enforcement_costs_in_queries(alice: User, settings: Any, fields: list[str], name: str, more: int) -> None:
    numbers = []
    for enforce in (True, True, False):  # what others do only the first time is done then
        settings.SECURITY = {"ENFORCE": enforce, "SIGN_IN_FIELDS": fields}
        with CaptureQueriesContext(connection) as captured:
            assert sign_in(name, PASSWORD).status_code == 302
        numbers.append(len(captured))
    assert numbers[1] - numbers[2] <= more
