"""Every event gets actor, request id, address, session and correlation, wherever it is emitted."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.request import Request
from rest_framework.response import Response

from events import aemit, emit
from events.context import ScopeContextMiddleware, current_context, session_label
from events.models import JournalEntry
from events.testing import Captured
from tests.support.databases import Databases, base_environment
from tests.support.paths import ROOT
from tests.support.remote import DjangoProcess

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\Z")
ACCEPTED = ["a", "abc-123", "A.b_c:d-e", "x" * 64, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
REFUSED = ["", "x" * 65, "two words", "<script>", "a;b", "ä", 'quote"', "a/b", "tab\there"]


class Gate:
    """Where the waiting views wait until all of them are there."""

    barrier: asyncio.Barrier


def sync_view(request: HttpRequest) -> JsonResponse:
    emit("view.ran", {"n": request.GET.get("n")})
    return JsonResponse({})


async def async_view(request: HttpRequest) -> JsonResponse:
    await aemit("view.ran", {"n": request.GET.get("n")})
    return JsonResponse({})


async def waiting_view(request: HttpRequest) -> JsonResponse:
    await Gate.barrier.wait()
    await aemit("view.ran", {"n": request.GET["n"]})
    await Gate.barrier.wait()
    await aemit("view.ran", {"n": request.GET["n"]})
    return JsonResponse({})


@api_view(["POST"])
@authentication_classes([TokenAuthentication])
def token_view(request: Request) -> Response:
    emit("view.ran")
    return Response({})


def streaming_view(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        for _ in range(2):
            emit("view.ran")
            yield b"part"

    return StreamingHttpResponse(parts())


async def async_streaming_view(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(2):
            await aemit("view.ran")
            yield b"part"

    return StreamingHttpResponse(parts())


urlpatterns = [
    path("streaming/", streaming_view),
    path("async-streaming/", async_streaming_view),
    path("sync/", sync_view),
    path("async/", async_view),
    path("waiting/", waiting_view),
    path("token/", token_view),
]


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


def actor_of(user: User) -> dict[str, str]:
    return {"type": "user", "id": str(user.pk), "label": user.username}


@pytest.mark.parametrize("view", ["sync", "async"])
def test_a_view_gives_its_events_everything_it_knows(view: str, client: Client, alice: User, captured_events: Captured) -> None:
    client.force_login(alice)
    captured_events.clear()
    response = client.get(f"/{view}/", headers={"user-agent": "Browser/1.0"}, REMOTE_ADDR="192.0.2.7")
    event = captured_events.one("view.ran")
    assert event.metadata == {
        "actor": actor_of(alice),
        "request_id": response.headers["X-Request-ID"],
        "ip_address": "192.0.2.7",
        "user_agent": "Browser/1.0",
    }
    assert UUID.match(response.headers["X-Request-ID"])
    assert event.correlation_id == response.headers["X-Request-ID"]
    assert event.session_id == session_label(client.session.session_key)
    assert event.user_id is None, "who did it is not whose business it is"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("view", ["streaming", "async-streaming"])
async def test_what_a_response_streams_has_the_context_of_its_request(view: str, captured_events: Captured) -> None:
    alice = await User.objects.acreate(username="alice")
    client = AsyncClient()
    await client.aforce_login(alice)
    captured_events.clear()
    response = await client.get(f"/{view}/")
    parts = response.streaming_content
    body = b"".join([part async for part in parts] if response.is_async else await sync_to_async(list)(parts))
    assert body == b"partpart"
    assert [event.metadata["actor"] for event in captured_events] == [actor_of(alice)] * 2
    assert {event.metadata["request_id"] for event in captured_events} == {response.headers["X-Request-ID"]}
    assert current_context().request_id is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("view", ["sync", "async"])
async def test_a_view_gives_the_same_where_an_event_loop_runs(view: str, captured_events: Captured) -> None:
    alice = await User.objects.acreate(username="alice")
    client = AsyncClient()
    await client.aforce_login(alice)
    captured_events.clear()
    response = await client.get(f"/{view}/", headers={"user-agent": "Browser/1.0", "x-correlation-id": "c-7"})
    event = captured_events.one("view.ran")
    assert event.metadata["actor"] == actor_of(alice)
    assert event.metadata["request_id"] == response.headers["X-Request-ID"]
    assert event.metadata["ip_address"] == "127.0.0.1"
    assert event.correlation_id == "c-7"
    assert event.session_id == session_label((await client.asession()).session_key)


@pytest.mark.parametrize("view", ["sync", "async"])
def test_an_anonymous_request_has_no_actor(view: str, client: Client, captured_events: Captured) -> None:
    client.get(f"/{view}/")
    event = captured_events.one("view.ran")
    assert "actor" not in event.metadata
    assert event.session_id is None


def test_the_user_that_a_token_stands_for_is_the_actor_and_the_token_is_told(
    client: Client, alice: User, captured_events: Captured
) -> None:
    token = Token.objects.create(user=alice)
    client.post("/token/", headers={"authorization": f"Token {token.key}"})
    event = captured_events.one("view.ran")
    assert event.metadata["actor"] == actor_of(alice) | {"type": "token"}
    assert token.key not in json.dumps(event.to_dict())


@pytest.mark.parametrize("header", ["X-Request-ID", "X-Correlation-ID"])
@pytest.mark.parametrize("value", ACCEPTED)
def test_well_formed_ids_of_the_client_are_taken(header: str, value: str, client: Client, captured_events: Captured) -> None:
    response = client.get("/sync/", headers={header: value})
    event = captured_events.one("view.ran")
    taken = event.metadata["request_id"] if header == "X-Request-ID" else event.correlation_id
    assert taken == value
    assert response.headers["X-Request-ID"] == event.metadata["request_id"]


@pytest.mark.parametrize("header", ["X-Request-ID", "X-Correlation-ID"])
@pytest.mark.parametrize("value", REFUSED)
def test_other_ids_of_the_client_are_replaced(header: str, value: str, client: Client, captured_events: Captured) -> None:
    response = client.get("/sync/", headers={header: value})
    event = captured_events.one("view.ran")
    assert UUID.match(event.metadata["request_id"])
    assert UUID.match(event.correlation_id or "")
    assert UUID.match(response.headers["X-Request-ID"])


def test_a_user_agent_is_shortened_and_stripped_of_what_can_not_be_printed(client: Client, captured_events: Captured) -> None:
    client.get("/sync/", headers={"user-agent": "Bro\x1b[31mwser" + "x" * 1_000})
    agent = captured_events.one("view.ran").metadata["user_agent"]
    assert agent.startswith("Bro[31mwser")
    assert len(agent) <= 256


@pytest.mark.parametrize(("proxies", "address"), [([], "10.0.0.1"), (["10.0.0.0/8"], "203.0.113.5")])
def test_the_address_is_the_clients_behind_trusted_proxies_only(proxies, address, client, settings, captured_events) -> None:
    settings.EVENTS = {"TRUSTED_PROXIES": proxies}
    client.get("/sync/", headers={"x-forwarded-for": "198.51.100.66, 203.0.113.5"}, REMOTE_ADDR="10.0.0.1")
    assert captured_events.one("view.ran").metadata["ip_address"] == address


def test_a_session_key_is_stored_nowhere(client: Client, alice: User) -> None:
    client.force_login(alice)
    key = client.session.session_key
    client.get("/sync/")
    assert JournalEntry.objects.filter(event_type="view.ran", body__contains=session_label(key)).exists()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table != "django_session":
                cursor.execute(f'SELECT * FROM "{table}"')
                assert not any(key in str(value) for row in cursor.fetchall() for value in row), table


def test_the_address_and_the_browser_of_someone_are_not_shown_to_everyone(client: Client, alice: User) -> None:
    client.force_login(alice)
    client.get("/sync/", headers={"user-agent": "Browser/1.0"})
    entry = JournalEntry.objects.get(event_type="view.ran")
    assert entry.audience == "all"
    assert "127.0.0.1" not in entry.body
    assert "Browser/1.0" not in entry.body
    assert entry.event.metadata["ip_address"] == "127.0.0.1"
    assert entry.event.metadata["user_agent"] == "Browser/1.0"


@pytest.mark.django_db(transaction=True)
async def test_a_hundred_interleaved_requests_each_have_their_own_actor(settings, captured_events: Captured) -> None:
    # WhiteNoise's middleware is synchronous: it would let one request of this client in at a time, and none could wait for others.
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "whitenoise" not in name]
    number, synchronous = 100, 20
    Gate.barrier = asyncio.Barrier(number - synchronous)
    users = [await User.objects.acreate(username=f"user{n}") for n in range(number)]
    clients = [AsyncClient() for _ in users]
    for client, user in zip(clients, users, strict=True):
        await client.aforce_login(user)
    captured_events.clear()

    async def request(n: int) -> None:
        view = "sync" if n < synchronous else "waiting"
        response = await clients[n].get(f"/{view}/?n={n}", headers={"x-request-id": f"request-{n}"})
        assert response.headers["X-Request-ID"] == f"request-{n}"

    async with asyncio.timeout(30):
        await asyncio.gather(*map(request, range(number)))

    seen: dict[int, list[tuple[Any, ...]]] = {}
    for event in captured_events:
        n = int(event.data["n"])
        seen.setdefault(n, []).append(
            (event.metadata["actor"], event.metadata["request_id"], event.correlation_id, event.session_id)
        )
    for n, user in enumerate(users):
        label = session_label((await clients[n].asession()).session_key)
        expected = (actor_of(user), f"request-{n}", f"request-{n}", label)
        assert seen[n] == [expected] * (1 if n < synchronous else 2)


# Consumers


class AsyncEmitter(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await aemit("consumer.received")
        await self.send("done")


class SyncEmitter(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        emit("consumer.received")
        self.send("done")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("consumer", [AsyncEmitter, SyncEmitter])
async def test_a_consumers_events_carry_the_context_of_its_connection(consumer: Any, captured_events: Captured) -> None:
    alice = await User.objects.acreate(username="alice")
    client = AsyncClient()
    await client.aforce_login(alice)
    key = (await client.asession()).session_key
    captured_events.clear()
    headers = [
        (b"cookie", f"{django_settings.SESSION_COOKIE_NAME}={key}".encode()),
        (b"x-request-id", b"r-1"),
        (b"user-agent", b"Browser/1.0"),
    ]
    application = AuthMiddlewareStack(ScopeContextMiddleware(consumer.as_asgi()))
    communicator = WebsocketCommunicator(application, "/", headers)
    communicator.scope["client"] = ["192.0.2.7", 4711]
    await communicator.connect()
    await communicator.send_to(text_data="go")
    assert await communicator.receive_from(5) == "done"
    await communicator.disconnect()

    event = captured_events.one("consumer.received")
    assert event.metadata == {
        "actor": actor_of(alice), "request_id": "r-1", "ip_address": "192.0.2.7", "user_agent": "Browser/1.0"
    }  # fmt: skip
    assert event.correlation_id == "r-1"
    assert event.session_id == session_label(key)


# Commands


def test_a_management_command_is_the_actor_of_its_events(databases: Databases, tmp_path: Path) -> None:
    env = base_environment() | {"DATABASE_URL": databases.create(), "VAR_DIR": str(tmp_path)}
    code = "import events; events.emit('command.ran', {'n': 1}); events.emit('command.ran', {'n': 2})"
    subprocess.run([sys.executable, "manage.py", "shell", "-v", "0", "-c", code], cwd=ROOT, env=env, check=True, timeout=60)
    with DjangoProcess(env) as other:
        found = other.run(
            "from events.models import JournalEntry\n"
            "result = [[e.event.metadata, e.event.data, e.position] for e in JournalEntry.objects.order_by('id')]"
        )
    actor = {"type": "command", "id": None, "label": "shell"}
    assert found == [[{"actor": actor}, {"n": 1}, 1], [{"actor": actor}, {"n": 2}, 2]]
