"""Labelled traffic (`tests.support.traffic`) as real requests: each act is done at its time, and told by the sources."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.authtoken.models import Token

from events import unified_event_manager
from security.sources import tokens
from security.sources.floods import floods
from tests.support.traffic import Act, Planted

PASSWORD: Final = "correct horse battery staple"
# What is told together is looked at together, and summaries come as often as in a server.
STEP: Final = timedelta(seconds=10)


class DateTime(type(datetime)):  # type: ignore[misc]
    """Takes any moment for one of its own."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, datetime)


class Clock(datetime, metaclass=DateTime):
    """In place of `datetime`: it is as late as the act that is done."""

    at: datetime

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        """The act's time."""
        return cls.at

    @classmethod
    def seconds(cls) -> float:
        """The same, as a clock of seconds."""
        return cls.at.timestamp()


def use_clock(patch: Any) -> None:
    """Events are told at the clock's time (`pytest.MonkeyPatch`)."""
    patch.setattr("events.types.datetime", Clock)
    patch.setattr("security.sources.floods.time", SimpleNamespace(monotonic=Clock.seconds))


def some_of(acts: Iterable[Act]) -> Iterator[Act]:
    """Of one in nine of the people, or addresses, all that they did."""
    return (act for act in acts if zlib.crc32((act.username or act.address).encode()) % 9 == 0)


class Site:
    """Does acts. Its accounts are those of the usernames that are known."""

    def __init__(self, acts: Iterable[Act]) -> None:
        self.acts = list(acts)
        names = sorted({act.username for act in self.acts if act.username and act.known})
        password = make_password(PASSWORD)
        User.objects.bulk_create(User(username=name, password=password) for name in names)
        self.users = {user.username: user for user in User.objects.all()}
        Clock.at = self.acts[0].at
        self._revoked = {act.username: self._revoked_token(act.username) for act in self.acts if act.what == "token.reused"}

    def _revoked_token(self, username: str) -> str:
        token = Token.objects.create(user=self.users[username])
        key = token.key
        token.delete()
        return key

    def subjects(self, planted: Planted) -> set[str]:
        """Who is concerned, as detections name them: accounts by their ids, tokens by their names in events."""
        ids = {str(self.users[name].pk) for name in planted.subjects if name in self.users}
        labels = {tokens.token_id(self._revoked[name]) for name in planted.subjects if name in self._revoked}
        return {*planted.subjects, *ids, *labels}

    def play(self) -> None:
        """Do them all, one after the other. Returns when all is told and looked at."""
        until = self.acts[0].at + STEP
        for number, act in enumerate(self.acts):
            if act.at >= until:
                self._settle()
                until = act.at + STEP
            Clock.at = act.at
            DOING[act.what](self, Client(REMOTE_ADDR=act.address), act, number)
        self._settle()

    def _settle(self) -> None:
        floods.flush()
        unified_event_manager.writer.drain()

    def sign_in(self, client: Client, act: Act, password: str, expected: int) -> None:
        """With the form."""
        answer = client.post("/login/", {"username": act.username, "password": password})
        assert answer.status_code == expected

    def show_revoked_token(self, client: Client, act: Act) -> None:
        answer = client.get("/api/fine/", HTTP_AUTHORIZATION=f"Token {self._revoked[act.username]}")
        assert answer.status_code == 401

    def promote(self, client: Client, act: Act) -> None:
        client.force_login(self.users[act.username])
        assert client.get("/promote/").status_code == 200


DOING: Final[dict[str, Callable[[Site, Client, Act, int], Any]]] = {
    "success": lambda site, client, act, number: site.sign_in(client, act, PASSWORD, 302),
    "failure": lambda site, client, act, number: site.sign_in(client, act, "wrong", 200),
    "missing": lambda site, client, act, number: client.get(f"/nothing-{number}/"),
    "refused": lambda site, client, act, number: client.get("/forbid/"),
    "token.reused": lambda site, client, act, number: site.show_revoked_token(client, act),
    "account.permissions_changed": lambda site, client, act, number: site.promote(client, act),
}
