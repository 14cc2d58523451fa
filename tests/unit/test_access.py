"""Who may see what: an event's audience, a user's audiences."""

from __future__ import annotations

import itertools

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User

from events.access import STAFF_CATEGORIES, audience_of, audiences_of, is_staff_audience, permission_for
from events.conf import settings
from events.rules import apply_rules
from events.types import EventCategory, EventPriority, UnifiedEvent

OPEN_CATEGORIES = sorted(set(EventCategory) - STAFF_CATEGORIES)


def make_user(name: str, *categories: EventCategory, **fields: bool) -> User:
    user = User.objects.create_user(name, **fields)
    for category in categories:
        user.user_permissions.add(Permission.objects.get(codename=permission_for(category).removeprefix("events.")))
    return user


@pytest.mark.parametrize("category", OPEN_CATEGORIES)
def test_an_event_with_a_user_is_for_that_user_and_one_without_for_everyone(category: EventCategory) -> None:
    assert audience_of(UnifiedEvent(category, "a.b", user_id="7")) == "user:7"
    assert audience_of(UnifiedEvent(category, "a.b")) == "all"


@pytest.mark.parametrize("category", sorted(STAFF_CATEGORIES))
@pytest.mark.parametrize("user_id", [None, "7"])
def test_an_event_of_a_staff_category_is_never_for_the_user_it_is_about(category: EventCategory, user_id: str | None) -> None:
    assert audience_of(UnifiedEvent(category, "a.b", user_id=user_id)) == f"staff:{category}"


@pytest.mark.parametrize(("category", "priority", "user_id"), list(itertools.product(EventCategory, EventPriority, [None, "7"])))
def test_a_derived_event_is_never_seen_by_more_people_than_its_original(
    category: EventCategory, priority: EventPriority, user_id: str | None
) -> None:
    event = UnifiedEvent(category, "a.b", user_id=user_id, priority=priority)
    original = audience_of(event)
    for derived in apply_rules(event, settings())[1:]:
        if derived.category is EventCategory.REALTIME:
            assert audience_of(derived) == original
        else:
            assert is_staff_audience(audience_of(derived))


@pytest.mark.django_db
def test_nobody_is_in_no_audience() -> None:
    assert audiences_of(None) == frozenset()
    assert audiences_of(AnonymousUser()) == frozenset()
    assert audiences_of(make_user("gone", is_active=False, is_staff=True, is_superuser=True)) == frozenset()


@pytest.mark.django_db
def test_an_ordinary_user_is_in_everyone_and_their_own_whatever_permissions_they_have() -> None:
    user = make_user("alice", *STAFF_CATEGORIES)
    assert audiences_of(user) == {"all", f"user:{user.pk}"}


@pytest.mark.django_db
@pytest.mark.parametrize("category", sorted(STAFF_CATEGORIES))
def test_staff_are_in_the_audience_of_each_category_they_may_view(category: EventCategory) -> None:
    user = make_user("sam", category, is_staff=True)
    assert audiences_of(user) == {"all", f"user:{user.pk}", f"staff:{category}"}


@pytest.mark.django_db
def test_staff_without_permission_see_what_ordinary_users_see() -> None:
    user = make_user("sam", is_staff=True)
    assert audiences_of(user) == {"all", f"user:{user.pk}"}


@pytest.mark.django_db
def test_a_superuser_is_in_all_staff_audiences() -> None:
    user = make_user("admin", is_staff=True, is_superuser=True)
    assert audiences_of(user) == {"all", f"user:{user.pk}"} | {f"staff:{c}" for c in STAFF_CATEGORIES}


@pytest.mark.django_db
def test_there_is_a_permission_for_each_staff_category() -> None:
    known = {
        f"events.{name}"
        for name in Permission.objects.filter(content_type__app_label="events").values_list("codename", flat=True)
    }
    assert {permission_for(category) for category in STAFF_CATEGORIES} <= known
