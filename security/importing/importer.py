"""From the lines of a log to security events, in batches, each once however often the log is read."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from events.conf import settings as events_settings
from events.exceptions import InvalidEvent
from events.manager import unified_event_manager
from events.models import JournalEntry
from events.types import EventCategory, UnifiedEvent, check_timestamp, utcnow
from security.accounts import find_account, username_hash
from security.detection import Observation
from security.importing.happenings import BadLine, Happening, Parser
from security.networks import network_of

NAMESPACE: Final = uuid.UUID("5b1c8f0e-6f0a-4c0a-9d55-1d8a0f6f2b11")
BATCH: Final = 500
# Equal lines are told apart by their number, among so many different ones before them.
REMEMBERED_LINES: Final = 10_000


@dataclass(slots=True)
class Tally:
    """What became of the lines."""

    lines: int = 0
    bad: int = 0
    first_bad: str = ""
    other: int = 0
    happenings: int = 0
    imported: int = 0
    known: int = 0


class Importer:
    """Takes lines, gives batches of events. `site` names where the log is from; with `map_accounts` the log's usernames are those of this site's
    accounts."""

    def __init__(self, parser: Parser, site: str, map_accounts: bool) -> None:
        self._parser, self._site, self._map_accounts = parser, site, map_accounts
        self._seen: OrderedDict[bytes, int] = OrderedDict()
        self.tally = Tally()

    def batches(self, lines: Iterator[bytes | None]) -> Iterator[list[UnifiedEvent]]:
        """The events that the lines tell of."""
        events = self._events(lines)
        while batch := list(islice(events, BATCH)):
            yield batch

    def store(self, events: Sequence[UnifiedEvent]) -> bool:
        """Emit those that are not in the journal yet. False if they are not known to be stored."""
        known = _known(events)
        new = [unified_event_manager.prepare(event) for event in events if event.id not in known]
        self.tally.known += len(known)
        if new and not unified_event_manager.emit_all(new):
            return False
        self.tally.imported += len(new)
        return True

    def _events(self, lines: Iterator[bytes | None]) -> Iterator[UnifiedEvent]:
        for line in lines:
            self.tally.lines += 1
            try:
                found = list(self._happenings(line))
            except BadLine as error:
                self.tally.bad += 1
                self.tally.first_bad = self.tally.first_bad or f"line {self.tally.lines}: {error}"
                continue
            if line is None or not found:
                self.tally.other += 1
                continue
            number = self._number_of(line)
            for place, happening in enumerate(found):
                self.tally.happenings += happening.number
                yield self._event(happening, line, f"{number}.{place}")

    def _happenings(self, line: bytes | None) -> Iterator[Happening]:
        if line is None:
            raise BadLine("too long")
        for happening in self._parser.parse(line.decode(errors="replace")):
            try:
                check_timestamp(happening.at)
            except InvalidEvent as error:
                raise BadLine(str(error)) from None
            yield happening

    def _number_of(self, line: bytes) -> int:
        number = self._seen.pop(line, -1) + 1
        self._seen[line] = number
        if len(self._seen) > REMEMBERED_LINES:
            self._seen.popitem(last=False)
        return number

    def _event(self, happening: Happening, line: bytes, number: str) -> UnifiedEvent:
        name = b"\0".join([self._parser.name.encode(), self._site.encode(), line, number.encode()])
        account, hashed = _who(happening.username, self._map_accounts)
        data: dict[str, Any] = dict(happening.data)
        data |= {"username_hash": hashed} if hashed and not account else {}
        data |= {"system_user": happening.username} if happening.is_user and _is_plain(happening.username) else {}
        data |= {"ip_address": happening.address} if happening.address else {}
        data |= {"count": happening.number} if happening.number > 1 else {}
        metadata = {"source": self._parser.name, "site": self._site, "outcome": happening.outcome}
        metadata |= {"ip_address": happening.address} if happening.address else {}
        return UnifiedEvent(
            EventCategory.SECURITY,
            happening.event_type,
            id=str(uuid.uuid5(NAMESPACE, name.hex())),
            timestamp=happening.at,
            data=data,
            metadata=metadata,
            user_id=account,
            source_system=self._parser.name,
        )


def observation_of(event: UnifiedEvent) -> Observation:
    """What an imported event tells the detectors. A user of another system is named after it: `root@web1`."""
    address = event.data.get("ip_address")
    system_user = event.data.get("system_user")
    account = event.user_id or (f"{system_user}@{event.metadata['site'] or event.source_system}" if system_user else None)
    return Observation(
        event.event_type,
        event.id,
        event.timestamp,
        address=address,
        network=network_of(address),
        account=account,
        username_hash=None if account else event.data.get("username_hash"),
        data=event.data,
        number=event.data.get("count", 1),
    )


@lru_cache(maxsize=10_000)
def _who(username: str | None, map_accounts: bool) -> tuple[str | None, str | None]:
    """The account's id, and the username's hash."""
    if username is None:
        return None, None
    account = find_account(username) if map_accounts else None
    return (None if account is None else str(account.pk)), username_hash(username)


def _is_plain(username: str | None) -> bool:
    return username is not None and len(username) <= 64 and username.isprintable()


def _known(events: Sequence[UnifiedEvent]) -> set[str]:
    """The ids of those that are in the journal: found by their times, which are indexed."""
    times = [min(event.timestamp, utcnow() + timedelta(days=1)) for event in events]
    rows = JournalEntry.objects.using(events_settings().DATABASE).filter(timestamp__gte=min(times), timestamp__lte=max(times))
    return set(rows.filter(event_id__in=[event.id for event in events]).values_list("event_id", flat=True))
