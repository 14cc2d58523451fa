"""Cross-system routing: which further events one event gives."""

from __future__ import annotations

import copy
import itertools

import pytest

from events.conf import EventsSettings
from events.rules import apply_rules
from events.types import EventCategory, EventPriority, UnifiedEvent

EVERYTHING = list(itertools.product(EventCategory, EventPriority))


def make(category: EventCategory, priority: EventPriority) -> UnifiedEvent:
    return UnifiedEvent(
        category, "a.b", data={"k": 1}, metadata={"m": 1}, user_id="7", session_id="s", correlation_id="c", priority=priority
    )


def derived_categories(event: UnifiedEvent, **settings: bool) -> list[EventCategory]:
    return [e.category for e in apply_rules(event, EventsSettings(**settings))[1:]]


@pytest.mark.parametrize(("category", "priority"), EVERYTHING)
def test_security_gives_one_audit_event_and_urgency_one_realtime_event(category: EventCategory, priority: EventPriority) -> None:
    expected = []
    if category is EventCategory.SECURITY:
        expected.append(EventCategory.AUDIT)
    if priority in (EventPriority.HIGH, EventPriority.CRITICAL) and category is not EventCategory.REALTIME:
        expected.append(EventCategory.REALTIME)
    assert derived_categories(make(category, priority)) == expected


@pytest.mark.parametrize(("category", "priority"), EVERYTHING)
def test_only_critical_events_are_flagged_and_each_once(category: EventCategory, priority: EventPriority) -> None:
    flagged = [e for e in apply_rules(make(category, priority), EventsSettings()) if "notification" in e.metadata]
    if priority is EventPriority.CRITICAL:
        assert [(e.category, e.metadata["notification"]) for e in flagged] == [(EventCategory.REALTIME, True)]
    else:
        assert flagged == []


def test_a_quiet_event_reaches_browsers_and_is_not_flagged() -> None:
    event = make(EventCategory.SECURITY, EventPriority.CRITICAL)
    event.metadata["quiet"] = True
    found = apply_rules(event, EventsSettings())
    assert [e.category for e in found] == [EventCategory.SECURITY, EventCategory.AUDIT, EventCategory.REALTIME]
    assert not [e for e in found if "notification" in e.metadata]


@pytest.mark.parametrize(("category", "priority"), EVERYTHING)
def test_a_derived_event_says_the_same_and_where_it_comes_from(category: EventCategory, priority: EventPriority) -> None:
    event = make(category, priority)
    for derived in apply_rules(event, EventsSettings())[1:]:
        assert derived.metadata.items() >= {"m": 1, "derived_from": event.id, "source_category": str(category)}.items()
        assert derived.id != event.id
        same = ("event_type", "timestamp", "data", "user_id", "session_id", "correlation_id", "priority", "source_system")
        assert [getattr(derived, name) for name in same] == [getattr(event, name) for name in same]


@pytest.mark.parametrize(("category", "priority"), EVERYTHING)
def test_the_rules_change_nothing_that_they_are_given(category: EventCategory, priority: EventPriority) -> None:
    event = make(category, priority)
    before = copy.deepcopy(event)
    apply_rules(event, EventsSettings())
    assert event == before


@pytest.mark.parametrize(("category", "priority"), EVERYTHING)
def test_ids_of_derived_events_are_their_own(category: EventCategory, priority: EventPriority) -> None:
    ids = [e.id for e in apply_rules(make(category, priority), EventsSettings())]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("category", "priority"), EVERYTHING)
def test_without_cross_system_routing_nothing_is_derived(category: EventCategory, priority: EventPriority) -> None:
    assert derived_categories(make(category, priority), CROSS_SYSTEM_ROUTING=False) == []


def test_without_cross_system_routing_a_critical_event_is_flagged_itself() -> None:
    event = make(EventCategory.MONITORING, EventPriority.CRITICAL)
    (only,) = apply_rules(event, EventsSettings(CROSS_SYSTEM_ROUTING=False))
    assert only.metadata["notification"] is True
    assert only.id == event.id


@pytest.mark.parametrize("category", EventCategory)
def test_without_notifications_nothing_is_flagged(category: EventCategory) -> None:
    events = apply_rules(make(category, EventPriority.CRITICAL), EventsSettings(HIGH_PRIORITY_NOTIFICATIONS=False))
    assert not any("notification" in e.metadata for e in events)
