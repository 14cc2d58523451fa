"""Django signals become events, declared once."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.dispatch import Signal

from events import connect_signal, correlate, event_routed, get_event_stats
from events.exceptions import InvalidEvent
from events.models import JournalEntry
from events.testing import Captured
from events.types import EventCategory, EventPriority
from tests.support.waiting import await_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def signal() -> Signal:
    return Signal()


@pytest.fixture
def disconnected() -> Iterator[list]:
    """What is put in is called at the end: tests on Django's own signals leave nothing behind."""
    ends: list = []
    yield ends
    for end in ends:
        end()


def test_a_saved_model_becomes_an_event(captured_events: Captured, disconnected: list) -> None:
    disconnected.append(
        connect_signal(
            post_save,
            sender=Group,
            event_type="group.created",
            data=lambda instance, **kwargs: {"group_id": instance.pk, "name": instance.name},
            when=lambda created, **kwargs: created,
            category="workflow",
            priority="low",
        )
    )
    group = Group.objects.create(name="editors")
    group.save()
    User.objects.create_user("alice")

    event = captured_events.one("group.created")
    assert event.data == {"group_id": group.pk, "name": "editors"}
    assert event.category is EventCategory.WORKFLOW
    assert event.priority is EventPriority.LOW
    assert JournalEntry.objects.filter(event_id=event.id).count() == 1


def test_type_data_and_user_may_come_from_the_signals_arguments(captured_events: Captured, signal: Signal) -> None:
    connect_signal(
        signal,
        event_type=lambda action, **kwargs: f"document.{action}",
        data={"document_id": lambda document, **kwargs: document.pk, "kind": "pdf"},
        user_id=lambda document, **kwargs: document.owner_id,
    )
    signal.send("me", action="deleted", document=SimpleNamespace(pk=3, owner_id=7))
    event = captured_events.one("document.deleted")
    assert event.data == {"document_id": 3, "kind": "pdf"}
    assert event.user_id == "7"


def test_the_callables_get_the_sender_too(captured_events: Captured, signal: Signal) -> None:
    connect_signal(signal, event_type="thing.happened", data=lambda sender, **kwargs: {"sender": sender})
    signal.send("me")
    assert captured_events.one("thing.happened").data == {"sender": "me"}


def test_without_data_the_event_has_none(captured_events: Captured, signal: Signal) -> None:
    connect_signal(signal, event_type="thing.happened")
    signal.send(None)
    assert captured_events.one("thing.happened").data == {}


def test_only_the_declared_sender_counts(captured_events: Captured, signal: Signal) -> None:
    one, other = object(), object()
    connect_signal(signal, event_type="thing.happened", sender=one)
    signal.send(other)
    signal.send(one)
    assert captured_events.types == ["thing.happened"]


def declare(signal: Signal):
    """As an AppConfig.ready() that runs twice would."""
    return connect_signal(signal, event_type=lambda **kwargs: "thing.happened", when=lambda **kwargs: True)


def test_declaring_twice_is_harmless(captured_events: Captured, signal: Signal) -> None:
    declare(signal)
    declare(signal)
    connect_signal(signal, event_type="other.thing")
    connect_signal(signal, event_type="other.thing")
    signal.send(None)
    assert captured_events.types == ["thing.happened", "other.thing"]


def test_conditions_and_categories_and_dispatch_uids_tell_declarations_apart(captured_events: Captured, signal: Signal) -> None:
    connect_signal(signal, event_type="thing.happened", when=lambda **kwargs: True)
    connect_signal(signal, event_type="thing.happened", when=lambda **kwargs: 1)
    connect_signal(signal, event_type="thing.happened", category="analytics")
    connect_signal(signal, event_type="thing.happened", dispatch_uid="mine")
    signal.send(None)
    assert captured_events.types == ["thing.happened"] * 4


class Threshold:
    def __init__(self, least: int) -> None:
        self.least = least

    def reached(self, number: int, **kwargs: object) -> bool:
        return number >= self.least


def test_methods_of_different_objects_and_functions_on_one_line_are_told_apart(captured_events: Captured, signal: Signal) -> None:
    one, two = Threshold(1), Threshold(2)
    for when in (one.reached, two.reached, one.reached, lambda number, **kw: number == 1, lambda number, **kw: number == 2):
        connect_signal(signal, event_type="thing.happened", when=when)
    signal.send(None, number=2)
    assert captured_events.types == ["thing.happened"] * 3


def test_functions_that_carry_values_are_told_apart(captured_events: Captured, signal: Signal) -> None:
    for wanted in (1, 2):
        connect_signal(signal, event_type="thing.happened", when=lambda number, wanted=wanted, **kwargs: number == wanted)
    signal.send(None, number=2)
    signal.send(None, number=1)
    assert captured_events.types == ["thing.happened"] * 2


def test_the_declaration_is_kept_though_nobody_holds_it(captured_events: Captured, signal: Signal) -> None:
    connect_signal(signal, event_type="thing.happened", data=lambda **kwargs: {"kept": True})
    signal.send(None)
    assert captured_events.one("thing.happened").data == {"kept": True}


def test_disconnecting_ends_it(captured_events: Captured, signal: Signal) -> None:
    disconnect = connect_signal(signal, event_type="thing.happened")
    assert disconnect() is True
    assert disconnect() is False
    signal.send(None)
    assert captured_events == []


def test_a_model_may_be_named_before_it_exists(disconnected: list, captured_events: Captured) -> None:
    disconnected.append(connect_signal(post_delete, sender="auth.Group", event_type="group.gone"))
    Group.objects.create(name="editors").delete()
    assert captured_events.types == ["group.deleted", "group.gone"]


def test_any_signal_of_django_will_do(disconnected: list, captured_events: Captured) -> None:
    disconnected.append(
        connect_signal(
            m2m_changed,
            sender=User.groups.through,
            event_type=lambda action, **kwargs: f"membership.{action}",
            when=lambda action, **kwargs: action.startswith("post_"),
            data=lambda instance, pk_set, **kwargs: {"user": instance.username, "groups": sorted(pk_set)},
        )
    )
    group = Group.objects.create(name="editors")
    User.objects.create_user("alice").groups.add(group)
    assert captured_events.one("membership.post_add").data == {"user": "alice", "groups": [group.pk]}


def test_the_event_vanishes_with_the_senders_transaction(signal: Signal) -> None:
    connect_signal(signal, event_type="thing.happened")
    with transaction.atomic():
        signal.send(None)
        transaction.set_rollback(True)
    assert JournalEntry.objects.count() == 0


@pytest.mark.parametrize("part", ["event_type", "data", "when", "user_id", "value in data"])
def test_a_callable_that_raises_is_logged_and_counted_and_the_sender_goes_on(part, signal, captured_events, caplog) -> None:
    def broken(**kwargs: object):
        raise ZeroDivisionError("broken callable")

    parts = {"event_type": "thing.happened"}
    parts |= {"data": {"k": broken}} if part == "value in data" else {part: broken}
    connect_signal(signal, **parts)
    connect_signal(signal, event_type="other.thing")
    with caplog.at_level(logging.ERROR, "events"):
        signal.send(None)
    assert captured_events.types == ["other.thing"]
    assert get_event_stats()["handler_errors"] == 1
    assert "ZeroDivisionError: broken callable" in caplog.text
    assert 'raise ZeroDivisionError("broken callable")' in caplog.text


def test_a_callable_whose_statement_fails_does_not_spoil_the_senders_transaction(signal, caplog) -> None:
    Group.objects.create(name="editors")
    connect_signal(signal, event_type="thing.happened", data=lambda **kwargs: {"id": Group.objects.create(name="editors").pk})
    with caplog.at_level(logging.CRITICAL, "events"), transaction.atomic():
        signal.send(None)
        Group.objects.create(name="readers")
    assert set(Group.objects.values_list("name", flat=True)) == {"editors", "readers"}


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"event_type": lambda **kwargs: "Not a type"}, "event_type"),
        ({"event_type": lambda **kwargs: None}, "event_type"),
        ({"event_type": "thing.happened", "data": lambda **kwargs: [1]}, "data"),
        ({"event_type": "thing.happened", "data": lambda **kwargs: {"k": {1}}}, "data"),
        ({"event_type": "thing.happened", "user_id": lambda **kwargs: 1.5}, "user_id"),
    ],
)
def test_a_malformed_event_is_treated_as_emit_treats_it(parts, field, signal, settings, caplog) -> None:
    connect_signal(signal, **parts)
    settings.EVENTS = {"RAISE_INVALID": True}
    with pytest.raises(InvalidEvent) as caught:
        signal.send(None)
    assert caught.value.field == field

    settings.EVENTS = {"RAISE_INVALID": False}
    with caplog.at_level(logging.ERROR, "events"):
        signal.send(None)
    assert field in caplog.text
    assert get_event_stats()["invalid"] == 1
    assert JournalEntry.objects.count() == 0


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"event_type": "Not a type"}, "event_type"),
        ({"event_type": "thing.happened", "category": "gossip"}, "category"),
        ({"event_type": "thing.happened", "priority": "urgent"}, "priority"),
    ],
)
def test_what_can_never_be_emitted_is_refused_when_it_is_declared(parts: dict, field: str, signal: Signal) -> None:
    with pytest.raises(InvalidEvent) as caught:
        connect_signal(signal, **parts)
    assert caught.value.field == field
    assert not signal.has_listeners()


@pytest.mark.django_db(transaction=True)
async def test_a_signal_sent_with_asend_is_emitted_before_it_returns(signal: Signal) -> None:
    connect_signal(signal, event_type="thing.happened", data=lambda n, **kwargs: {"n": n})
    await signal.asend(None, n=1)
    assert (await JournalEntry.objects.aget()).event.data == {"n": 1}


@pytest.mark.django_db(transaction=True)
async def test_a_model_saved_by_asynchronous_code_becomes_an_event(disconnected: list) -> None:
    disconnected.append(connect_signal(post_save, sender=Group, event_type="group.saved"))
    await Group(name="editors").asave()
    assert (await JournalEntry.objects.aget()).event_type == "group.saved"


@pytest.mark.django_db(transaction=True)
async def test_a_signal_sent_in_a_running_event_loop_is_emitted_soon(signal: Signal, captured_events: Captured) -> None:
    connect_signal(signal, event_type="thing.happened", data=lambda thing, **kwargs: {"name": thing.name})
    thing = SimpleNamespace(name="as it was")
    with correlate("c-1"):
        signal.send(None, thing=thing)
    thing.name = "changed since"
    await await_for(lambda: captured_events, "the event to be emitted")
    event = captured_events.one("thing.happened")
    assert event.data == {"name": "as it was"}
    assert event.correlation_id == "c-1"


@pytest.mark.django_db(transaction=True)
async def test_what_is_malformed_in_a_running_event_loop_is_logged_and_breaks_nothing(signal, settings, caplog) -> None:
    settings.EVENTS = {"RAISE_INVALID": True}
    connect_signal(signal, event_type=lambda **kwargs: "Not a type")
    with caplog.at_level(logging.ERROR, "events"):
        signal.send(None)
        await await_for(lambda: "Not a type" in caplog.text, "the refusal to be logged")
    await asyncio.sleep(0)


def test_every_routed_event_is_a_signal_with_the_emitters_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("emitter's")
    seen = []
    connected = lambda event, **kwargs: seen.append((event.event_type, variable.get()))  # noqa: E731
    event_routed.connect(connected)
    try:
        connect_signal(chained := Signal(), event_type="thing.happened", category="security", priority="high")
        chained.send(None)
    finally:
        event_routed.disconnect(connected)
    assert seen == [("thing.happened", "emitter's")]
