"""Who an event comes from and where: the parts of the context, without requests."""

from __future__ import annotations

import asyncio
import re
import sys
import threading

import pytest
from asgiref.sync import sync_to_async

from events import act_as, correlate
from events.client_ip import client_ip
from events.context import Actor, Context, current_context, enrich, process_context, scope_context, session_label, use_context
from events.types import EventCategory, UnifiedEvent

UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\Z")
FULL = Context(Actor("user", "7", "alice"), "r-1", "c-1", "192.0.2.1", "Browser/1.0", "label")


def event(**fields) -> UnifiedEvent:
    return UnifiedEvent(EventCategory.REALTIME, "a.b", **fields)


def test_an_event_is_completed_with_what_the_context_knows() -> None:
    with use_context(FULL):
        completed = enrich(event(metadata={"own": 1}))
    assert completed.metadata == {
        "own": 1,
        "actor": {"type": "user", "id": "7", "label": "alice"},
        "request_id": "r-1",
        "ip_address": "192.0.2.1",
        "user_agent": "Browser/1.0",
    }
    assert (completed.session_id, completed.correlation_id, completed.user_id) == ("label", "c-1", None)


def test_what_the_event_says_itself_goes_before_the_context() -> None:
    own = event(
        metadata={
            "actor": {"type": "system", "id": None, "label": "nightly"},
            "ip_address": "198.51.100.9",
            "request_id": "mine",
        },
        session_id="own session",
        correlation_id="own correlation",
    )
    with use_context(FULL):
        completed = enrich(own)
    assert completed.metadata == own.metadata | {"user_agent": "Browser/1.0"}
    assert (completed.session_id, completed.correlation_id) == ("own session", "own correlation")


def test_completing_changes_neither_the_event_nor_its_metadata() -> None:
    own = event(metadata={"own": 1})
    with use_context(FULL):
        enrich(own)
    assert own.metadata == {"own": 1}
    assert own.correlation_id is None


def test_outside_of_any_request_the_system_is_the_actor() -> None:
    assert enrich(event()).metadata == {"actor": {"type": "system", "id": None, "label": "system"}}


@pytest.mark.parametrize(
    ("argv", "actor"),
    [
        (["manage.py", "prune_events", "--days", "3"], Actor("command", None, "prune_events")),
        (["/somewhere/django-admin", "migrate"], Actor("command", None, "migrate")),
        (["/site-packages/django/__main__.py", "migrate"], Actor("command", None, "migrate")),
        (["manage.py"], Actor("system", None, "system")),
        (["/usr/bin/uvicorn", "site.asgi"], Actor("system", None, "system")),
    ],
)
def test_a_management_command_is_its_process_actor(argv: list[str], actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert process_context.__wrapped__() == Context(actor)


def test_correlate_gives_one_id_to_all_events_of_the_block() -> None:
    with correlate("order-7") as given:
        assert given == enrich(event()).correlation_id == enrich(event()).correlation_id == "order-7"
    assert enrich(event()).correlation_id is None


def test_correlate_makes_an_id_of_its_own_and_nests() -> None:
    with correlate() as outer:
        assert UUID.match(outer)
        with correlate() as inner:
            assert inner != outer
            assert enrich(event()).correlation_id == inner
        assert enrich(event()).correlation_id == outer


def test_act_as_changes_the_actor_and_nothing_else() -> None:
    robot = Actor("token", "9", "robot")
    with use_context(FULL), act_as(robot):
        completed = enrich(event())
    assert completed.metadata["actor"] == {"type": "token", "id": "9", "label": "robot"}
    assert completed.correlation_id == "c-1"


def test_the_context_is_restored_after_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), use_context(FULL), correlate("x"):
        raise ZeroDivisionError
    assert current_context() is process_context()


async def test_the_context_goes_along_into_tasks_and_threads_of_sync_code_and_not_into_other_tasks() -> None:
    seen = {}
    ready = asyncio.Event()

    async def other() -> None:
        ready.set()
        await asyncio.sleep(0)
        seen["sibling"] = current_context().correlation_id

    sibling = asyncio.create_task(other())
    with correlate("mine"):
        await ready.wait()
        seen["task"] = await asyncio.create_task(asyncio.to_thread(lambda: current_context().correlation_id))
        seen["sync"] = await sync_to_async(lambda: current_context().correlation_id)()
    await sibling
    assert seen == {"sibling": None, "task": "mine", "sync": "mine"}


def test_a_plain_thread_starts_without_context() -> None:
    seen: list[Context] = []
    with use_context(FULL):
        thread = threading.Thread(target=lambda: seen.append(current_context()))
        thread.start()
        thread.join()
    assert seen == [process_context()]


def test_a_session_label_is_the_same_each_time_and_tells_sessions_apart_and_keys_not(settings) -> None:
    label = session_label("the-session-key")
    assert label == session_label("the-session-key")
    assert label != session_label("the-session-kez")
    assert re.fullmatch(r"[0-9a-f]{32}", label or "")
    assert session_label(None) is session_label("") is None
    settings.SECRET_KEY = "another key: without it nobody can try session keys against a log"
    assert session_label("the-session-key") != label


# The client's address

PROXIES = ["10.0.0.0/8", "2001:db8:1::/48"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.5", "192.0.2.1"),  # the peer is no proxy of ours: it may write what it likes
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "198.51.100.66, 203.0.113.5", "203.0.113.5"),  # the left one is the client's own writing
        ("10.0.0.1", "198.51.100.66, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
        ("10.0.0.1", "203.0.113.5,10.0.0.3,  10.0.0.2", "203.0.113.5"),
        ("10.0.0.1", "10.0.0.9", "10.0.0.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5, garbage", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5, <script>, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "2001:db8:2::7", "2001:db8:2::7"),
        ("2001:db8:1::1", "203.0.113.5", "203.0.113.5"),
        ("::ffff:10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("::ffff:192.0.2.1", None, "192.0.2.1"),
        ("2001:DB8:0:0::1", None, "2001:db8::1"),
        (None, "203.0.113.5", None),
        ("", None, None),
        ("unix:", "203.0.113.5", None),
    ],
)
def test_forwarded_addresses_are_believed_as_far_as_our_own_proxies_go(settings, peer, forwarded, address) -> None:
    settings.EVENTS = {"TRUSTED_PROXIES": PROXIES}
    assert client_ip(peer, forwarded) == address


def test_without_proxies_the_header_is_never_believed(settings) -> None:
    settings.EVENTS = {}
    assert client_ip("127.0.0.1", "203.0.113.5") == "127.0.0.1"


# ASGI scopes


def test_a_scope_without_user_session_or_client_gives_a_context_with_fresh_ids() -> None:
    context = scope_context({"type": "websocket"})
    assert (context.actor, context.ip_address, context.user_agent, context.session_id) == (None, None, None, None)
    assert UUID.match(context.request_id or "")
    assert context.correlation_id == context.request_id


def test_a_scopes_headers_are_read_as_a_requests_are(settings) -> None:
    settings.EVENTS = {"TRUSTED_PROXIES": PROXIES}
    headers = {"x-request-id": "r-9", "x-correlation-id": "c-9", "x-forwarded-for": "203.0.113.5", "user-agent": "Br\x07owser"}
    scope = {"client": ["10.0.0.1", 4711], "headers": [(n.encode(), v.encode()) for n, v in headers.items()]}
    context = scope_context(scope)
    assert (context.request_id, context.correlation_id) == ("r-9", "c-9")
    assert (context.ip_address, context.user_agent) == ("203.0.113.5", "Browser")
