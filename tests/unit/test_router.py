"""The router: which handlers are called with what, and when."""

from __future__ import annotations

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
from events.types import EventCategory, EventPriority, UnifiedEvent
from tests.support.handlers import AsyncRecorder, Recorder, make
from tests.support.waiting import wait_for


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


def test_what_is_malformed_reaches_no_handler() -> None:
    event_router.add_global_handler(handler := Recorder())
    with pytest.raises(InvalidEvent):
        event_router.route(make(data={"k": {1}}))
    assert handler.events == []
    assert get_event_stats()["processed"] == 0


@pytest.mark.parametrize("how", [EventRouter.route, async_to_sync(EventRouter.route_event)], ids=["route", "route_event"])
def test_what_a_check_refuses_reaches_no_handler(router: EventRouter, how) -> None:
    def refuse(event: UnifiedEvent) -> None:
        if event.event_type.startswith("mine."):
            raise InvalidEvent("event_type", "is mine")

    router.add_check(refuse)
    router.add_global_handler(handler := Recorder())
    with pytest.raises(InvalidEvent, match="is mine"):
        how(router, make("mine.made"))
    assert how(router, make("yours.made")) is True
    assert [event.event_type for event in handler.events] == ["yours.made"]
    with router.isolated():
        router.add_check(lambda event: refuse(make("mine.made")))
    assert how(router, make("yours.again")) is True


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
