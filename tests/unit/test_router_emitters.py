"""Emitters write a category's events to tables of their own, in the journal's transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from events import aemit, emit, event_router, get_event_stats
from events.exceptions import InvalidEvent
from events.journal import record_of
from events.models import JournalEntry
from events.router import EventRouter
from events.types import EventCategory, UnifiedEvent

pytestmark = pytest.mark.django_db(transaction=True)


class GroupEmitter:
    """Writes each event as a row: a group named after it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.batches: list[list[str]] = []

    def write(self, events: Sequence[UnifiedEvent]) -> None:
        self.batches.append([event.event_type for event in events])
        Group.objects.bulk_create(Group(name=event.id) for event in events)
        if self.error:
            raise self.error


def names() -> set[str]:
    return set(Group.objects.values_list("name", flat=True))


def journaled() -> set[str]:
    return set(JournalEntry.objects.values_list("event_id", flat=True))


def test_an_emitter_gets_the_events_of_its_category_and_writes_beside_the_journal() -> None:
    event_router.register_emitter("workflow", emitter := GroupEmitter())
    emit("step.done", category="workflow")
    emit("document.uploaded")
    assert emitter.batches == [["step.done"]]
    assert names() == set(JournalEntry.objects.filter(category="workflow").values_list("event_id", flat=True))


async def test_an_emitter_writes_what_asynchronous_code_emits() -> None:
    event_router.register_emitter(EventCategory.WORKFLOW, GroupEmitter())
    assert await aemit("step.done", category="workflow") is True
    entry = await JournalEntry.objects.aget()
    assert await Group.objects.filter(name=entry.event_id).aexists()


def test_an_emitter_gets_derived_events_of_its_category() -> None:
    for emitter in list(event_router.emitters(EventCategory.AUDIT)):
        event_router.unregister_emitter("audit", emitter)
    event_router.register_emitter("audit", GroupEmitter())
    emit("auth.login_failure", category="security")
    assert names() == set(JournalEntry.objects.filter(category="audit").values_list("event_id", flat=True))
    assert len(names()) == 1


def test_what_an_emitter_wrote_vanishes_with_the_callers_transaction() -> None:
    event_router.register_emitter("workflow", GroupEmitter())
    with transaction.atomic():
        emit("step.done", category="workflow")
        assert names()
        transaction.set_rollback(True)
    assert names() == journaled() == set()


@pytest.mark.parametrize("error", [ZeroDivisionError("broken emitter"), IntegrityError("broken emitter")])
def test_an_emitter_that_fails_undoes_the_journals_rows(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    event_router.register_emitter("workflow", GroupEmitter(error))
    with caplog.at_level(logging.ERROR, "events"):
        assert emit("step.done", category="workflow") is False
    assert names() == journaled() == set()
    assert get_event_stats()["write_errors"] == 1
    assert "broken emitter" in caplog.text


@pytest.mark.parametrize("error", [ZeroDivisionError("broken emitter"), IntegrityError("broken emitter")])
def test_an_emitter_that_fails_in_a_transaction_undoes_its_event_and_nothing_else(error: Exception, caplog) -> None:
    event_router.register_emitter("workflow", GroupEmitter(error))
    with caplog.at_level(logging.CRITICAL, "events"), transaction.atomic():
        emit("document.uploaded")
        assert emit("step.done", category="workflow") is False
        Group.objects.create(name="the caller's own")
    assert names() == {"the caller's own"}
    assert JournalEntry.objects.get().event_type == "document.uploaded"


async def test_of_events_written_together_only_those_of_the_failing_emitter_are_lost(caplog: pytest.LogCaptureFixture) -> None:
    event_router.register_emitter("workflow", GroupEmitter(ZeroDivisionError("broken emitter")))
    with caplog.at_level(logging.CRITICAL, "events"):
        stored = await asyncio.gather(
            *(aemit("step.done", category="workflow" if number % 5 == 0 else "realtime") for number in range(50))
        )
    assert [number for number, ok in enumerate(stored) if not ok] == list(range(0, 50, 5))
    assert await JournalEntry.objects.acount() == 40
    positions = [p async for p in JournalEntry.objects.order_by("position").values_list("position", flat=True)]
    assert positions == list(range(1, 41))


def test_what_can_not_write_is_refused_as_an_emitter() -> None:
    with pytest.raises(TypeError, match="write"):
        EventRouter().register_emitter("workflow", lambda events: None)  # type: ignore[arg-type]


def test_a_router_without_a_journal_calls_emitters_too() -> None:
    router, emitter = EventRouter(), GroupEmitter()
    router.register_emitter("workflow", emitter)
    assert router.route(UnifiedEvent(EventCategory.WORKFLOW, "step.done"))
    assert asyncio.run(router.route_event(UnifiedEvent(EventCategory.WORKFLOW, "step.done")))
    assert Group.objects.count() == 2


def test_an_emitter_is_registered_once_and_unregistered_by_identity() -> None:
    router = EventRouter()
    one, other = GroupEmitter(), GroupEmitter()
    router.register_emitter("workflow", one)
    router.register_emitter("workflow", one)
    router.register_emitter("workflow", other)
    assert router.emitters(EventCategory.WORKFLOW) == (one, other)
    assert router.unregister_emitter("workflow", one) is True
    assert router.unregister_emitter("workflow", one) is False
    assert router.unregister_emitter("audit", other) is False
    assert router.emitters(EventCategory.WORKFLOW) == (other,)
    router.write_to_emitters([record_of(UnifiedEvent(EventCategory.WORKFLOW, "step.done"))])
    assert (one.batches, other.batches) == ([], [["step.done"]])


def test_an_unknown_category_has_no_emitters() -> None:
    for change in (event_router.register_emitter, event_router.unregister_emitter):
        with pytest.raises(InvalidEvent) as caught:
            change("gossip", GroupEmitter())
        assert caught.value.field == "category"
