"""Masses of the same thing are folded into counted summaries, so that a flood fills neither journal nor audit log.

Of one type of event, `SECURITY["FLOOD_AFTER"]` from one network in a minute and `SECURITY["FLOOD_AFTER_SITE"]` on the whole site are told
one by one, as each process counts; what is beyond is counted, and told every `SECURITY["FLOOD_SUMMARY_INTERVAL"]` seconds while it lasts and
when it ends. Singles and counts together are what happened. What was counted and not yet told is lost if the process is killed: of one
interval. A summary that can't be stored waits, and goes into the next one.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from events.conf import settings as events_settings
from events.context import Context, use_context
from events.manager import emit
from events.types import EventCategory, UnifiedEvent
from security.conf import settings
from security.networks import network_of
from security.sources.tally import Tally, share
from security.sources.vocabulary import VOCABULARY, Word, owasp_event

logger = logging.getLogger("security.floods")

MINUTE: Final = 60.0
UNKNOWN: Final = ""
# Networks whose events are counted, the latest ones; networks that have a summary of their own: others share one.
MAX_WINDOWS: Final = 10_000
MAX_SUMMARIES: Final = 500


class Source(NamedTuple):
    """What is counted: a type of event, from one network (UNKNOWN where there is no address) or, None, from anywhere."""

    event_type: str
    network: str | None


@dataclass(slots=True)
class Window:
    """A minute's events, or those of another span. It goes on folding until a span had no more than the limit."""

    start: float
    count: int = 0
    folding: bool = False

    def add(self, now: float, limit: int, span: float = MINUTE) -> bool:
        """Count one. Whether it is beyond the limit."""
        if now - self.start >= span:
            self.folding = self.count > limit and now - self.start < 2 * span
            self.start, self.count = now, 0
        self.count += 1
        self.folding = self.folding or self.count > limit
        return self.folding


@dataclass(slots=True)
class Summary:
    """What was folded and not yet told."""

    first: datetime
    last: datetime
    count: int = 0
    addresses: Tally = field(default_factory=Tally)
    accounts: Tally = field(default_factory=Tally)
    usernames: Tally = field(default_factory=Tally)
    # Who is named first, and worth counting for itself.
    singled_out: dict[str, set[str]] = field(default_factory=dict)

    def add(self, event: UnifiedEvent, address: str | None) -> None:
        """One more."""
        self.count += 1
        self.first, self.last = min(self.first, event.timestamp), max(self.last, event.timestamp)
        for tally, member in (
            (self.addresses, address),
            (self.accounts, event.user_id),
            (self.usernames, event.data.get("username_hash")),
        ):
            if member:
                tally.add(member)

    def add_earlier(self, number: int, first: datetime, address: str | None) -> None:
        """Some that were not told and belong to it, as shows now."""
        self.count += number
        self.first = min(self.first, first)
        if address and number:
            self.addresses.add(address, number)

    def merge(self, other: Summary) -> None:
        """What the other says too."""
        self.count += other.count
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.addresses.merge(other.addresses)
        self.accounts.merge(other.accounts)
        self.usernames.merge(other.usernames)

    def event(self, source: Source) -> UnifiedEvent:
        """What is told."""
        word = VOCABULARY[source.event_type]
        assert word.many is not None
        tallies = {"addresses": self.addresses, "accounts": self.accounts, "username_hashes": self.usernames}
        # However long the names are, the event is short enough to be stored.
        room = events_settings().MAX_EVENT_BYTES // 5
        named = {name: tally.top(room, self.singled_out.get(name, ())) for name, tally in tallies.items()}
        data: dict[str, Any] = {
            "count": self.count,
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "of": source.event_type,
            "network": source.network or None,
            "different": {name: tally.different for name, tally in tallies.items()},
            "singled_out": {name: sum(one in who for one, _ in named[name]) for name, who in self.singled_out.items()},
        }
        metadata: dict[str, Any] = {"outcome": word.outcome, "owasp": owasp_event(source.event_type, source.network or None)}
        if source.network and named["addresses"]:
            metadata["ip_address"] = named["addresses"][0][0]
        return UnifiedEvent(
            EventCategory.SECURITY, word.many, data=data | named, metadata=metadata, timestamp=self.last, priority=word.priority
        )


class Floods:
    """Decides of each event whether it is told by itself, and tells the summaries. One a process: `floods`."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(before=self._end_thread, after_in_child=self._reset)
        atexit.register(self.stop)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._windows: OrderedDict[Source, Window] = OrderedDict()
        self._summaries: dict[Source, Summary] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def fold(self, event: UnifiedEvent, address: str | None) -> bool:
        """Whether the event is one too many: then it is counted, and not to be emitted."""
        word = VOCABULARY[event.event_type]
        if word.many is None or not events_settings().UNIFIED_EVENTS_ENABLED:
            return False
        source, site = Source(event.event_type, network_of(address) or UNKNOWN), Source(event.event_type, None)
        now = time.monotonic()
        with self._lock:
            window = self._window(source, now)
            begins = not window.folding
            folds = window.add(now, *_limit_and_span(word))
            # What is folded already does not count: one noisy network must not hide what comes from others.
            folds_on_site = not (folds or word.only_many) and self._window(site, now).add(now, settings().FLOOD_AFTER_SITE)
            if folds or folds_on_site:
                summary = self._summary(source if folds else site, event)
                summary.add(event, address)
                if word.only_many and begins:
                    summary.add_earlier(window.count - 1, event.timestamp - timedelta(seconds=now - window.start), address)
                self._start_locked()
        return folds or folds_on_site or word.only_many

    def flush(self) -> bool:
        """Tell what was folded since the last time, and what could not be stored then. Whether there was anything."""
        with self._lock:
            summaries, self._summaries = self._summaries, {}
        _single_out(summaries)
        with use_context(Context()):
            kept = {source: summary for source, summary in summaries.items() if not _is_told(source, summary)}
        if kept and events_settings().UNIFIED_EVENTS_ENABLED:
            self._put_back(kept)
        return bool(summaries)

    def start(self) -> None:
        """Nothing to do: a thread is started by the first event that is folded. (`events.background.Service`)"""

    def stop(self) -> None:
        """Tell what is left, end the thread. The next event that is folded starts one again."""
        self._end_thread()
        self.flush()
        if left := sum(summary.count for summary in self._summaries.values()):
            logger.error("%s events that were counted could not be told: they wait for the next that is", left)

    def forget(self) -> None:
        """Count anew, and end the thread, telling nothing: between tests."""
        self._end_thread()
        with self._lock:
            self._windows.clear()
            self._summaries.clear()

    def _end_thread(self) -> None:
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopping.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _window(self, source: Source, now: float) -> Window:
        window = self._windows.get(source)
        if window is None:
            window = self._windows[source] = Window(now)
            if len(self._windows) > MAX_WINDOWS:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(source)
        return window

    def _summary(self, source: Source, event: UnifiedEvent) -> Summary:
        return self._summaries.setdefault(self._place(source), Summary(event.timestamp, event.timestamp))

    def _place(self, source: Source) -> Source:
        """Where it is counted: for itself, or with others."""
        has_room = source in self._summaries or len(self._summaries) < MAX_SUMMARIES
        return source if has_room else Source(source.event_type, None)

    def _put_back(self, summaries: dict[Source, Summary]) -> None:
        with self._lock:
            for source, summary in summaries.items():
                newer = self._summaries.setdefault(self._place(source), summary)
                if newer is not summary:
                    newer.merge(summary)

    def _start_locked(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._stopping = threading.Event()
            self._thread = threading.Thread(target=self._run, args=[self._stopping], name="security-floods", daemon=True)
            self._thread.start()

    def _run(self, stopping: threading.Event) -> None:
        """Tell summaries until there was nothing to tell for an interval."""
        while not stopping.wait(settings().FLOOD_SUMMARY_INTERVAL):
            if self.flush():
                continue
            with self._lock:
                if not self._summaries:
                    self._thread = None
                    return


def _is_told(source: Source, summary: Summary) -> bool:
    try:
        return emit(summary.event(source))
    except Exception:  # whatever it is, the thread and the other summaries go on
        logger.exception("The summary of %s from %s could not be told", source.event_type, source.network)
        return False


def _single_out(summaries: Mapping[Source, Summary]) -> None:
    """Say of each summary who is counted for itself. That is dear, a few rows each, so that of one type of event there are no more than a single
    summary may name, however many summaries are told at once."""
    of_types: dict[str, list[Summary]] = {}
    for source, summary in summaries.items():
        of_types.setdefault(source.event_type, []).append(summary)
    enough = settings().GUESSING_ADDRESSES
    for told in of_types.values():
        accounts, usernames = share([one.accounts for one in told], enough), share([one.usernames for one in told], enough)
        for summary, own, unknown in zip(told, accounts, usernames, strict=True):
            summary.singled_out = {"accounts": own, "username_hashes": unknown}


floods = Floods()


def _limit_and_span(word: Word) -> tuple[int, float]:
    """When one network's events are folded. Pages that are not there are nothing until they look like a scan: then what led to it must be
    known as well, also of a slow one whose requests go to several processes."""
    if word.only_many:
        return settings().ENUMERATION // 3, float(settings().ENUMERATION_WINDOW)
    return settings().FLOOD_AFTER, MINUTE
