"""Finds the clients that an event is for by its audience, without looking at the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from events.delivery.client import Client
from events.delivery.frames import Wire
from events.filters import EventFilter


@dataclass(slots=True)
class Group:
    """Clients of one audience that want the same in the same format, and so get the same bytes. They are kept in the order in which
    they came: thousands are gone through faster in the order in which they lie in memory."""

    filter: EventFilter
    wire: Wire
    clients: dict[Client, None] = field(default_factory=dict)


class ClientIndex:
    """All live clients of a hub."""

    def __init__(self) -> None:
        self._clients: dict[Client, None] = {}
        self._groups: dict[str, dict[tuple[EventFilter, str], Group]] = {}

    def add(self, client: Client) -> None:
        """A client goes live."""
        self._clients[client] = None
        key = (client.filter, client.wire.key)
        for audience in client.audiences:
            group = self._groups.setdefault(audience, {}).setdefault(key, Group(client.filter, client.wire))
            group.clients[client] = None
            client.filter, client.wire = group.filter, group.wire  # thousands share what they have alike

    def discard(self, client: Client) -> None:
        """A client is gone; harmless if it never was here."""
        if client not in self._clients:
            return
        del self._clients[client]
        key = (client.filter, client.wire.key)
        for audience in client.audiences:
            groups = self._groups[audience]
            groups[key].clients.pop(client, None)
            if not groups[key].clients:
                del groups[key]
            if not groups:
                del self._groups[audience]

    def groups(self, audience: str) -> Iterable[Group]:
        """The clients of an audience."""
        return self._groups.get(audience, {}).values()

    def all(self) -> list[Client]:
        """Every client, in a list of its own: closing a client changes the index."""
        return list(self._clients)
