"""A handler's trouble stays its own: neither its caller nor the other handlers are harmed, and it is told."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.db import transaction

from events import aemit, emit, event_router, get_event_stats
from events.models import JournalEntry
from events.router import EventRouter
from events.signals import event_routed
from events.types import UnifiedEvent
from tests.support.handlers import AsyncRecorder, Recorder, make


@pytest.fixture
def router() -> EventRouter:
    return EventRouter()


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
