"""Closes the streams of who may see less than when they opened them, or is somebody else by now."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import orjson

from events.access import is_staff_audience
from events.batch import Published
from events.delivery.authentication import Credential, Identity
from events.delivery.client import Client
from events.delivery.threads import DatabaseThreads
from events.stats import stats

logger = logging.getLogger("events.hub")

# A session is signed out a moment before it is gone: as long, it opens no stream.
SIGN_OUT_TAKES: Final = 5.0
# Changes that are remembered for those who open a stream meanwhile.
RECENT: Final = 1_000


class AccessWatch:
    """Looks after the open streams of a hub. `changes` counts what it was told, for who opens a stream meanwhile."""

    def __init__(self, clients: Iterable[Client], close: Callable[[Client, str], None], threads: DatabaseThreads) -> None:
        self.changes = 0
        self._clients = clients
        self._close = close
        self._threads = threads
        self._recent: deque[str | None] = deque(maxlen=RECENT)
        self._signed_out: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def is_signed_out(self, credential: Credential) -> bool:
        """Whether it is of a session that was signed out just now."""
        return self._signed_out.get(credential.session or "", 0.0) > time.monotonic()

    def has_changed(self, identity: Identity, seen: int) -> bool:
        """Whether a change after the first `seen` ones concerns the identity."""
        missed = self.changes - seen
        recent = list(self._recent)[-missed:] if missed else []
        return len(recent) < missed or any(_concerns(identity, user_id) for user_id in recent)

    def changed(self, events: Sequence[Published]) -> None:
        """Somebody's access changed (`events.access_changes`)."""
        for event in events:
            told = orjson.loads(event.body)["data"]
            self.changes += 1
            self._recent.append(told["user_id"])
            concerned = [client for client in self._clients if _concerns(client, told["user_id"])]
            if told["session"]:
                self._sign_out(told["session"], concerned)
            if concerned:
                task = asyncio.get_running_loop().create_task(self._look_again(concerned))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _sign_out(self, session: str, clients: Sequence[Client]) -> None:
        now = time.monotonic()
        self._signed_out = {known: until for known, until in self._signed_out.items() if until > now}
        self._signed_out[session] = now + SIGN_OUT_TAKES
        for client in clients:
            if client.credential and client.credential.session == session:
                self._close(client, "signed_out")

    async def _look_again(self, clients: Sequence[Client]) -> None:
        found: dict[Credential, Identity | None] = {}
        for client in clients:
            if client.credential is None or client.closed:
                continue
            if client.credential not in found:
                found[client.credential] = await self._identify(client.credential)
            now = found[client.credential]
            if now is None or (now.user_id, now.audiences) != (client.user_id, client.audiences):
                self._close(client, "access_changed")

    async def _identify(self, credential: Credential) -> Identity | None:
        """Whose it is now; None if that can't be found out, and then the stream is closed too."""
        try:
            return await self._threads.run(credential.identify)
        except Exception:
            stats.count("hub_errors")
            logger.exception("Whether a stream may stay open can't be found out; it is closed")
            return None


def _concerns(whose: Client | Identity, user_id: str | None) -> bool:
    """A change that names no user is one of permissions, which only staff have."""
    return whose.user_id == user_id if user_id is not None else any(map(is_staff_audience, whose.audiences))
