"""What is refused is told, once, whoever refuses it: Django, Django REST framework, in sync and async views, the streams, Channels."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from channels.generic.websocket import WebsocketConsumer
from channels.testing import HttpCommunicator, WebsocketCommunicator
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.utils.log import configure_logging
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from events.models import JournalEntry
from events.stats import stats
from events.testing import Captured, captured_events, wait_published
from security.middleware import SecurityMiddleware
from security.models import Incident
from security.sources import django_log
from security.sources.floods import floods
from security.sources.streams import RefusedWebSockets
from tests.support.waiting import await_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.support.refusing")]

ADDRESS = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture(autouse=True)
def attached() -> None:
    """Other tests configure logging anew."""
    django_log.connect()


@pytest.fixture
def client() -> Client:
    return Client(**ADDRESS)


def security(events: Captured) -> list[str]:
    return [event.event_type for event in events if event.category == "security"]


@pytest.mark.parametrize("path", ["/refuse/hunter2/?token=hunter2", "/arefuse/hunter2/?token=hunter2"])
def test_permission_denied_is_told_with_the_routes_template_and_no_secret(client: Client, path: str) -> None:
    with captured_events() as events:
        assert client.get(path).status_code == 403
    (event,) = events
    assert event.event_type == "access.denied"
    assert event.data == {
        "method": "GET", "route": path.split("/")[1] + "/<secret>/", "status": 403, "reason": "permission_denied",
    }  # fmt: skip
    assert (event.metadata["ip_address"], event.metadata["outcome"]) == ("203.0.113.9", "denied")
    assert event.metadata["owasp"] == f"authz_fail:{event.data['route']}"
    assert not [row for row in JournalEntry.objects.all() if "hunter2" in f"{row.body}{row.private}"]


@pytest.mark.parametrize("path", ["/refuse/x/", "/arefuse/x/", "/forbid/"])
async def test_a_refusal_in_an_asynchronous_server_is_told(path: str) -> None:
    with captured_events() as events:
        assert (await AsyncClient().get(path)).status_code == 403
    assert security(events) == ["access.denied"]


@pytest.mark.parametrize(
    ("path", "event_type", "reason"),
    [
        ("/api/denied/", "access.denied", "permission_denied"),
        ("/api/unauthenticated/", "access.denied", "not_authenticated"),
        ("/api/failed/", "access.denied", "authentication_failed"),
        ("/api/throttled/", "rate_limit.exceeded", None),
        ("/api/own/denied/", "access.denied", "permission_denied"),
        ("/api/own/unauthenticated/", "access.denied", "not_authenticated"),
        ("/api/own/throttled/", "rate_limit.exceeded", None),
    ],
)
def test_what_django_rest_framework_refuses_is_told(client: Client, path: str, event_type: str, reason: str | None) -> None:
    with captured_events() as events:
        client.get(path)
    (event,) = events
    assert (event.event_type, event.data.get("reason"), event.data["route"]) == (event_type, reason, path[1:])


async def test_what_django_rest_framework_refuses_in_an_asynchronous_server_is_told() -> None:
    with captured_events() as events:
        await AsyncClient().get("/api/denied/")
    assert security(events) == ["access.denied"]


def test_a_refusal_names_the_account() -> None:
    alice = User.objects.create_user("alice")
    client = Client()
    client.force_login(alice)
    with captured_events() as events:
        client.get("/api/denied/")
    assert events.one("access.denied").user_id == str(alice.pk)
    assert events.one("access.denied").metadata["actor"]["label"] == "alice"


def test_a_failed_csrf_check_is_told_once(rf: RequestFactory) -> None:
    client = Client(enforce_csrf_checks=True)
    with captured_events() as events:
        assert client.post("/fine/", {"password": "hunter2"}).status_code == 403
    (event,) = events
    assert event.event_type == "csrf.failed"
    assert event.data["reason"] == "CSRF cookie not set."
    assert "hunter2" not in str(event)


def test_a_failed_csrf_check_of_django_rest_framework_is_told_once() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("alice"))
    with captured_events() as events:
        assert client.post("/api/fine/").status_code == 403
    assert events.one("csrf.failed").data["reason"] == "CSRF cookie not set."
    assert security(events) == ["csrf.failed"]


@pytest.mark.parametrize("path", ["/suspect/", "/asuspect/"])
async def test_suspicious_operations_are_told(path: str) -> None:
    with captured_events() as events:
        assert (await AsyncClient().get(path)).status_code == 400
    (event,) = events
    assert (event.event_type, event.data["kind"]) == ("request.suspicious", "SuspiciousFileOperation")
    assert event.data["route"] == path[1:]


def test_a_host_that_is_not_allowed_is_told(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["example.org"]
    with captured_events() as events:
        assert client.get("/fine/", HTTP_HOST="evil.example").status_code == 400
    event = events.one("request.disallowed_host")
    assert event.metadata["ip_address"] == "203.0.113.9"


def test_what_is_logged_without_a_request_is_told() -> None:
    with captured_events() as events:
        logging.getLogger("django.security.SuspiciousSession").warning("Session data corrupted")
    assert events.one("session.invalid").data["reason"] == "Session data corrupted"


def test_a_record_that_telling_logs_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def log_again(*args: Any, **kwargs: Any) -> bool:
        logging.getLogger("django.security.Again").warning("and again")
        return False

    monkeypatch.setattr(floods, "fold", log_again)
    with captured_events() as events:
        logging.getLogger("django.security.Once").warning("once")
    assert [event.data["kind"] for event in events] == ["Once"]


def test_a_server_that_configures_logging_anew_still_tells(settings: Any) -> None:
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
    with captured_events() as events:
        assert Client().get("/suspect/").status_code == 400
    assert events.types == ["request.suspicious"]


def test_the_handler_is_attached_once() -> None:
    django_log.connect()
    handlers = logging.getLogger("django.security").handlers
    assert len([handler for handler in handlers if isinstance(handler, django_log.Handler)]) == 1


async def test_what_is_logged_in_an_event_loop_is_told() -> None:
    with captured_events() as events:
        logging.getLogger("django.security.SuspiciousOperation").warning("odd")
        await await_for(lambda: events)
    assert events.one("request.suspicious").data["kind"] == "SuspiciousOperation"


def test_single_pages_that_are_not_there_are_no_event_and_many_are_one(client: Client, settings: Any) -> None:
    settings.SECURITY = {"ENUMERATION": 15}
    with captured_events() as events:
        for n in range(5):
            client.get(f"/secret-{n}/?token=hunter2")
        floods.flush()
        assert not events
        for n in range(7):
            client.get(f"/secret-{n}/")
        floods.flush()
    event = events.one("access.misses")
    assert (event.data["count"], event.data["addresses"]) == (12, [["203.0.113.9", 12]])
    assert event.metadata["ip_address"] == "203.0.113.9"
    assert "secret" not in str(event.data)


@pytest.mark.parametrize(("every", "incidents"), [(9, 1), (35, 0)])
def test_a_scan_is_recognised_however_few_its_requests_a_minute(
    client: Client, every: float, incidents: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(40):
        monkeypatch.setattr("security.sources.floods.time", SimpleNamespace(monotonic=lambda n=n: 1_000.0 + n * every))
        client.get(f"/secret-{n}/")
        floods.flush()
    wait_published()
    assert Incident.objects.filter(kind="enumeration", address="203.0.113.9").count() == incidents


def test_a_good_response_tells_nothing(client: Client) -> None:
    with captured_events() as events:
        assert client.get("/fine/").status_code == 200
        assert client.get("/afine/").status_code == 200
    assert not events


def test_the_middleware_tells_without_that_of_the_context(rf: RequestFactory) -> None:
    request = rf.get("/", **ADDRESS)
    middleware = SecurityMiddleware(lambda request: HttpResponse(status=403))
    with captured_events() as events:
        middleware(request)
    assert events.one("access.denied").metadata["ip_address"] == "203.0.113.9"


# Streams and Channels


async def test_a_refused_sse_stream_is_told() -> None:
    from chatter_site.asgi import application

    with captured_events() as events:
        stream = HttpCommunicator(application, "GET", "/events/stream")
        assert (await stream.get_response(timeout=10))["status"] == 401
        await await_for(lambda: events)
    assert events.one("stream.refused").data == {"transport": "sse", "reason": "unauthenticated"}


async def test_a_refused_websocket_is_told() -> None:
    from chatter_site.asgi import application

    with captured_events() as events:
        socket = WebsocketCommunicator(application, "/ws/events/")
        await socket.connect()
        await socket.receive_from()
        assert (await socket.receive_output())["code"] == 4401
        await socket.disconnect()
        await await_for(lambda: events)
    assert events.one("stream.refused").data == {"transport": "websocket", "reason": "unauthenticated"}


async def test_a_websocket_that_a_consumer_of_the_project_closes_at_once_is_told() -> None:
    class Refusing(WebsocketConsumer):
        def connect(self) -> None:
            self.close()

    class Accepting(WebsocketConsumer):
        def connect(self) -> None:
            self.accept()
            self.close()

    with captured_events() as events:
        for consumer in (Refusing, Accepting):
            socket = WebsocketCommunicator(RefusedWebSockets(consumer.as_asgi()), "/")
            await socket.connect()
            await socket.disconnect()
            await socket.wait()
        await await_for(lambda: events)
    assert security(events) == ["stream.refused"]


# What is hostile

TEXT = st.text(st.characters(codec="latin-1"), max_size=300)


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(agent=TEXT, forwarded=TEXT, token=TEXT, correlation=TEXT, method=st.sampled_from(["GET", "POST", "\x1b[31m", "X" * 500]))
def test_hostile_headers_are_no_error_and_nothing_unprintable_is_kept(
    agent: str, forwarded: str, token: str, correlation: str, method: str, settings: Any
) -> None:
    settings.EVENTS = {"RAISE_INVALID": True, "TRUSTED_PROXIES": ["127.0.0.1/32"]}
    floods.forget()
    headers = {"HTTP_USER_AGENT": agent, "HTTP_X_FORWARDED_FOR": forwarded, "HTTP_X_CORRELATION_ID": correlation}
    with captured_events() as events:
        answered = Client(raise_request_exception=False).generic(method, "/api/failed/", HTTP_AUTHORIZATION=token, **headers)
    assert answered.status_code < 500
    assert stats.snapshot()["errors"] == stats.snapshot()["handler_errors"] == 0
    for event in events:
        for value in (*event.data.values(), *event.metadata.values()):
            assert not isinstance(value, str) or value.isprintable()


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.text(max_size=500))
def test_what_is_logged_breaks_no_line(message: str, settings: Any) -> None:
    settings.EVENTS = {"RAISE_INVALID": True}
    floods.forget()
    with captured_events() as events:
        logging.getLogger("django.security.SuspiciousOperation").warning(message)
    assert events[0].data["reason"].isprintable()
    assert stats.snapshot()["handler_errors"] == 0
