"""The wire, as docs/wire.md has it: one contract for every server program and both transports."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from tests.support.server import PROGRAMS, Server, Servers
from tests.support.streams import Refused, Transport
from tests.support.waiting import await_for

TRANSPORTS: tuple[Transport, ...] = ("sse", "websocket")
MISSED = """
import events
from django.db import transaction
with transaction.atomic():
    for n in range(1200):
        events.emit("missed.more", {"n": n})
"""
REFUSAL = {"sse": lambda status, code: status, "websocket": lambda status, code: code}


@pytest.fixture(scope="module", params=PROGRAMS)
def server(request: pytest.FixtureRequest, serve_module: Servers) -> Server:
    settings = {"SSE_KEEPALIVE_TIMEOUT": 0.5, "SSE_MAX_CONNECTIONS_PER_USER": 3, "POLL_INTERVAL": 0.05}
    return serve_module(request.param, **{f"EVENTS_{key}": value for key, value in settings.items()})


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Transport:
    return request.param


async def all_closed(server: Server) -> None:
    """Wait until the server has noticed that the streams of earlier tests are closed."""
    with server.client("admin") as client:
        await await_for(lambda: client.get("/api/events/stats/").json()["connections"] == 0, "all streams to be closed")


async def opens_within(seconds: float, server: Server, transport: Transport) -> None:
    """Wait until alice may open one more stream."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                async with server.stream(transport, "alice"):
                    return
            except Refused:
                await asyncio.sleep(0.02)


async def test_an_event_arrives_as_one_json_object_with_a_cursor(server: Server, transport: Transport) -> None:
    async with server.stream(transport, "alice") as stream:
        assert stream.opened["outcome"] == "fresh"
        epoch, position = stream.opened["cursor"].split(":")
        server.emit(
            "document.uploaded", {"text": "\n\r\u2028 <b>ü</b> 😀"}, user_id=server.accounts["alice"].id, correlation_id="c-1"
        )
        event = await stream.event()
        assert stream.cursor == f"{epoch}:{int(position) + 1}"
    assert list(event) == [
        "id", "type", "category", "priority", "data", "metadata", "user_id", "session_id", "correlation_id", "source_system", "timestamp",
    ]  # fmt: skip
    assert event["type"] == "document.uploaded"
    assert event["category"] == "realtime"
    assert event["priority"] == "normal"
    assert event["data"] == {"text": "\n\r\u2028 <b>ü</b> 😀"}
    assert event["user_id"] == server.accounts["alice"].id
    assert event["correlation_id"] == "c-1"


async def test_events_arrive_in_the_order_of_their_positions_without_gaps(server: Server, transport: Transport) -> None:
    code = "import events\nfor n in range(300): events.emit('load.test', {'n': n})"
    async with server.stream(transport, "alice") as stream:
        server.other.run(code)
        events = await stream.events(300)
    assert [event["data"]["n"] for event in events] == list(range(300))


async def test_a_client_resumes_where_it_was_and_then_is_live(server: Server, transport: Transport) -> None:
    async with server.stream(transport, "alice") as stream:
        server.emit("missed.first")
        await stream.event()
        cursor = stream.cursor
    server.other.run(MISSED)
    async with server.stream(transport, "alice", cursor=cursor) as stream:
        assert stream.opened["outcome"] == "resumed"
        missed = await stream.events(1200)
        server.emit("live.again")
        assert (await stream.event())["type"] == "live.again"
    assert [event["data"]["n"] for event in missed] == list(range(1200))


async def test_last_event_id_goes_before_the_cursor_parameter(server: Server) -> None:
    async with server.sse("alice") as stream:
        before = stream.cursor
        server.emit("missed.one")
        await stream.event()
        after = stream.cursor
    async with server.sse("alice", headers={"Last-Event-ID": str(before)}, cursor=after) as stream:
        assert (await stream.event())["type"] == "missed.one"


@pytest.mark.parametrize("cursor", ["abcdef012345:1", "CURRENT:999999999"])
async def test_a_cursor_that_leads_nowhere_is_told_as_a_gap(server: Server, transport: Transport, cursor: str) -> None:
    async with server.stream(transport, "alice") as stream:
        epoch, position = stream.opened["cursor"].split(":")
    async with server.stream(transport, "alice", cursor=cursor.replace("CURRENT", epoch)) as stream:
        assert stream.opened["outcome"] == "gap"
        assert int(stream.opened["cursor"].split(":")[1]) >= int(position)
        server.emit("after.gap")
        assert (await stream.event())["type"] == "after.gap"


async def test_only_what_the_filters_let_through_arrives(server: Server, transport: Transport) -> None:
    wanted = {"types": "document.*,*.failed", "categories": "realtime,workflow", "min_priority": "high"}
    async with server.stream(transport, "alice", **wanted) as stream:
        server.emit("document.other", {}, priority="normal")
        server.emit("other.thing", {}, priority="high")
        server.emit("document.wanted", {}, priority="high")
        server.emit("job.failed", {}, priority="critical", category="workflow")
        found = [await stream.event() for _ in range(3)]
    # The workflow event is urgent, so a realtime event was derived from it.
    assert [(event["type"], event["category"]) for event in found] == [
        ("document.wanted", "realtime"),
        ("job.failed", "workflow"),
        ("job.failed", "realtime"),
    ]
    assert found[2]["metadata"]["derived_from"] == found[1]["id"]
    assert found[2]["metadata"]["notification"] is True


async def test_events_that_are_filtered_out_still_move_the_cursor(server: Server, transport: Transport) -> None:
    async with server.stream(transport, "alice", types="never.this") as stream:
        epoch, position = stream.opened["cursor"].split(":")
        server.emit("document.uploaded")
        reached = f"{epoch}:{int(position) + 1}"
        while stream.cursor != reached:
            await stream.next()


async def test_a_heartbeat_comes_when_nothing_else_does_and_carries_no_event(server: Server, transport: Transport) -> None:
    async with server.stream(transport, "alice") as stream:
        assert stream.opened["heartbeat"] == 0.5
        frame = await stream.next_of("heartbeat", timeout=5)
        assert "id" not in frame.data


async def test_users_see_their_own_events_and_those_for_everyone(server: Server, transport: Transport) -> None:
    alice, bob = server.accounts["alice"].id, server.accounts["bob"].id
    async with server.stream(transport, "alice") as stream:
        server.emit("for.bob", {}, user_id=bob)
        server.emit("for.alice", {}, user_id=alice)
        server.emit("for.everyone")
        seen = [await stream.event() for _ in range(2)]
    assert [event["type"] for event in seen] == ["for.alice", "for.everyone"]


@pytest.mark.parametrize("category", ["security", "audit", "monitoring", "analytics"])
async def test_staff_categories_reach_who_may_view_them_and_never_the_user_they_are_about(
    server: Server, transport: Transport, category: str
) -> None:
    alice, sam = server.accounts["alice"].id, server.accounts["sam"].id
    async with (
        server.stream(transport, "alice") as alices,
        server.stream(transport, "sam") as sams,
        server.stream(transport, "admin") as admins,
    ):
        server.emit("secret.thing", {}, category=category, user_id=alice, priority="critical")
        server.emit("secret.thing", {}, category=category, user_id=sam)
        server.emit("the.end")
        assert await alices.events_until("the.end") == []
        assert await sams.events_until("the.end") == []
        seen = await admins.events_until("the.end")
    assert {event["category"] for event in seen} == {category, "realtime"} | ({"audit"} if category == "security" else set())


async def test_the_address_of_an_emitter_is_not_told_to_users(server: Server, transport: Transport) -> None:
    async with server.stream(transport, "alice") as alices, server.stream(transport, "admin") as admins:
        metadata = {"ip_address": "192.0.2.7", "user_agent": "x", "room": "blue"}
        server.emit("public.thing", {}, metadata=metadata)
        server.emit("staff.thing", {}, metadata=metadata, category="monitoring")
        seen = await alices.event()
        assert seen["metadata"] == {"room": "blue"} | {"actor": seen["metadata"]["actor"]}
        await admins.event()
        assert (await admins.event())["metadata"]["ip_address"] == "192.0.2.7"


async def test_streaming_events_come_without_a_cursor_and_are_not_kept(server: Server, transport: Transport) -> None:
    """Emitted in the server's own process, over the API: without a channel layer they don't cross processes."""
    async with server.stream(transport, "admin") as stream:
        before = stream.cursor
        with server.client(headers={"Authorization": f"Token {server.accounts['admin'].token}"}) as client:
            answer = client.post("/api/events/", json={"type": "chat.token", "category": "streaming", "data": {"t": "Hel"}})
            assert answer.status_code == 201, answer.text
        frame = await stream.next_of("event")
        assert frame.data["data"] == {"t": "Hel"}
        assert frame.cursor is None
    async with server.stream(transport, "admin", cursor=before) as stream:
        server.emit("the.end")
        assert await stream.events_until("the.end") == []


async def test_a_token_opens_a_stream(server: Server, transport: Transport) -> None:
    async with server.stream(transport, token=server.accounts["alice"].token) as stream:
        server.emit("for.alice", {}, user_id=server.accounts["alice"].id)
        assert (await stream.event())["type"] == "for.alice"


@pytest.mark.parametrize("who", [{}, {"token": "wrong"}, {"session": "wrong"}, {"user": "alice", "token": "wrong"}])
async def test_who_is_not_signed_in_is_refused(server: Server, transport: Transport, who: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        async with server.stream(transport, **who):
            pass
    assert refused.value.status == REFUSAL[transport](401, 4401)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("types", "Document.*"), ("types", "a*b*c*d"), ("types", ""), ("categories", "gossip"), ("min_priority", "urgent"),
        ("category", "security"), ("cursor", ""), ("cursor", "nonsense"), ("cursor", "x:-1"), ("cursor", "\u0000:1"),
    ],
)  # fmt: skip
async def test_a_malformed_parameter_is_named_in_the_refusal(
    server: Server, transport: Transport, field: str, value: str
) -> None:
    with pytest.raises(Refused) as refused:
        async with server.stream(transport, "alice", **{field: value}):
            pass
    assert refused.value.status == REFUSAL[transport](400, 4400)
    assert refused.value.body["error"] == "invalid"
    assert refused.value.body["field"] == field
    assert refused.value.body["detail"].startswith(f"{field}: ")


async def test_a_user_has_a_limit_of_streams_that_closing_gives_back(server: Server, transport: Transport) -> None:
    await all_closed(server)
    async with server.stream(transport, "alice"), server.stream(transport, "alice"):
        async with server.stream(transport, "alice"):
            with pytest.raises(Refused) as refused:
                async with server.stream(transport, "alice"):
                    pass
            assert refused.value.status == REFUSAL[transport](429, 4429)
            assert refused.value.body["error"] == "too_many_connections"
            async with server.stream(transport, "bob"):
                pass
        await opens_within(5, server, transport)


async def test_a_websocket_of_another_origin_is_refused_before_the_handshake(server: Server) -> None:
    with pytest.raises(Refused) as refused:
        async with server.websocket("alice", origin="https://evil.example"):
            pass
    assert refused.value.status == 403


async def test_a_websocket_without_origin_is_no_browsers_and_opens(server: Server) -> None:
    async with server.websocket("alice", origin="") as stream:
        assert stream.opened["outcome"] == "fresh"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT"])
def test_only_get_opens_an_sse_stream(server: Server, method: str) -> None:
    with server.client("alice") as client:
        assert client.request(method, "/events/stream").status_code == 405


async def test_headers_keep_proxies_from_buffering(server: Server) -> None:
    async with server.sse("alice") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "no-cache" in stream.headers["cache-control"]
        assert "no-transform" in stream.headers["cache-control"]
        assert stream.headers["x-accel-buffering"] == "no"


async def test_sse_frames_are_unnamed_unless_names_are_asked_for(server: Server) -> None:
    async with server.sse("alice") as plain, server.sse("alice", named=1) as named:
        server.emit("document.uploaded")
        assert (await plain.next_of("event")).name is None
        assert (await named.next_of("event")).name == "document.uploaded"
    with server.client("alice") as client:
        answer = client.get("/events/stream", params={"named": "yes"})
        assert (answer.status_code, answer.json()["field"]) == (400, "named")


async def test_websocket_messages_hold_one_event_unless_batches_are_asked_for(server: Server) -> None:
    async with server.websocket("alice") as stream:
        cursor = stream.opened["cursor"]
        for number in range(20):
            server.emit("document.uploaded", {"number": number})
        await stream.events(20)  # the server has heard of them all
    async with server.websocket("alice", cursor=cursor) as single, server.websocket("alice", cursor=cursor, batch=1) as batched:
        for stream, beside in ((single, 0), (batched, 19)):
            frames = [await stream.next_of("event") for _ in range(20)]
            assert [frame.data["data"]["number"] for frame in frames] == list(range(20))
            assert {frame.beside for frame in frames} == {beside}
            assert len({frame.cursor for frame in frames}) == 20
        server.emit("document.uploaded")
        assert (await batched.next_of("event")).beside == 0
    with pytest.raises(Refused) as refused:
        async with server.websocket("alice", batch="yes"):
            pass
    assert (refused.value.status, refused.value.body["field"]) == (4400, "batch")


def test_the_greeting_is_one_named_event_without_id_followed_by_the_cursor(server: Server) -> None:
    with httpx.stream(
        "GET", f"{server.url}/events/stream", cookies={"sessionid": server.accounts["alice"].session}, trust_env=False
    ) as answer:
        lines = answer.iter_lines()
        first = [next(lines) for _ in range(5)]
    greeting = json.loads(first[1].removeprefix("data: "))
    assert first[0] == "event: stream:open"
    assert greeting["stream"] == "open"
    assert first[2:] == ["", f"id: {greeting['cursor']}", ""]
