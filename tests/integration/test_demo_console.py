"""The console's page: who gets it, what it holds, and that nothing in it is taken for markup."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils.html import escape
from django.views.defaults import server_error

import events
from chatter_site.demo import history
from events import EventCategory, EventPriority, journal
from events.testing import wait_published

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password="secret-1")


@pytest.fixture
def admin() -> User:
    return User.objects.create_superuser("admin", password="secret-1")


def page_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    # A login is news to the admin; what it emits must not arrive in the middle of the test.
    wait_published()
    response = client.get("/")
    assert response.status_code == 200
    return response.content.decode()


def data_of(page: str, element_id: str) -> Any:
    found = re.search(rf'<script id="{element_id}" type="application/json">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def shown_types(page: str) -> list[str]:
    return [event["type"] for event in data_of(page, "recent-events")]


def test_an_anonymous_visitor_is_sent_to_sign_in_and_back() -> None:
    response = Client().get("/?types=document.*")
    assert (response.status_code, response["Location"]) == (302, "/accounts/login/?next=/%3Ftypes%3Ddocument.%2A")


def test_the_page_shows_what_was_before_in_order(alice: User) -> None:
    for number in range(3):
        events.emit("demo.counted", {"number": number})

    shown = data_of(page_of(alice), "recent-events")
    assert [event["data"] for event in shown if event["type"] == "demo.counted"] == [{"number": n} for n in range(3)]


def test_the_page_shows_the_last_events_only(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "SHOWN", 2)
    for number in range(4):
        events.emit("demo.counted", {"number": number})

    assert [event["data"]["number"] for event in data_of(page_of(alice), "recent-events")] == [2, 3]


def test_the_stream_takes_over_where_the_history_ends(alice: User) -> None:
    events.emit("demo.counted", {"number": 1})

    cursor = data_of(page_of(alice), "chatterEvents-settings")["options"]["cursor"]
    head = journal.read_head()
    assert cursor == f"{head.epoch}:{head.position}"


def test_a_user_is_not_shown_what_is_for_others(alice: User, admin: User) -> None:
    events.emit("demo.for_alice", user_id=alice.pk)
    events.emit("demo.for_admin", user_id=admin.pk)
    events.emit("auth.login_failure", {"username": "alice"}, category="security")

    assert "demo.for_alice" in shown_types(page_of(alice))
    assert not {"demo.for_admin", "auth.login_failure"} & set(shown_types(page_of(alice)))
    assert {"demo.for_admin", "auth.login_failure"} <= set(shown_types(page_of(admin)))
    assert "demo.for_alice" not in shown_types(page_of(admin))


def test_script_tags_in_event_data_are_not_markup(alice: User) -> None:
    events.emit("demo.posted", {"text": HOSTILE})

    page = page_of(alice)
    assert "<script>alert" not in page
    assert HOSTILE in [event["data"].get("text") for event in data_of(page, "recent-events")]


def test_a_hostile_user_name_is_text() -> None:
    hostile = User.objects.create_user("<b>mallory</b>")
    assert "<b>mallory" not in page_of(hostile)
    assert escape(hostile.username) in page_of(hostile)


def test_the_page_offers_every_category_and_priority(alice: User) -> None:
    page = page_of(alice)
    for category in EventCategory:
        assert f'<option value="{category}">' in page
    for priority in [p for p in EventPriority if p is not EventPriority.LOW]:
        assert f'<option value="{priority}">' in page


def test_every_category_has_a_colour() -> None:
    styles = Path(str(finders.find("site.css"))).read_text()
    for category in EventCategory:
        assert f"[data-category={category}]" in styles


def test_only_staff_get_the_form_that_emits(alice: User, admin: User) -> None:
    assert 'id="emit"' not in page_of(alice)
    assert 'id="emit"' in page_of(admin)


def test_the_page_holds_no_inline_code_or_style(admin: User) -> None:
    page = page_of(admin)
    inline = re.findall(r"<script(?![^>]*(?:src=|application/json))", page)
    assert not inline
    assert not re.findall(r"<style|\sstyle=|\son[a-z]+=", page)


def test_opening_the_page_takes_few_queries(alice: User, django_assert_max_num_queries: Any) -> None:
    client = Client()
    client.force_login(alice)
    wait_published()
    # Session, user, unfinished documents, head, events, documents.
    with django_assert_max_num_queries(6):
        client.get("/")


def test_signing_in_leads_to_the_console(alice: User) -> None:
    client = Client()
    response = client.post("/accounts/login/", {"username": "alice", "password": "secret-1"})
    assert (response.status_code, response["Location"]) == (302, reverse("home"))


def test_a_wrong_password_is_told_and_the_name_kept(alice: User) -> None:
    response = Client().post("/accounts/login/", {"username": "alice", "password": "wrong"})
    page = response.content.decode()
    assert 'role="alert"' in page
    assert 'value="alice"' in page
    assert "wrong" not in page


def test_signing_out_takes_a_post(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/")["Location"] == "/accounts/login/"
    assert client.get("/").status_code == 302


def test_an_address_that_does_not_exist_has_a_page_in_style() -> None:
    response = Client().get("/nowhere")
    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()


def test_an_error_has_a_page_in_style(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("chatter_site.demo.views.recent_events", fail)
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    response = client.get("/")
    assert response.status_code == 500
    assert "Something went wrong" in response.content.decode()


def test_the_error_page_does_not_need_the_manifest_whose_absence_may_be_the_error(settings: Any) -> None:
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}
    }
    settings.STATIC_ROOT = "/nonexistent"
    page = server_error(RequestFactory().get("/")).content.decode()
    assert 'href="/static/site.css"' in page
