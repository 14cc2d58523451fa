"""Finds the clients that an event is for by its audience, without looking at the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from events.delivery.client import Client
from events.delivery.frames import Wire
from events.filters import EventFilter


@dataclass(slots=True)
class Group:
    """Clients of one audience that want the same in the same format, and so get the same bytes."""

    filter: EventFilter
    wire: Wire
    clients: set[Client] = field(default_factory=set)


class ClientIndex:
    """All live clients of a hub."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()
        self._groups: dict[str, dict[tuple[EventFilter, str], Group]] = {}

    def add(self, client: Client) -> None:
        """A client goes live."""
        self._clients.add(client)
        key = (client.filter, client.wire.key)
        for audience in client.audiences:
            groups = self._groups.setdefault(audience, {})
            groups.setdefault(key, Group(client.filter, client.wire)).clients.add(client)

    def discard(self, client: Client) -> None:
        """A client is gone; harmless if it never was here."""
        if client not in self._clients:
            return
        self._clients.discard(client)
        key = (client.filter, client.wire.key)
        for audience in client.audiences:
            groups = self._groups[audience]
            groups[key].clients.discard(client)
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
