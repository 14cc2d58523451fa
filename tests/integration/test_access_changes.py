"""Who may see less than before loses their open streams, in every process, though nothing but the database connects them."""

from __future__ import annotations

from contextlib import AsyncExitStack, closing

import pytest

from tests.support.server import Server, Servers
from tests.support.streams import Refused, Stream, Transport

PREAMBLE = """
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from rest_framework.authtoken.models import Token, TokenProxy
def user(name): return User.objects.get(username=name)
permission = Permission.objects.get(codename="view_security_events")
"""


@pytest.fixture(scope="module")
def servers(serve_module: Servers) -> tuple[Server, Server]:
    """Two processes without a channel layer between them."""
    first = serve_module(EVENTS_POLL_INTERVAL="0.2", EVENTS_SSE_MAX_CONNECTIONS_PER_USER="20")
    return first, serve_module(like=first, EVENTS_POLL_INTERVAL="0.2", EVENTS_SSE_MAX_CONNECTIONS_PER_USER="20")


@pytest.fixture(params=["sse", "websocket"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return request.param


async def streams_of(
    stack: AsyncExitStack, servers: tuple[Server, Server], transport: Transport, name: str, **how: str
) -> list[Stream]:
    """A stream of the user on each server."""
    return [await stack.enter_async_context(server.stream(transport, name, **how)) for server in servers]


async def reasons(streams: list[Stream]) -> list[str]:
    """Why each was closed."""
    return [(await stream.close_frame())["reason"] for stream in streams]


async def test_signing_out_closes_the_streams_of_that_session_and_no_other(
    servers: tuple[Server, Server], transport: Transport
) -> None:
    first, _ = servers
    with closing(first.sign_in("alice")) as browser:
        session = browser.cookies["sessionid"]
        async with AsyncExitStack() as stack:
            signed_out = await streams_of(stack, servers, transport, "", session=session)
            others = await streams_of(stack, servers, transport, "alice")
            form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
            assert browser.post("/accounts/logout/", data=form, headers={"Referer": first.url}).status_code == 302
            assert await reasons(signed_out) == ["signed_out"] * 2
            first.emit("still.here")
            assert [(await stream.event())["type"] for stream in others] == ["still.here"] * 2
    with pytest.raises(Refused):
        async with first.stream(transport, session=session):
            pass


@pytest.mark.parametrize(
    ("name", "grant", "change", "how"),
    [
        ("alice", "", "u = user('alice'); u.is_active = False; u.save()", "session"),
        ("alice", "", "u = user('alice'); u.set_password('another one'); u.save()", "session"),
        ("alice", "", "Token.objects.get(user=user('alice')).delete()", "token"),
        ("alice", "", "TokenProxy.objects.get(user=user('alice')).delete()", "token"),  # as the admin does
        ("admin", "", "u = user('admin'); u.is_superuser = False; u.save(update_fields=['is_superuser'])", "session"),
        ("sam", "user('sam').user_permissions.add(permission)", "user('sam').user_permissions.remove(permission)", "session"),
        ("sam", "user('sam').user_permissions.add(permission)", "permission.user_set.clear()", "session"),
        (
            "sam",
            "g = Group.objects.create(name='g'); g.permissions.add(permission); user('sam').groups.add(g)",
            "Group.objects.get(name='g').permissions.clear()",
            "session",
        ),
    ],
    ids=[
        "deactivated",
        "new password",
        "token",
        "token in the admin",
        "no superuser",
        "permission",
        "permission's users",
        "group's permission",
    ],
)
async def test_losing_access_closes_the_streams_in_every_process(
    serve: Servers, transport: Transport, name: str, grant: str, change: str, how: str
) -> None:
    first = serve(EVENTS_POLL_INTERVAL="0.2")
    servers = first, serve(like=first, EVENTS_POLL_INTERVAL="0.2")
    first.other.run(PREAMBLE + grant)
    credential = {"token": first.accounts[name].token} if how == "token" else {}
    async with AsyncExitStack() as stack:
        concerned = await streams_of(stack, servers, transport, "" if credential else name, **credential)
        unconcerned = await streams_of(stack, servers, transport, "bob")
        first.other.run(PREAMBLE + change)
        assert await reasons(concerned) == ["access_changed"] * 2
        first.emit("still.here")
        assert [(await stream.event())["type"] for stream in unconcerned] == ["still.here"] * 2


async def test_a_change_that_is_rolled_back_or_takes_nothing_away_closes_nothing(
    servers: tuple[Server, Server], transport: Transport
) -> None:
    first, _ = servers
    async with AsyncExitStack() as stack:
        streams = await streams_of(stack, servers, transport, "bob")
        first.other.run(
            PREAMBLE
            + "u = user('bob'); u.first_name = 'Bob'; u.save()\n"
            + "with transaction.atomic():\n  u.is_active = False; u.save(); transaction.set_rollback(True)"
        )
        first.emit("still.here")
        assert [(await stream.event())["type"] for stream in streams] == ["still.here"] * 2


async def test_what_the_hubs_tell_each_other_is_shown_to_nobody(servers: tuple[Server, Server]) -> None:
    first, _ = servers
    first.other.run(PREAMBLE + "user('bob').save()")
    with first.client("admin") as admin:
        shown = [event["type"] for event in admin.get("/api/events/?types=stream.access_changed").json()["results"]]
    assert shown == []
    replayed = first.manage("replay_events", "--to", "browsers", "--types", "stream.*", "--dry-run")
    assert "access_changed" not in replayed.stdout


async def test_a_stream_must_reconnect_when_it_reaches_its_age(serve: Servers, transport: Transport) -> None:
    server = serve(EVENTS_SSE_MAX_CONNECTION_AGE="1")
    async with server.stream(transport, "alice") as stream:
        cursor = stream.cursor
        assert (await stream.close_frame())["reason"] == "connection_expired"
    async with server.stream(transport, "alice", cursor=cursor) as stream:
        assert stream.opened["outcome"] == "resumed"
