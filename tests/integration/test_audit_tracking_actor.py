"""An entry says who changed it, wherever the change is made."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.utils.functional import SimpleLazyObject
from rest_framework.authentication import BaseAuthentication, TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.request import Request
from rest_framework.response import Response

from audit.models import AuditEntry
from audit.recorder import values_of
from events import act_as, emit, task_actor
from events.context import Actor, ScopeContextMiddleware, enrich, request_context, use_context, user_actor
from events.delivery.authentication import authenticated
from events.types import create_audit_event
from tests.support.databases import Databases, base_environment
from tests.support.paths import ROOT
from tests.support.remote import DjangoProcess
from tests.support.tracked.models import Article

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


class Machine:
    """A principal that is no user."""

    is_authenticated = True

    def __str__(self) -> str:
        return "scanner 7"


class MachineAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Machine, str]:
        return Machine(), "a key"


class Gate:
    """Where the requests wait until all of them are there."""

    barrier: asyncio.Barrier


async def waiting_view(request: HttpRequest) -> JsonResponse:
    n = request.GET["n"]
    await Gate.barrier.wait()
    article = await Article.objects.acreate(title=n)
    await Gate.barrier.wait()
    article.count = 1
    await article.asave()
    return JsonResponse({})


def view(request: HttpRequest) -> JsonResponse:
    Article.objects.create(title=request.GET.get("n", "x"))
    return JsonResponse({})


def impersonating_view(request: HttpRequest) -> JsonResponse:
    request.impersonator = User.objects.get(username="admin")  # type: ignore[attr-defined]
    return view(request)


@api_view(["POST"])
@authentication_classes([TokenAuthentication])
def token_view(request: Request) -> Response:
    Article.objects.create(title="x")
    return Response({})


@api_view(["POST"])
@authentication_classes([MachineAuthentication])
def machine_view(request: Request) -> Response:
    Article.objects.create(title="x")
    return Response({})


urlpatterns = [
    path("machine/", machine_view),
    path("waiting/", waiting_view),
    path("sync/", view),
    path("impersonating/", impersonating_view),
    path("token/", token_view),
]


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


def one() -> AuditEntry:
    return AuditEntry.objects.get(resource_type="tracked.article")


def who(entry: AuditEntry) -> tuple[str, str, str, str | None, str]:
    return entry.actor_type, entry.actor_id, entry.actor_label, entry.user_id, entry.impersonator


async def test_a_hundred_interleaved_requests_each_record_their_own_user(settings: Any) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "whitenoise" not in name]  # which lets in one at a time
    number = 100
    Gate.barrier = asyncio.Barrier(number)
    users = [await User.objects.acreate(username=f"user{n}") for n in range(number)]
    clients = [AsyncClient() for _ in users]
    for client, user in zip(clients, users, strict=True):
        await client.aforce_login(user)
    async with asyncio.timeout(60):
        answers = [client.get(f"/waiting/?n={n}", headers={"x-request-id": f"r-{n}"}) for n, client in enumerate(clients)]
        await asyncio.gather(*answers)
    entries = [entry async for entry in AuditEntry.objects.filter(resource_type="tracked.article")]
    assert len(entries) == 2 * number
    for entry in entries:
        user = users[int(entry.resource_label)]
        assert who(entry) == ("user", str(user.pk), user.username, str(user.pk), "")
        assert entry.metadata == {"request_id": f"r-{entry.resource_label}"}
        assert (entry.correlation_id, entry.ip_address) == (f"r-{entry.resource_label}", "127.0.0.1")


def test_an_anonymous_visitor_is_nobody(client: Client) -> None:
    client.get("/sync/")
    assert who(one()) == ("", "", "", None, "")


def test_a_token_is_told_by_its_user_and_never_by_its_key(client: Client, alice: User) -> None:
    key = Token.objects.create(user=alice).key
    client.post("/token/", headers={"authorization": f"Token {key}"})
    assert who(one()) == ("token", str(alice.pk), "alice", str(alice.pk), "")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM audit_log")
        assert not [row for row in cursor.fetchall() if key in str(row)]


def test_an_impersonated_user_and_who_is_behind_are_both_told(client: Client, alice: User) -> None:
    User.objects.create_user("admin")
    client.force_login(alice)
    client.get("/impersonating/")
    assert who(one()) == ("user", str(alice.pk), "alice", str(alice.pk), "admin")


def test_an_audit_event_tells_both_too(alice: User) -> None:
    admin = User.objects.create_user("admin")
    with act_as(Actor("user", str(alice.pk), "alice", user_actor(admin))):
        entry = AuditEntry(**values_of(enrich(create_audit_event("report.read"))))
    assert who(entry) == ("user", str(alice.pk), "alice", str(alice.pk), "admin")


def test_a_users_name_stays_when_the_user_is_deleted(client: Client, alice: User) -> None:
    client.force_login(alice)
    client.get("/sync/")
    alice.delete()
    assert one().actor_label == "alice"


def test_a_task_is_told_by_its_name_and_run() -> None:
    with act_as(task_actor("reports.nightly", "run-7")):
        Article.objects.create(title="x")
    assert who(one()) == ("task", "run-7", "reports.nightly", None, "")


def test_a_machine_is_told_by_its_text(client: Client) -> None:
    assert client.post("/machine/").status_code == 200
    assert who(one()) == ("token", "", "scanner 7", None, "")


@pytest.mark.parametrize("is_async", [False, True])
def test_who_looks_the_user_up_is_nobody_yet(is_async: bool, alice: User) -> None:
    def look_up() -> User:
        Article.objects.create(title="seen")
        return alice

    async def auser() -> User:
        return await sync_to_async(look_up)()

    request = HttpRequest()
    request.user = SimpleLazyObject(look_up)  # type: ignore[assignment]
    request.auser = auser  # type: ignore[method-assign]
    with use_context(request_context(request)) as context:
        actor = async_to_sync(context.acurrent_actor)() if is_async else context.current_actor()
    assert actor is not None
    assert actor.label == "alice"
    assert who(one()) == ("", "", "", None, "")


def test_a_thread_is_the_system_unless_it_is_given_the_context(alice: User) -> None:
    def work() -> None:
        try:
            Article.objects.create(title="x")
        finally:
            connection.close()

    with act_as(Actor("user", str(alice.pk), "alice")):
        for run in (lambda work: work(), copy_context().run):
            thread = threading.Thread(target=run, args=[work])
            thread.start()
            thread.join()
    assert list(
        AuditEntry.objects.exclude(event_type="account.created").order_by("id").values_list("actor_label", flat=True)
    ) == ["system", "alice"]


class Consumer(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await database_sync_to_async(Article.objects.create)(title="x")
        await self.send("done")


@pytest.mark.parametrize("by_token", [False, True])
async def test_a_consumer_is_told_by_its_connections_user(by_token: bool) -> None:
    alice = await User.objects.acreate(username="alice")
    token = await Token.objects.acreate(user=alice)
    client = AsyncClient()
    await client.aforce_login(alice)
    credential = (b"authorization", f"Token {token.key}".encode())
    if not by_token:
        credential = (b"cookie", f"sessionid={(await client.asession()).session_key}".encode())
    application = authenticated(ScopeContextMiddleware(Consumer.as_asgi()))
    communicator = WebsocketCommunicator(application, "/", [credential])
    await communicator.connect()
    await communicator.send_to(text_data="go")
    assert await communicator.receive_from(5) == "done"
    await communicator.disconnect()
    entry = await AuditEntry.objects.aget(resource_type="tracked.article")
    assert who(entry) == ("token" if by_token else "user", str(alice.pk), "alice", str(alice.pk), "")


def test_a_command_is_told_by_its_name(databases: Databases, tmp_path: Path) -> None:
    env = base_environment() | {"DATABASE_URL": databases.create(), "VAR_DIR": str(tmp_path)}
    code = (
        "from chatter_site.demo.models import Document; from django.contrib.auth.models import User;"
        "Document.objects.create(owner=User.objects.first(), name='x', size=1)"
    )
    subprocess.run([sys.executable, "manage.py", "shell", "-v", "0", "-c", code], cwd=ROOT, env=env, check=True, timeout=60)
    with DjangoProcess(env) as other:
        found = other.run(
            "from audit.models import AuditEntry\n"
            "result = list(AuditEntry.objects.filter(resource_type='demo.document').values_list('actor_type', 'actor_label'))"
        )
    assert found == [["command", "shell"]]


def test_secrets_of_events_are_not_kept() -> None:
    emit("report.read", {"password": "hunter2", "nested": [{"api_key": "K3Y"}]}, category="audit", metadata={"cookie": "C00KIE"})
    entry = AuditEntry.objects.get()
    assert entry.data == {"password": "[redacted]", "nested": [{"api_key": "[redacted]"}]}
    assert entry.metadata["cookie"] == "[redacted]"
