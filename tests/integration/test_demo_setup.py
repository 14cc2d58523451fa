"""`manage.py setup_demo`: the accounts, once, whatever happens before and after."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEMO_PASSWORD", raising=False)


def setup() -> str:
    out = StringIO()
    call_command("setup_demo", stdout=out, no_color=True)
    return out.getvalue()


def printed_password(text: str) -> str:
    found = re.search(r"password +(\S+) +\(for", text)
    assert found, text
    return found[1]


def test_it_creates_an_administrator_and_an_ordinary_user_with_a_password_that_it_prints() -> None:
    password = printed_password(setup())

    admin, alice = User.objects.get(username="admin"), User.objects.get(username="alice")
    assert (admin.is_staff, admin.is_superuser, alice.is_staff, alice.is_superuser) == (True, True, False, False)
    assert admin.check_password(password)
    assert alice.check_password(password)
    assert len(password) >= 12


def test_a_second_run_changes_nothing_and_says_how_to_set_a_password() -> None:
    password = printed_password(setup())
    again = setup()

    assert User.objects.get(username="alice").check_password(password)
    assert User.objects.count() == 2
    assert "unchanged" in again
    assert "DEMO_PASSWORD=" in again


def test_a_password_that_is_given_is_used_and_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    setup()
    monkeypatch.setenv("DEMO_PASSWORD", "open-sesame-7")
    text = setup()

    assert all(user.check_password("open-sesame-7") for user in User.objects.all())
    assert "open-sesame-7" not in text


def test_the_same_password_again_does_not_sign_anybody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_PASSWORD", "open-sesame-7")
    setup()
    before = User.objects.get(username="admin").get_session_auth_hash()
    setup()

    assert User.objects.get(username="admin").get_session_auth_hash() == before


def test_an_account_that_was_removed_is_made_again_and_the_other_left_alone() -> None:
    first = printed_password(setup())
    User.objects.get(username="alice").delete()
    text = setup()

    assert "for alice;" in text
    assert User.objects.get(username="admin").check_password(first)
    assert User.objects.get(username="alice").check_password(printed_password(text))
