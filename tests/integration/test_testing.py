"""What `events.testing` gives to the tests of a project."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from django.db import transaction

import events
from events import UnifiedEvent
from events.models import JournalEntry
from events.stats import stats
from events.testing import Captured, captured_events, wait_published


class Emitter:
    """Writes nothing."""

    def write(self, events: Sequence[UnifiedEvent]) -> None: ...


@pytest.mark.django_db
def test_what_is_emitted_in_the_block_is_captured_in_order() -> None:
    events.emit("before.block")
    with captured_events() as captured:
        events.emit("first.step", {"n": 1})
        events.emit("second.step", priority="critical")
    events.emit("after.block")
    assert captured.types == ["first.step", "second.step"]
    assert captured.one("first.step").data == {"n": 1}


@pytest.mark.django_db
def test_one_refuses_none_and_several(captured_events: Captured) -> None:
    events.emit("same.step")
    events.emit("same.step")
    with pytest.raises(AssertionError, match=r"2 events of type 'same\.step'"):
        captured_events.one("same.step")
    with pytest.raises(AssertionError, match=r"0 events of type 'other\.step'"):
        captured_events.one("other.step")


@pytest.mark.django_db(transaction=True)
async def test_what_asynchronous_code_emits_is_captured(captured_events: Captured) -> None:
    await events.aemit("first.step")
    assert captured_events.types == ["first.step"]


@pytest.mark.django_db(transaction=True)
def test_after_wait_published_every_committed_event_has_its_position() -> None:
    with transaction.atomic():
        events.emit("in.transaction")
    events.emit("outside.transaction")
    wait_published()
    assert sorted(JournalEntry.objects.values_list("event_type", flat=True)) == ["in.transaction", "outside.transaction"]
    assert not JournalEntry.objects.filter(position=None).exists()


@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.django_db
def test_neither_counters_nor_handlers_are_left_to_the_next_test(run: int) -> None:
    assert stats.snapshot()["processed"] == 0
    seen: list[str] = []
    events.event_router.add_global_handler(lambda event: seen.append(event.event_type))
    events.emit("some.step")
    assert seen == ["some.step"]
    events.event_router.register_emitter("analytics", Emitter())
    assert len(events.event_router.emitters(events.EventCategory.ANALYTICS)) == 1
