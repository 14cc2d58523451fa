"""The router: which handlers are called with what, and that a handler's trouble stays its own."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from datetime import datetime

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.db import transaction

from events import aemit, emit, event_router, get_event_stats, unified_event_manager
from events.context import Actor, act_as, correlate
from events.exceptions import InvalidEvent
from events.models import JournalEntry
from events.router import EventRouter
from events.signals import event_routed
from events.types import EventCategory, EventPriority, UnifiedEvent
from tests.support.waiting import wait_for


def make(event_type: str = "document.uploaded", category: EventCategory = EventCategory.REALTIME, **fields) -> UnifiedEvent:
    return UnifiedEvent(category, event_type, **fields)


class Recorder:
    """A handler that remembers what it was called with, and in which thread."""

    def __init__(self, name: str = "", log: list[str] | None = None) -> None:
        self.events: list[UnifiedEvent] = []
        self.threads: list[threading.Thread] = []
        self.name = name
        self.log = log if log is not None else []

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    def __call__(self, event: UnifiedEvent) -> None:
        self.events.append(event)
        self.threads.append(threading.current_thread())
        self.log.append(self.name)


class AsyncRecorder(Recorder):
    """The same as a coroutine: an object whose `__call__` is one."""

    async def __call__(self, event: UnifiedEvent) -> None:
        super().__call__(event)


@pytest.fixture
def router() -> EventRouter:
    return EventRouter()


# Which handlers


@pytest.mark.parametrize("category", EventCategory)
def test_each_kind_of_handler_gets_its_events_and_no_others(router: EventRouter, category: EventCategory) -> None:
    everything, of_category, of_other, of_type, of_pattern, of_other_type = (Recorder() for _ in range(6))
    other = next(c for c in EventCategory if c is not category)
    router.add_global_handler(everything)
    router.add_category_handler(category, of_category)
    router.add_category_handler(str(other), of_other)
    router.add_type_handler("document.uploaded", of_type)
    router.add_type_handler("document.*", of_pattern)
    router.add_type_handler("*.failed", of_other_type)
    event = make(category=category, priority=EventPriority.LOW)
    router.route(event)
    assert everything.ids == of_category.ids == of_type.ids == of_pattern.ids == [event.id]
    derived = [EventCategory.AUDIT] if category is EventCategory.SECURITY else []
    assert [e.category for e in of_other.events] == [c for c in derived if c is other]
    assert of_other_type.events == []


def test_handlers_are_called_in_the_order_in_which_they_were_added(router: EventRouter) -> None:
    log: list[str] = []
    router.add_type_handler("document.*", Recorder("first", log))
    router.add_global_handler(Recorder("second", log))
    router.add_category_handler("realtime", Recorder("third", log))
    router.route(make())
    assert log == ["first", "second", "third"]


def test_a_handler_that_is_added_twice_is_called_twice_and_removed_by_its_own_id(router: EventRouter) -> None:
    handler = Recorder()
    ids = [router.add_global_handler(handler), router.add_global_handler(handler)]
    assert len(set(ids)) == 2
    router.route(make())
    assert len(handler.events) == 2
    assert router.remove_handler(ids[0]) is True
    router.route(make())
    assert len(handler.events) == 3
    assert router.remove_handler(ids[0]) is False
    assert router.remove_handler("no such handler") is False


@pytest.mark.parametrize("add", ["add_global_handler", "add_category_handler", "add_type_handler"])
@pytest.mark.parametrize("after_commit", [False, True])
def test_a_removed_handler_is_not_called_though_the_type_was_seen_before(
    router: EventRouter, add: str, after_commit: bool
) -> None:
    handler = Recorder()
    scope = {"add_global_handler": (), "add_category_handler": ("realtime",), "add_type_handler": ("document.*",)}[add]
    handler_id = getattr(router, add)(*scope, handler, after_commit=after_commit)
    event = make()
    router.handle([event], after_commit=after_commit)
    assert router.remove_handler(handler_id)
    router.handle([event], after_commit=after_commit)
    assert handler.ids == [event.id]


def test_a_handler_that_is_added_later_gets_types_that_were_seen_before(router: EventRouter) -> None:
    router.route(make())
    router.add_global_handler(late := Recorder())
    router.route(make())
    assert len(late.events) == 1


def test_a_handler_may_add_and_remove_handlers(router: EventRouter) -> None:
    later = Recorder()

    def handler(event: UnifiedEvent) -> None:
        router.remove_handler(own_id)
        router.add_global_handler(later)

    own_id = router.add_global_handler(handler)
    router.route(make())
    router.route(make())
    assert len(later.events) == 1
    assert get_event_stats()["handler_errors"] == 0


@pytest.mark.parametrize("bad", [None, "handler", 7])
def test_what_can_not_be_called_is_no_handler(router: EventRouter, bad: object) -> None:
    with pytest.raises(TypeError, match="handler"):
        router.add_global_handler(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("pattern", ["", "Document.*", "a b", "a.*.*.*", None])
def test_a_bad_pattern_is_refused_when_the_handler_is_added(router: EventRouter, pattern: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        router.add_type_handler(pattern, Recorder())
    assert caught.value.field == "pattern"


def test_an_unknown_category_is_refused_when_the_handler_is_added(router: EventRouter) -> None:
    with pytest.raises(InvalidEvent) as caught:
        router.add_category_handler("gossip", Recorder())
    assert caught.value.field == "category"


def test_a_flood_of_types_does_not_fill_the_memory(router: EventRouter) -> None:
    router.add_global_handler(Recorder())
    for number in range(2_500):
        router.handle([make(f"flood.n{number}")])
    assert len(router._plans) <= 1_000


# Derived events


def test_derived_events_go_to_the_handlers_of_their_category_and_to_no_others(router: EventRouter) -> None:
    everything, of_type, of_audit, of_realtime, of_security = (Recorder() for _ in range(5))
    router.add_global_handler(everything)
    router.add_type_handler("auth.*", of_type)
    router.add_category_handler("audit", of_audit)
    router.add_category_handler("realtime", of_realtime)
    router.add_category_handler("security", of_security)
    event = make("auth.login_failure", EventCategory.SECURITY, priority=EventPriority.CRITICAL)
    router.route(event)
    assert everything.ids == of_type.ids == of_security.ids == [event.id]
    assert [e.metadata["derived_from"] for e in of_audit.events] == [event.id]
    assert [e.metadata["derived_from"] for e in of_realtime.events] == [event.id]
    assert of_realtime.events[0].metadata["notification"] is True


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.django_db(transaction=True)
def test_an_emitter_of_an_event_that_emits_from_a_handler_gets_no_loop_of_derived_events(after_commit: bool) -> None:
    event_router.add_category_handler("audit", of_audit := Recorder(), after_commit=after_commit)
    emit("auth.login_failure", {}, category="security", priority="high")
    wait_for(lambda: of_audit.events, "the audit handler")
    unified_event_manager.shutdown()
    assert len(of_audit.events) == 1
    assert sorted(JournalEntry.objects.values_list("category", flat=True)) == ["audit", "realtime", "security"]


# Sync and async, handlers and emission


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("handler_class", [Recorder, AsyncRecorder])
@pytest.mark.parametrize("after_commit", [False, True])
def test_emit_calls_plain_functions_and_coroutine_functions(handler_class: type[Recorder], after_commit: bool) -> None:
    event_router.add_global_handler(handler := handler_class(), after_commit=after_commit)
    assert emit("document.uploaded", {"n": 1}) is True
    assert [event.data for event in handler.events] == [{"n": 1}]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("handler_class", [Recorder, AsyncRecorder])
@pytest.mark.parametrize("after_commit", [False, True])
async def test_aemit_calls_plain_functions_and_coroutine_functions(handler_class: type[Recorder], after_commit: bool) -> None:
    event_router.add_global_handler(handler := handler_class(), after_commit=after_commit)
    assert await aemit("document.uploaded", {"n": 1}) is True
    assert [event.data for event in handler.events] == [{"n": 1}]
    in_loop = handler.threads == [threading.current_thread()]
    assert in_loop is (handler_class is AsyncRecorder), "only a coroutine may run in the event loop's thread"


@pytest.mark.django_db(transaction=True)
async def test_a_plain_handler_may_use_the_database_under_aemit() -> None:
    event_router.add_global_handler(lambda event: Group.objects.create(name=event.event_type))
    await aemit("document.uploaded")
    assert await Group.objects.filter(name="document.uploaded").aexists()


@pytest.mark.django_db(transaction=True)
def test_a_handler_works_in_the_emitters_transaction() -> None:
    event_router.add_global_handler(lambda event: Group.objects.create(name=event.event_type))
    with transaction.atomic():
        emit("document.uploaded")
        assert Group.objects.exists()
        transaction.set_rollback(True)
    assert not Group.objects.exists()
    assert not JournalEntry.objects.exists()


def test_a_router_without_an_outlet_only_calls_handlers(router: EventRouter) -> None:
    router.add_global_handler(handler := Recorder())
    assert router.route(make()) is True
    assert len(handler.events) == 1


async def test_route_event_may_be_awaited(router: EventRouter) -> None:
    router.add_global_handler(plain := Recorder())
    router.add_global_handler(asynchronous := AsyncRecorder())
    event = make()
    assert await router.route_event(event) is True
    assert plain.ids == asynchronous.ids == [event.id]


# Isolation


class Broken:
    """A handler that fails, as a function or as a coroutine function."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, event: UnifiedEvent) -> None:
        raise self.error


class AsyncBroken(Broken):
    async def __call__(self, event: UnifiedEvent) -> None:
        raise self.error


CASES = list(itertools.product([Broken, AsyncBroken], [False, True]))


def assert_reported(caplog: pytest.LogCaptureFixture) -> None:
    assert get_event_stats()["handler_errors"] == 1
    (record,) = [record for record in caplog.records if record.name == "events.router"]
    assert record.levelno == logging.ERROR
    assert "document.uploaded" in record.getMessage()
    assert "raise self.error" in caplog.text, "the traceback is logged"
    assert "ZeroDivisionError: broken handler" in caplog.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("broken", "after_commit"), CASES)
def test_a_broken_handler_stops_neither_the_others_nor_the_caller(broken, after_commit, caplog) -> None:
    handlers = [Recorder(), broken(ZeroDivisionError("broken handler")), Recorder(), AsyncRecorder()]
    for handler in handlers:
        event_router.add_global_handler(handler, after_commit=after_commit)
    with caplog.at_level(logging.ERROR, "events"):
        assert emit("document.uploaded") is True
    assert [len(h.events) for h in handlers if isinstance(h, Recorder)] == [1, 1, 1]
    assert JournalEntry.objects.count() == 1
    assert_reported(caplog)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("broken", "after_commit"), CASES)
async def test_a_broken_handler_stops_neither_the_others_nor_the_awaiting_caller(broken, after_commit, caplog) -> None:
    handlers = [Recorder(), broken(ZeroDivisionError("broken handler")), Recorder(), AsyncRecorder()]
    for handler in handlers:
        event_router.add_global_handler(handler, after_commit=after_commit)
    with caplog.at_level(logging.ERROR, "events"):
        assert await aemit("document.uploaded") is True
    assert [len(h.events) for h in handlers if isinstance(h, Recorder)] == [1, 1, 1]
    assert await JournalEntry.objects.acount() == 1
    assert_reported(caplog)


async def acreate_editors(event: UnifiedEvent) -> None:
    await Group.objects.acreate(name="editors")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("failing", [lambda event: Group.objects.create(name="editors"), acreate_editors], ids=["sync", "async"])
def test_a_handler_whose_statement_fails_does_not_spoil_the_callers_transaction(failing, caplog) -> None:
    Group.objects.create(name="editors")
    event_router.add_global_handler(failing)
    event_router.add_global_handler(lambda event: Group.objects.create(name="writers"))
    with caplog.at_level(logging.CRITICAL, "events"), transaction.atomic():
        assert emit("document.uploaded") is True
        Group.objects.create(name="readers")
    assert set(Group.objects.values_list("name", flat=True)) == {"editors", "writers", "readers"}
    assert JournalEntry.objects.count() == 1
    assert get_event_stats()["handler_errors"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_receiver_of_event_routed_that_raises_does_not_reach_the_caller(caplog) -> None:
    def broken(**kwargs: object) -> None:
        raise ZeroDivisionError("broken receiver")

    event_routed.connect(broken)
    try:
        with caplog.at_level(logging.ERROR):
            assert emit("document.uploaded") is True
    finally:
        event_routed.disconnect(broken)
    assert "broken receiver" in caplog.text
    assert JournalEntry.objects.count() == 1


def test_what_is_malformed_reaches_no_handler() -> None:
    event_router.add_global_handler(handler := Recorder())
    with pytest.raises(InvalidEvent):
        event_router.route(make(data={"k": {1}}))
    assert handler.events == []
    assert get_event_stats()["processed"] == 0


# After the commit


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("handler_class", [Recorder, AsyncRecorder])
def test_an_after_commit_handler_waits_for_the_commit(handler_class: type[Recorder]) -> None:
    event_router.add_global_handler(handler := handler_class(), after_commit=True)
    with transaction.atomic():
        emit("document.uploaded")
        assert handler.events == []
    assert len(handler.events) == 1


@pytest.mark.django_db(transaction=True)
def test_an_after_commit_handler_hears_nothing_of_what_was_rolled_back() -> None:
    event_router.add_global_handler(handler := Recorder(), after_commit=True)
    with transaction.atomic():
        emit("document.kept")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            emit("document.undone")
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        emit("document.undone_too")
        raise ZeroDivisionError
    assert [event.event_type for event in handler.events] == ["document.kept"]


@pytest.mark.django_db(transaction=True)
def test_an_after_commit_handler_of_a_security_event_hears_of_it_though_the_transaction_is_rolled_back() -> None:
    event_router.add_category_handler("security", handler := Recorder(), after_commit=True)
    with transaction.atomic():
        emit("auth.login_failure", category="security")
        transaction.set_rollback(True)
    wait_for(lambda: handler.events, "the handler")
    assert JournalEntry.objects.filter(category="security").count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_after_commit_handler_may_emit_in_its_turn() -> None:
    event_router.add_type_handler("document.uploaded", lambda event: emit("document.noticed"), after_commit=True)
    with transaction.atomic():
        emit("document.uploaded")
    assert set(JournalEntry.objects.values_list("event_type", flat=True)) == {"document.uploaded", "document.noticed"}


def test_the_routers_of_two_tests_share_nothing(router: EventRouter) -> None:
    event_router.add_global_handler(handler := Recorder())
    router.route(make())
    assert handler.events == []


# What is routed past the manager


MALFORMED = [
    ({"event_type": "BAD TYPE"}, "event_type"),
    ({"event_type": "a." + "b" * 300}, "event_type"),
    ({"category": "bogus"}, "category"),
    ({"priority": "critical"}, "priority"),
    ({"user_id": 5}, "user_id"),
    ({"user_id": ""}, "user_id"),
    ({"data": None}, "data"),
    ({"timestamp": datetime(2026, 1, 1)}, "timestamp"),  # noqa: DTZ001
    ({"metadata": {"derived_from": "x"}}, "metadata"),
]


@pytest.mark.parametrize(("parts", "field"), MALFORMED, ids=[f"{field}-{n}" for n, (_, field) in enumerate(MALFORMED)])
@pytest.mark.parametrize("how", [event_router.route, async_to_sync(event_router.route_event)], ids=["route", "route_event"])
@pytest.mark.django_db(transaction=True)
def test_a_malformed_event_is_refused_by_name_wherever_it_comes_in(how, parts, field) -> None:
    event_router.add_global_handler(handler := Recorder())
    with pytest.raises(InvalidEvent) as caught:
        how(UnifiedEvent(**({"category": EventCategory.REALTIME, "event_type": "a.b"} | parts)))
    assert caught.value.field == field
    assert handler.events == []
    assert not JournalEntry.objects.exists()


@pytest.mark.parametrize("how", [event_router.route, async_to_sync(event_router.route_event)], ids=["route", "route_event"])
@pytest.mark.django_db(transaction=True)
def test_routing_completes_the_event_joins_the_transaction_and_obeys_the_switch(how, settings) -> None:
    with act_as(Actor("user", "7", "bob")), correlate("c-1"):
        assert how(make("kept.one")) is True
    entry = JournalEntry.objects.get()
    assert (entry.event.metadata["actor"]["label"], entry.correlation_id) == ("bob", "c-1")
    with transaction.atomic():
        assert how(make("undone.one")) is True
        transaction.set_rollback(True)
    settings.EVENTS = {"UNIFIED_EVENTS_ENABLED": False}
    assert how(make("switched.off")) is False
    assert [entry.event_type for entry in JournalEntry.objects.all()] == ["kept.one"]


# Handlers that do unusual things


async def waits_for_what_is_cancelled(event: UnifiedEvent) -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


@pytest.mark.parametrize("how", [event_router.route, async_to_sync(event_router.route_event)], ids=["route", "route_event"])
@pytest.mark.django_db(transaction=True)
def test_a_handler_whose_own_work_is_cancelled_is_reported_and_stops_nobody(how, caplog) -> None:
    event_router.add_type_handler("step.*", waits_for_what_is_cancelled)
    event_router.add_type_handler("step.*", after := AsyncRecorder())
    assert how(make("step.done")) is True
    assert len(after.events) == 1
    assert get_event_stats()["handler_errors"] == 1
    assert "waits_for_what_is_cancelled" in caplog.text


async def test_a_caller_that_is_cancelled_while_a_handler_works_is_cancelled(router: EventRouter) -> None:
    started = asyncio.Event()

    async def waits(event: UnifiedEvent) -> None:
        started.set()
        await asyncio.sleep(60)

    router.add_global_handler(waits)
    task = asyncio.create_task(router.route_event(make()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_plain_function_that_calls_a_coroutine_function_is_waited_for(router: EventRouter) -> None:
    inner = AsyncRecorder()
    router.add_global_handler(lambda event: inner(event))  # noqa: PLW0108
    router.route(event := make())
    assert inner.ids == [event.id]


async def test_receivers_of_event_routed_that_raise_are_counted_in_async_code_too(router: EventRouter) -> None:
    def fails(**kwargs: object) -> None:
        raise ZeroDivisionError

    event_routed.connect(fails)
    try:
        await router.route_event(make())
    finally:
        event_routed.disconnect(fails)
    assert get_event_stats()["handler_errors"] == 1
