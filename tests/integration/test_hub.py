"""The hub within one process, with the real journal and publisher."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from events import aemit
from events.delivery.client import Client
from events.delivery.frames import Message, SseWire, WebSocketWire, Wire
from events.delivery.hub import Hub
from events.delivery.threads import DatabaseThreads
from events.filters import EventFilter
from tests.support.waiting import await_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub()
    await hub.start()
    yield hub
    await hub.stop()


async def join(hub: Hub) -> list[Message]:
    """What a client gets that is live from now on."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    client = Client(send, lambda: None, WebSocketWire(), "1", frozenset({"all"}), EventFilter())
    assert hub.reserve(client)
    await hub.join(client, None)
    return messages


async def test_looking_at_the_journal_while_events_arrive_is_no_new_epoch(hub: Hub) -> None:
    messages = await join(hub)
    emitting = asyncio.gather(*[aemit("load.test", {"n": n}) for n in range(1_000)])
    looks = 0
    while not emitting.done():
        await hub._feed.read_on()
        looks += 1
    assert all(await emitting)
    await hub._feed.read_on()
    assert looks > 1
    greeting, *events = [message["text"] for message in messages if "text" in message]
    assert '"stream":"open"' in greeting
    assert [text.partition('"n":')[2].partition("}")[0] for text in events] == [str(n) for n in range(1_000)]


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one at a time"])
async def test_a_client_that_is_slow_but_takes_what_it_is_sent_is_not_cut_off(hub: Hub, at_once: bool) -> None:
    """A server that has much to do is behind with everybody: that is no reason to send them away."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        await asyncio.sleep(0.002)
        messages.append(message)

    client = Client(send, lambda: None, WebSocketWire(), "1", frozenset({"all"}), EventFilter())
    assert hub.reserve(client)
    await hub.join(client, None)
    if at_once:
        await asyncio.gather(*[aemit("load.test", {"n": n}) for n in range(400)])
    else:
        for n in range(400):
            await aemit("load.test", {"n": n})
    await await_for(lambda: len(messages) == 401 or client.closed, "the client to get everything")
    assert not client.closed
    assert [json.loads(message["text"])["data"]["n"] for message in messages[1:]] == list(range(400))


async def test_a_client_that_takes_nothing_is_cut_off_when_too_much_waits(hub: Hub, settings) -> None:
    settings.EVENTS = {"SSE_QUEUE_MAXSIZE": 3}
    cut = asyncio.Event()

    async def send(message: Message) -> None:
        if "load.test" in message.get("text", ""):
            await asyncio.Event().wait()

    client = Client(send, cut.set, WebSocketWire(), "1", frozenset({"all"}), EventFilter())
    assert hub.reserve(client)
    await hub.join(client, None)
    async with asyncio.timeout(10):
        while not cut.is_set():
            await aemit("load.test")
            await asyncio.sleep(0.05)
    hub.leave(client)


@pytest.mark.parametrize("wire", [SseWire(), WebSocketWire()])
async def test_a_client_whose_server_makes_each_message_wait_gets_the_whole_end_of_its_stream(hub: Hub, wire: Wire) -> None:
    """As Granian does with WebSockets."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        await asyncio.sleep(0.01)
        messages.append(message)

    client = Client(send, lambda: None, wire, "1", frozenset({"all"}), EventFilter())
    assert hub.reserve(client)
    await hub.join(client, None)
    hub._close(client, "connection_expired")
    await await_for(lambda: messages[1:] == wire.closed("connection_expired"), "the end of the stream")


async def test_a_client_that_does_not_take_the_end_of_its_stream_is_cut_off(hub: Hub) -> None:
    cut = asyncio.Event()

    async def send(message: Message) -> None:
        if "close" in str(message):
            await asyncio.Event().wait()

    client = Client(send, cut.set, SseWire(), "1", frozenset({"all"}), EventFilter())
    assert hub.reserve(client)
    await hub.join(client, None)
    hub._close(client, "connection_expired")
    await asyncio.wait_for(cut.wait(), 5)
    hub.leave(client)


async def test_a_client_that_takes_nothing_of_what_it_missed_is_cut_off(hub: Hub, settings) -> None:
    settings.EVENTS = {"SSE_KEEPALIVE_TIMEOUT": 0.2}
    cut = asyncio.Event()
    cursor = hub._feed.cursor
    await aemit("load.test")

    async def send(message: Message) -> None:
        if "load.test" in message.get("text", ""):
            await asyncio.Event().wait()

    client = Client(send, cut.set, WebSocketWire(), "1", frozenset({"all"}), EventFilter())
    assert hub.reserve(client)
    joining = asyncio.create_task(hub.join(client, cursor))
    await asyncio.wait_for(cut.wait(), 5)
    await joining
    assert client.closed
    hub.leave(client)


async def test_a_thread_that_could_not_begin_once_to_read_the_head_is_asked_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = DatabaseThreads("stopped", 1)
    stopped.stop()
    with monkeypatch.context() as broken, pytest.raises(RuntimeError, match="cannot schedule"):
        broken.setattr(hub, "_resumers", stopped)
        await hub._read_head()
    assert (await hub._read_head()).epoch == hub._feed.epoch
