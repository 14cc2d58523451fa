"""The matrix of the sources: the same, done through each way in, is told once, and alike."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.testing import HttpCommunicator, WebsocketCommunicator
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.core.asgi import get_asgi_application
from django.test import AsyncClient, Client
from django.urls import path
from rest_framework.authtoken.models import Token

from events.delivery.routing import with_events
from events.stats import stats
from events.testing import Captured, captured_events, wait_published
from events.types import UnifiedEvent
from security.models import Incident
from security.sources import django_log, tokens
from security.sources.streams import RefusedWebSockets
from security.sources.vocabulary import VOCABULARY
from tests.support.entrances import ACTS, SIGN_IN, SIGN_OUT, websocket_urlpatterns
from tests.support.waiting import await_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.support.entrances")]

ADDRESS = "203.0.113.9"
FORWARDED = {"X-Forwarded-For": ADDRESS}
Do = Callable[[str], Awaitable[Any]]


@pytest.fixture(autouse=True)
def attached(settings: Any) -> None:
    """Other tests configure logging anew. The asynchronous test client can say where it is as a proxy does only."""
    django_log.connect()
    settings.EVENTS = {"TRUSTED_PROXIES": ["127.0.0.1/32"]}


def security(events: Captured) -> list[UnifiedEvent]:
    """What the sources told: not what became of it."""
    return [event for event in events if event.event_type in VOCABULARY]


# The ways in


@asynccontextmanager
async def by_view(prefix: str) -> AsyncIterator[Do]:
    """A WSGI server's."""
    client = Client(REMOTE_ADDR=ADDRESS)

    async def do(name: str) -> None:
        assert (await sync_to_async(client.get)(f"{prefix}{name}/")).status_code == 200

    yield do


@asynccontextmanager
async def by_view_in_an_asynchronous_server(prefix: str) -> AsyncIterator[Do]:
    client = AsyncClient()

    async def do(name: str) -> None:
        assert (await client.get(f"{prefix}{name}/", headers=FORWARDED)).status_code == 200

    yield do


@asynccontextmanager
async def by_consumer(prefix: str) -> AsyncIterator[Do]:
    socket = WebsocketCommunicator(with_events(get_asgi_application(), websocket_urlpatterns), prefix)
    socket.scope["client"] = [ADDRESS, 1]
    assert (await socket.connect())[0]

    async def do(name: str) -> None:
        await socket.send_to(name)
        assert await socket.receive_from(timeout=10) == "done"

    yield do
    await socket.disconnect()


@asynccontextmanager
async def by_nobody(prefix: str) -> AsyncIterator[Do]:
    """As a command or a task does it."""

    async def do(name: str) -> None:
        await (ACTS[name][1]() if prefix == "async" else sync_to_async(ACTS[name][0])())

    yield do


WAYS: dict[str, tuple[Any, str]] = {
    "a view": (by_view, "/act/"),
    "an async view": (by_view, "/aact/"),
    "a view, ASGI": (by_view_in_an_asynchronous_server, "/act/"),
    "an async view, ASGI": (by_view_in_an_asynchronous_server, "/aact/"),
    "the API": (by_view, "/api/act/"),
    "the API, ASGI": (by_view_in_an_asynchronous_server, "/api/act/"),
    "a consumer": (by_consumer, "/act/"),
    "an async consumer": (by_consumer, "/aact/"),
    "no request": (by_nobody, ""),
    "no request, async": (by_nobody, "async"),
}
NOT_WITHOUT_REQUEST = {SIGN_IN, SIGN_OUT}


def acts_of(way: str) -> dict[str, str]:
    """What is done, in order, and what it is told as."""
    names = [*ACTS]
    if not way.startswith("no request"):
        names[3:3] = [SIGN_IN, SIGN_OUT]
    told = {SIGN_IN: "auth.login_success", SIGN_OUT: "auth.logout"}
    return {name: told.get(name) or ACTS[name][2] for name in names}


@pytest.mark.parametrize("way", WAYS)
async def test_the_same_is_told_once_and_alike_through_each_way_in(way: str) -> None:
    open_way, prefix = WAYS[way]
    await Group.objects.acreate(name="editors")
    found: dict[str, list[UnifiedEvent]] = {}
    async with open_way(prefix) as do:
        for name in acts_of(way):
            with captured_events() as events:
                await do(name)
                await sync_to_async(wait_published)()
            found[name] = security(events)
    assert {name: [event.event_type for event in events] for name, events in found.items()} == {
        name: [event_type] for name, event_type in acts_of(way).items()
    }
    pk = found["create"][0].user_id
    told = [event for events in found.values() for event in events]
    assert {event.user_id for event in told if not event.event_type.startswith("group.")} == {pk}
    addresses = {event.metadata.get("ip_address") for event in told}
    assert addresses == ({None} if way.startswith("no request") else {ADDRESS})
    for event in told:
        word = VOCABULARY[event.event_type]
        assert event.metadata["owasp"].startswith(word.owasp)
        assert (event.metadata["outcome"], event.priority) == (word.outcome, word.priority)
    assert stats.snapshot()["handler_errors"] == stats.snapshot()["errors"] == 0


@pytest.mark.parametrize("way", [way for way in WAYS if not way.startswith("no request")])
async def test_a_success_after_failures_is_recognised_through_each_way_in(way: str) -> None:
    open_way, prefix = WAYS[way]
    async with open_way(prefix) as do:
        for name in ("create", "set the password", *["fail"] * 5, SIGN_IN):
            await do(name)
        await sync_to_async(wait_published)()
    assert await Incident.objects.filter(kind="success_after_failures").acount() == 1


def test_a_wrong_password_for_the_api_is_a_failed_login_and_an_access_that_is_denied() -> None:
    bob = User.objects.create_user("bob")
    header = "Basic " + base64.b64encode(b"bob:wrong").decode()
    with captured_events() as events:
        assert Client(REMOTE_ADDR=ADDRESS).get("/api/basic/", HTTP_AUTHORIZATION=header).status_code == 401
    assert [event.event_type for event in security(events)] == ["auth.login_failure", "access.denied"]
    assert events.one("auth.login_failure").user_id == str(bob.pk)
    assert events.one("access.denied").data["reason"] == "authentication_failed"


# What Django logs


async def ask(is_async: bool, path: str, method: str = "get", *, checks: bool = False, **options: Any) -> Any:
    """The answer of a WSGI or an ASGI server. `checks`: the CSRF token, too."""
    made = {"enforce_csrf_checks": checks, "raise_request_exception": False}
    client: Any = AsyncClient(**made) if is_async else Client(**made, REMOTE_ADDR=ADDRESS)
    client.cookies.load(options.pop("cookies", {}))
    if is_async:
        return await getattr(client, method)(path, headers=FORWARDED | options.pop("headers", {}), **options)
    return await sync_to_async(getattr(client, method))(path, **options)


SERVERS = pytest.mark.parametrize("is_async", [False, True], ids=["WSGI", "ASGI"])


@SERVERS
@pytest.mark.urls("tests.support.refusing")
@pytest.mark.parametrize("path", ["/fine/", "/afine/"])
async def test_a_failed_csrf_check_is_told_whichever_the_view_and_the_server(is_async: bool, path: str) -> None:
    with captured_events() as events:
        assert (await ask(is_async, path, "post", checks=True)).status_code == 403
    (event,) = security(events)
    assert (event.event_type, event.data["route"], event.metadata["ip_address"]) == ("csrf.failed", path[1:], ADDRESS)


@SERVERS
@pytest.mark.urls("tests.support.refusing")
async def test_a_host_that_is_not_allowed_is_told_by_each_server(is_async: bool, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["example.org"]
    with captured_events() as events:
        assert (await ask(is_async, "/fine/", headers={"host": "evil.example"})).status_code == 400
    assert [event.event_type for event in security(events)] == ["request.disallowed_host"]


@SERVERS
@pytest.mark.urls("tests.support.refusing")
async def test_too_many_fields_are_told_by_each_server(is_async: bool, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 3
    with captured_events() as events:
        answer = await ask(is_async, "/reset/", "post", data={f"f{n}": "hunter2" for n in range(9)})
    assert answer.status_code == 400
    (event,) = security(events)
    assert (event.event_type, event.data["kind"]) == ("request.suspicious", "TooManyFieldsSent")
    assert "hunter2" not in str(event)


@SERVERS
async def test_a_session_that_was_tampered_with_is_told_by_each_server(is_async: bool) -> None:
    client = Client()
    await sync_to_async(client.force_login)(await User.objects.acreate(username="bob"))
    await Session.objects.aupdate(session_data="e30:forged:signature")
    with captured_events() as events:
        await ask(is_async, "/api/act/nothing/", cookies={"sessionid": client.cookies["sessionid"].value})
    assert "session.invalid" in [event.event_type for event in security(events)]


@pytest.fixture
def silenced() -> Iterator[logging.Logger]:
    """As projects keep what bots do out of the mail to the administrators."""
    logger = logging.getLogger("django.security.DisallowedHost")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    yield logger
    logger.propagate = True
    logger.handlers.clear()


@pytest.mark.urls("tests.support.refusing")
def test_what_a_project_keeps_out_of_its_log_is_told(silenced: logging.Logger, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["example.org"]
    for hands_on in (False, True):
        django_log.connect()
        silenced.propagate = hands_on
        with captured_events() as events:
            assert Client().get("/fine/", HTTP_HOST="evil.example").status_code == 400
        assert [event.event_type for event in security(events)] == ["request.disallowed_host"]


@pytest.mark.parametrize("request_logged", [None, object(), {"path": "/"}, "GET /"])
def test_what_is_logged_with_something_else_than_a_request_is_told(request_logged: Any) -> None:
    with captured_events() as events:
        logging.getLogger("django.security.SuspiciousOperation").warning("odd", extra={"request": request_logged})
    assert events.one("request.suspicious").data == {"kind": "SuspiciousOperation", "reason": "odd"}


class Unlockable(django_log.Handler):
    """As it is on Python 3.13, where `logging` takes a handler's lock without asking whether there is one."""

    def acquire(self) -> None:
        raise TypeError("there is no lock")


def test_a_record_is_told_without_a_lock() -> None:
    handler = Unlockable()
    record = logging.makeLogRecord({"name": "django.security.SuspiciousOperation", "msg": "odd"})
    with captured_events() as events:
        assert handler.lock is None
        assert handler.handle(record)
    assert events.one("request.suspicious").data["reason"] == "odd"


def test_a_record_that_a_filter_holds_back_is_not_told() -> None:
    handler = Unlockable()
    handler.addFilter(lambda record: False)
    with captured_events() as events:
        assert not handler.handle(logging.makeLogRecord({"name": "django.security.SuspiciousOperation"}))
    assert not events


# Sessions and devices


@SERVERS
@pytest.mark.parametrize("path", ["/act/set the password/", "/aact/set the password/", "/api/act/set the password/"])
async def test_a_session_that_is_gone_is_told_whichever_the_view_and_the_server(is_async: bool, path: str) -> None:
    await User.objects.acreate(username="bob")
    with captured_events() as events:
        await ask(is_async, path, cookies={"sessionid": "nosuchsessionnosuchsessionnosuch"})
    expired = events.one("session.expired")
    assert expired.metadata["ip_address"] == ADDRESS
    assert "nosuchsession" not in str(list(events))


@pytest.mark.parametrize("way", ["an async view, ASGI", "the API, ASGI", "an async consumer"])
async def test_a_new_device_is_told_of_asynchronous_servers(way: str) -> None:
    _, prefix = WAYS[way]
    await User.objects.acreate_user("bob", password="correct horse battery staple")
    with captured_events() as events:
        for agent in ("Firefox/144.0", "curl/8"):
            await sign_in(prefix, agent, by_socket="consumer" in way)
            await sync_to_async(wait_published)()
    assert events.one("session.new_device").metadata["user_agent"] == "curl/8"


async def sign_in(prefix: str, agent: str, by_socket: bool) -> None:
    if not by_socket:
        assert (await AsyncClient().get(f"{prefix}{SIGN_IN}/", headers={"user-agent": agent})).status_code == 200
        return
    application = with_events(get_asgi_application(), websocket_urlpatterns)
    socket = WebsocketCommunicator(application, prefix, headers=[(b"user-agent", agent.encode())])
    await socket.connect()
    await socket.send_to(SIGN_IN)
    await socket.receive_from(timeout=10)
    await socket.disconnect()


# Tokens, on streams too


class Choosy(AsyncWebsocketConsumer):
    """For who is signed in."""

    async def connect(self) -> None:
        await (self.accept() if self.scope["user"].is_authenticated else self.close())


@asynccontextmanager
async def opened(transport: str, key: str, address: str = ADDRESS) -> AsyncIterator[None]:
    """Somebody shows a token to a stream or a consumer, which may refuse it."""
    headers = [(b"authorization", f"Token {key}".encode())]
    application = with_events(get_asgi_application(), [path("choosy/", RefusedWebSockets(Choosy.as_asgi()))])  # type: ignore[arg-type]
    connection: Any
    if transport == "sse":
        connection = HttpCommunicator(application, "GET", "/events/stream", headers=headers)
    else:
        connection = WebsocketCommunicator(application, {"websocket": "/ws/events/", "consumer": "/choosy/"}[transport], headers)
    connection.scope["client"] = [address, 1]
    await connection.send_input({"type": "http.request"} if transport == "sse" else {"type": "websocket.connect"})
    await connection.receive_output(timeout=10)
    yield
    await connection.send_input({"type": "http.disconnect" if transport == "sse" else "websocket.disconnect", "code": 1000})
    await connection.wait(timeout=10)


TRANSPORTS = pytest.mark.parametrize("transport", ["sse", "websocket", "consumer"])


@TRANSPORTS
async def test_a_revoked_token_that_is_shown_to_a_stream_is_told_as_what_it_is(transport: str) -> None:
    bob = await User.objects.acreate(username="bob")
    token = await Token.objects.acreate(user=bob)
    key = token.key
    await token.adelete()
    with captured_events() as events:
        async with opened(transport, key):
            await await_for(lambda: events)
        await sync_to_async(wait_published)()
    (event,) = security(events)
    assert (event.event_type, event.user_id, event.data["token_id"]) == ("token.reused", str(bob.pk), tokens.token_id(key))
    assert (event.metadata["ip_address"], event.data["transport"]) == (ADDRESS, "sse" if transport == "sse" else "websocket")
    assert key not in str(event)


@TRANSPORTS
async def test_a_wrong_token_that_is_shown_to_a_stream_is_a_refusal(transport: str) -> None:
    with captured_events() as events:
        async with opened(transport, "f" * 40):
            await await_for(lambda: events)
        await sync_to_async(wait_published)()
    assert [event.event_type for event in security(events)] == ["stream.refused"]


@TRANSPORTS
async def test_a_token_that_opens_a_stream_from_a_second_network_is_told_once(transport: str) -> None:
    bob = await User.objects.acreate(username="bob")
    key = (await Token.objects.acreate(user=bob)).key
    await sync_to_async(wait_published)()
    with captured_events() as events:
        for address in (ADDRESS, ADDRESS, "2001:db8::1", "2001:db8::2", ADDRESS):
            async with opened(transport, key, address):
                pass
            await sync_to_async(wait_published)()
    (event,) = security(events)
    assert (event.event_type, event.user_id, event.data["network"]) == ("token.new_address", str(bob.pk), "2001:db8::/64")
    assert key not in str(event)


@pytest.mark.urls("tests.support.refusing")
@SERVERS
@pytest.mark.parametrize("path", ["/api/fine/", "/api/own/sessions/"])
async def test_a_revoked_token_is_told_whatever_the_answer_says(is_async: bool, path: str) -> None:
    token = await Token.objects.acreate(user=await User.objects.acreate(username="bob"))
    key = token.key
    await token.adelete()
    with captured_events() as events:
        answer = await ask(is_async, path, headers={"authorization": f"Token {key}"})
    assert answer.status_code in (401, 403)
    assert [event.event_type for event in security(events)] == ["token.reused"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://[", "http://x:port", "\xff\xfe", "http://127.0.0.1:1"]
)
async def test_a_socket_that_a_page_of_another_site_opens_is_refused_and_told(origin: str) -> None:
    headers = [(b"origin", origin.encode("latin-1")), (b"host", b"testserver")]
    socket = WebsocketCommunicator(with_events(get_asgi_application()), "/ws/events/", headers)
    socket.scope["client"] = [ADDRESS, 1]
    with captured_events() as events:
        assert (await socket.connect())[0] is False
        await socket.wait(timeout=10)  # a server need not say that who was refused is gone
        await sync_to_async(wait_published)()
    (event,) = security(events)
    assert (event.event_type, event.data) == ("stream.refused", {"transport": "websocket", "reason": "origin"})
    assert event.metadata["ip_address"] == ADDRESS
