"""`{% event_stream %}`: what it renders, for whom, and what it refuses."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import set_script_prefix

from events.exceptions import InvalidFilter


def render(arguments: str = "", user: Any = None, **context: Any) -> str:
    request = RequestFactory().get("/")
    request.user = User(pk=7, username="alice") if user is None else user
    template = Template("{% load events %}{% event_stream " + arguments + " %}")
    return template.render(Context({"request": request, **context}))


def settings_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script id="[^"]+" type="application/json">(.*?)</script>', html)
    assert found, html
    return json.loads(found[1])


def test_without_arguments_it_asks_for_everything_from_now_on() -> None:
    settings = settings_of(render())

    assert settings["name"] == "chatterEvents"
    assert settings["client"] == "/static/events/client.js"
    assert settings["options"] == {
        "url": "/events/stream",
        "transport": "sse",
        "types": [],
        "categories": [],
        "minPriority": None,
        "cursor": None,
        "notify": True,
    }


def test_the_arguments_become_the_clients_options() -> None:
    html = render(
        'types="document.*, *.failed" categories="realtime,workflow" min_priority="high" cursor=cursor'
        ' transport="websocket" notify=False name="alerts" target="log"',
        cursor="3f9c2a7d51e0:42",
    )
    settings = settings_of(html)

    assert settings["name"] == "alerts"
    assert settings["target"] == "log"
    assert settings["options"] == {
        "url": "/ws/events/",
        "transport": "websocket",
        "types": ["document.*", "*.failed"],
        "categories": ["realtime", "workflow"],
        "minPriority": "high",
        "cursor": "3f9c2a7d51e0:42",
        "notify": False,
    }


@pytest.mark.parametrize("user", [AnonymousUser(), SimpleNamespace(is_authenticated=False)])
def test_nothing_is_rendered_for_an_anonymous_user(user: Any) -> None:
    assert render(user=user) == ""


def test_nothing_is_rendered_where_the_template_has_no_request() -> None:
    assert Template("{% load events %}{% event_stream %}").render(Context({})) == ""


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ('types="Document"', "types"),
        ('types="a.b,,c.d"', "types"),
        ('categories="gossip"', "categories"),
        ('min_priority="9"', "min_priority"),
    ],
)
def test_a_filter_that_the_server_would_refuse_fails_when_the_page_is_rendered(arguments: str, field: str) -> None:
    with pytest.raises(InvalidFilter) as refused:
        render(arguments)
    assert refused.value.field == field


@pytest.mark.parametrize("arguments", ['transport="pigeon"', 'name="a-b"', 'name="x;alert(1)"', 'name=""'])
def test_an_argument_that_cannot_be_is_refused(arguments: str) -> None:
    with pytest.raises(ValueError, match="event_stream"):
        render(arguments)


def test_hostile_values_stay_values() -> None:
    hostile = '</script><script>alert(1)</script>"'
    html = render("target=hostile cursor=hostile nonce=hostile", hostile=hostile)

    assert "<script>alert" not in html
    assert html.count("<script") == html.count("</script>") == 2
    assert settings_of(html)["target"] == hostile


def test_there_is_no_inline_code() -> None:
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", render(), re.DOTALL)

    assert [("application/json" in attributes, bool(body)) for attributes, body in scripts] == [(True, True), (False, False)]


class LazyNonce:
    """As CSP middlewares give it: false until it is read."""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return "cjRuZDBt"


def test_the_script_carries_the_nonce_of_the_request() -> None:
    request = RequestFactory().get("/")
    request.user = User(pk=7)
    request.csp_nonce = LazyNonce()
    html = Template("{% load events %}{% event_stream %}").render(Context({"request": request}))

    assert ' nonce="cjRuZDBt"></script>' in html


def test_a_nonce_that_is_given_wins() -> None:
    assert ' nonce="mine"></script>' in render('nonce="mine"', csp_nonce="theirs")


def test_the_stream_is_below_the_prefix_that_the_site_is_served_at() -> None:
    set_script_prefix("/app/")
    try:
        assert settings_of(render())["options"]["url"] == "/app/events/stream"
    finally:
        set_script_prefix("/")
