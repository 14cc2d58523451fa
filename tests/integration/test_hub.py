"""The hub within one process, with the real journal and publisher."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from events import aemit
from events.delivery.client import Client
from events.delivery.frames import Message, WebSocketWire
from events.delivery.hub import Hub
from events.filters import EventFilter

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
    emitting = asyncio.gather(*[aemit("load.test", {"n": n}) for n in range(300)])
    looks = 0
    while not emitting.done():
        await hub._read_on()
        looks += 1
    assert all(await emitting)
    await hub._read_on()
    assert looks > 1
    greeting, *events = [message["text"] for message in messages if "text" in message]
    assert '"stream":"open"' in greeting
    assert [text.partition('"n":')[2].partition("}")[0] for text in events] == [str(n) for n in range(300)]
