"""What the security monitor counts, in the admin: to see, never to change."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils.formats import date_format

from events.types import utcnow
from security.models import FailureWindow

pytestmark = pytest.mark.django_db

LIST = "admin:security_failurewindow_changelist"


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture
def window() -> FailureWindow:
    now = utcnow().replace(second=30)
    recent = [now.timestamp() - 2, now.timestamp()]
    return FailureWindow.objects.create(
        kind="address", key="203.0.113.9", recent=recent, last_failure=now, counted_at=now, alerted_at=now
    )


def test_the_list_shows_a_window(client: Client, window: FailureWindow) -> None:
    text = client.get(reverse(LIST)).content.decode()
    assert "203.0.113.9" in text
    assert "alerted" in text


def test_the_page_of_a_window_shows_it_in_words(client: Client, window: FailureWindow) -> None:
    text = client.get(reverse("admin:security_failurewindow_change", args=[window.pk])).content.decode()
    assert "203.0.113.9" in text
    assert "Address" in text
    assert "(&#x27;" not in text
    assert text.count(date_format(window.first_failure, "DATETIME_FORMAT")) >= 3, "all moments are written alike"


@pytest.mark.parametrize("parameters", [{"kind__exact": "address"}, {"q": "203.0.113.9"}])
def test_windows_are_found(client: Client, window: FailureWindow, parameters: dict[str, str]) -> None:
    assert list(client.get(reverse(LIST), parameters).context["cl"].result_list) == [window]


@pytest.mark.parametrize("parameters", [{"kind__exact": "account"}, {"q": "203.0.113"}, {"q": "a b"}])
def test_other_windows_are_not(client: Client, window: FailureWindow, parameters: dict[str, str]) -> None:
    assert not client.get(reverse(LIST), parameters).context["cl"].result_list


def test_nobody_can_add_change_or_delete(client: Client, window: FailureWindow) -> None:
    address = "admin:security_failurewindow_"
    assert client.post(reverse(f"{address}add")).status_code == 403
    assert client.post(reverse(f"{address}change", args=[window.pk]), {"key": "x"}).status_code == 403
    assert client.post(reverse(f"{address}delete", args=[window.pk]), {"post": "yes"}).status_code == 403
    client.post(reverse(LIST), {"action": "delete_selected", "_selected_action": [window.pk], "post": "yes"})
    assert FailureWindow.objects.get().key == "203.0.113.9"


@pytest.mark.parametrize(("permission", "status"), [(False, 403), (True, 200)])
def test_staff_need_the_view_permission(window: FailureWindow, permission: bool, status: int) -> None:
    user = User.objects.create_user("someone", is_staff=True)
    if permission:
        user.user_permissions.add(Permission.objects.get(codename="view_failurewindow"))
    client = Client()
    client.force_login(user)
    assert client.get(reverse(LIST)).status_code == status


def test_the_list_takes_few_queries(client: Client, django_assert_max_num_queries: Any) -> None:
    now = utcnow()
    FailureWindow.objects.bulk_create(
        FailureWindow(kind="account", key=str(n), recent=[now.timestamp()], last_failure=now, counted_at=now) for n in range(60)
    )
    with django_assert_max_num_queries(3):  # session, user, the list
        assert len(client.get(reverse(LIST)).context["cl"].result_list) == 50
