"""Where an event goes: to handlers, and through the rules to the outlet. A handler's trouble stays its own."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, Protocol

from asgiref.sync import async_to_sync, sync_to_async
from django.db import DatabaseError, Error

from events.conf import settings
from events.context import aenrich, enrich
from events.exceptions import EmitterFailed
from events.handlers import Handler, Plan, Registration, acall_all, asend_routed, call_all, make_plan, send_routed
from events.journal import Record, record_of
from events.patterns import check_pattern, matcher
from events.redaction import without_secrets
from events.rules import apply_rules
from events.stats import stats
from events.types import EventCategory, UnifiedEvent, check, parse_enum

logger = logging.getLogger("events.router")

# Raises InvalidEvent for an event that must not be emitted, such as one by a name that is another's.
Check = Callable[[UnifiedEvent], None]

# Handlers for one type are looked up once; a flood of made-up types must not fill the memory.
MAX_REMEMBERED_PLANS = 1_000


class Emitter(Protocol):
    """Writes the events of a category to a table of its own."""

    def write(self, events: Sequence[UnifiedEvent]) -> None:
        """Store the events, on the journal's database, in the transaction that writes the journal: both commit or neither.

        What it raises undoes the journal's rows too. Replayed events are never given to it.
        """


class Outlet(Protocol):
    """What takes routed events, writes them down and has them published (`events.writer`)."""

    def prepare(self, events: Sequence[UnifiedEvent]) -> Sequence[Record]:
        """Encode. Raises InvalidEvent."""

    def write(self, records: Sequence[Record], committed: Callable[[], None]) -> bool:
        """Write; call `committed` once they are committed. False if they are not known to be stored."""

    async def awrite(self, records: Sequence[Record], committed: Callable[[], Awaitable[None]]) -> bool:
        """As `write`, where an event loop runs."""

    async def callers_transaction_is_open(self) -> bool:
        """Whether what runs in this event loop runs for synchronous code in a transaction, which the events are to join."""


class Prepared(NamedTuple):
    """An event that can be routed: with what the rules derive from it, encoded."""

    event: UnifiedEvent
    events: list[UnifiedEvent]
    records: Sequence[Record]


class EventRouter:
    """The handlers and emitters of a process. A router without an outlet has no journal."""

    def __init__(self, outlet: Outlet | None = None) -> None:
        self.outlet = outlet
        self._registrations: dict[str, Registration] = {}
        self._emitters: dict[EventCategory, tuple[Emitter, ...]] = {}
        self._checks: tuple[Check, ...] = ()
        self._plans: dict[tuple[EventCategory, str, bool], Plan] = {}
        self._numbers = itertools.count(1)

    def add_global_handler(self, handler: Handler, *, after_commit: bool = False) -> str:
        """Call `handler` with every event. Returns an id for `remove_handler`.

        A handler may be a coroutine function. It is called when the event is emitted, in the emitter's transaction; with
        `after_commit`, once the event is committed and never if it is rolled back. What it raises is logged and counted.
        """
        return self._add(Registration(handler, after_commit))

    def add_category_handler(self, category: EventCategory | str, handler: Handler, *, after_commit: bool = False) -> str:
        """As `add_global_handler`, for one category, with the events that rules derive for it."""
        category = parse_enum(EventCategory, "category", category)
        return self._add(Registration(handler, after_commit, category=category))

    def add_type_handler(self, pattern: str, handler: Handler, *, after_commit: bool = False) -> str:
        """As `add_global_handler`, for one type or a pattern (`document.*`, `*.failed`)."""
        accepts = matcher([check_pattern(pattern, "pattern")])
        return self._add(Registration(handler, after_commit, accepts=accepts))

    def remove_handler(self, handler_id: str) -> bool:
        """Forget the handler that was added under the id. False if there is none."""
        removed = self._registrations.pop(handler_id, None)
        self._plans = {}
        return removed is not None

    def add_check(self, check: Check) -> None:
        """Have `check` called with each event, before any handler. Adding it again changes nothing."""
        if check not in self._checks:
            self._checks = (*self._checks, check)

    def register_emitter(self, category: EventCategory | str, emitter: Emitter) -> None:
        """Let `emitter` write the events of the category. Raises TypeError unless it has a method `write`."""
        if not callable(getattr(emitter, "write", None)):
            raise TypeError(f"emitter must have a method write(events); {type(emitter).__name__} has none")
        category = parse_enum(EventCategory, "category", category)
        if emitter not in self.emitters(category):
            self._emitters[category] = (*self.emitters(category), emitter)

    def unregister_emitter(self, category: EventCategory | str, emitter: Emitter) -> bool:
        """No longer. False if it was not registered."""
        category = parse_enum(EventCategory, "category", category)
        known = self.emitters(category)
        self._emitters[category] = tuple(e for e in known if e is not emitter)
        return len(self._emitters[category]) < len(known)

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Handlers, emitters and checks that are added or removed in the block are no longer, or again, there after it."""
        kept = dict(self._registrations), dict(self._emitters), self._checks
        try:
            yield
        finally:
            self._registrations, self._emitters, self._checks = kept
            self._plans = {}

    def emitters(self, category: EventCategory) -> tuple[Emitter, ...]:
        """The emitters of a category."""
        return self._emitters.get(category, ())

    def write_to_emitters(self, records: Sequence[Record]) -> None:
        """Have each category's events written by its emitters, as they were encoded: a handler that changed its event since then
        changes nothing. Raises EmitterFailed, or what the database raised."""
        for category in {record.category for record in records} & self._emitters.keys():
            events = [record.event for record in records if record.category == category]
            for emitter in self.emitters(EventCategory(category)):
                _write(emitter, events)

    def route(self, event: UnifiedEvent) -> bool:
        """Check and complete the event, apply the rules, call the handlers, hand the events to the outlet. False if they are not
        known to be stored. Raises InvalidEvent, before anything is called, for a malformed event."""
        return settings().UNIFIED_EVENTS_ENABLED and self.route_all([self.prepare(event)])

    def route_all(self, prepared: Sequence[Prepared]) -> bool:
        """Route events that `prepare` gave, as `route` does, as one: all are stored, or none."""
        for one in prepared:
            stats.emitted(one.event, len(one.events) - 1)
        events = [event for one in prepared for event in one.events]
        self.handle(events)
        for one in prepared:
            send_routed(self, one.event)
        if self.outlet is None:
            return self._emit_alone(events)
        records = [record for one in prepared for record in one.records]
        return self.outlet.write(records, partial(self.handle, events, after_commit=True))

    async def route_event(self, event: UnifiedEvent) -> bool:
        """As `route`, where an event loop runs. Handlers that are plain functions run in Django's thread for sync code."""
        if not settings().UNIFIED_EVENTS_ENABLED:
            return False
        if self.outlet is not None and await self.outlet.callers_transaction_is_open():
            return await sync_to_async(self.route)(event)
        check(event)
        event, events, records = self._prepared(await aenrich(event))
        stats.emitted(event, len(events) - 1)
        await self.ahandle(events)
        await asend_routed(self, event)
        if self.outlet is None:
            return not self._emitters or await sync_to_async(self._emit_alone)(events)
        return await self.outlet.awrite(records, partial(self.ahandle, events, after_commit=True))

    def _emit_alone(self, events: Sequence[UnifiedEvent]) -> bool:
        """Without an outlet there is no journal, but emitters may still write their tables."""
        try:
            self.write_to_emitters([record_of(event) for event in events])
        except (Error, EmitterFailed):
            stats.count("write_errors", len(events))
            logger.exception("%s %s could not be written", events[0].event_type, events[0].id)
            return False
        return True

    def prepare(self, event: UnifiedEvent) -> Prepared:
        """Check the event, complete it from the context, take secrets out, apply the rules and encode. Nothing is called or counted yet, and whether
        events are switched on is not asked. Raises InvalidEvent."""
        check(event)
        return self._prepared(enrich(event))

    def _prepared(self, event: UnifiedEvent) -> Prepared:
        for refuse in self._checks:
            refuse(event)
        event = without_secrets(event)
        events = apply_rules(event, settings())
        return Prepared(event, events, self.outlet.prepare(events) if self.outlet else ())

    def handle(self, events: Sequence[UnifiedEvent], after_commit: bool = False) -> None:
        """Call the handlers of the events: those for the moment of emission, or those for after the commit."""
        for event in events:
            plan = self._plan(event)
            sync, asynchronous = plan[2:] if after_commit else plan[:2]
            call_all(sync, event)
            call_all(asynchronous, event, async_to_sync)

    async def ahandle(self, events: Sequence[UnifiedEvent], after_commit: bool = False) -> None:
        """As `handle`, where an event loop runs."""
        for event in events:
            plan = self._plan(event)
            sync, asynchronous = plan[2:] if after_commit else plan[:2]
            if sync:
                await sync_to_async(call_all)(sync, event)
            if asynchronous:
                await acall_all(asynchronous, event)

    def _add(self, registration: Registration) -> str:
        if not callable(registration.handler):
            raise TypeError(f"handler must be callable, not {type(registration.handler).__name__}")
        handler_id = f"handler-{next(self._numbers)}"
        self._registrations[handler_id] = registration
        self._plans = {}  # a new one: another thread may be about to remember a plan that lacks this handler
        return handler_id

    def _plan(self, event: UnifiedEvent) -> Plan:
        key = (event.category, event.event_type, "derived_from" in event.metadata)
        plans = self._plans
        plan = plans.get(key)
        if plan is None:
            if len(plans) >= MAX_REMEMBERED_PLANS:
                plans.clear()
            plan = plans[key] = make_plan([r for r in list(self._registrations.values()) if r.wants(*key)])
        return plan


def _write(emitter: Emitter, events: Sequence[UnifiedEvent]) -> None:
    try:
        emitter.write(events)
    except DatabaseError:
        raise
    except Exception as error:
        raise EmitterFailed(f"{emitter!r}: {error}") from error
