"""Who may see what. Decided here and nowhere else: for live delivery, resume, replay and the API.

Each event has one audience, found when it is emitted and stored with it; each user is in several audiences.
"""

from __future__ import annotations

from typing import Any, Final

from events.types import EventCategory, UnifiedEvent

EVERYONE: Final = "all"
# Nobody's: what the hubs tell each other through the journal (`events.access_changes`).
HUBS: Final = "hubs"
STAFF_CATEGORIES: Final = frozenset(
    {EventCategory.SECURITY, EventCategory.AUDIT, EventCategory.MONITORING, EventCategory.ANALYTICS}
)


def permission_for(category: EventCategory) -> str:
    """The permission that a member of staff needs to see events of a staff category: `events.view_security_events`, …"""
    return f"events.view_{category}_events"


def staff_audience(category: str) -> str:
    """The audience of the staff who may view events of a staff category."""
    return f"staff:{category}"


def audience_of(event: UnifiedEvent) -> str:
    """The audience of an event.

    What comes from a staff category (a realtime event derived from one too) is for the staff who may view that category,
    never for the user it is about; the rest is for its `user_id`, or for every signed-in user where it has none.
    """
    origin = event.category if event.category in STAFF_CATEGORIES else event.metadata.get("source_category")
    if origin in STAFF_CATEGORIES:
        return staff_audience(origin)
    return EVERYONE if event.user_id is None else f"user:{event.user_id}"


def audiences_of(user: Any) -> frozenset[str]:
    """The audiences that a user is in; none for an anonymous or inactive one. Reads permissions from the database."""
    if user is None or not user.is_authenticated or not user.is_active:
        return frozenset()
    audiences = {EVERYONE, f"user:{user.pk}"}
    if is_staff(user):
        audiences |= {staff_audience(category) for category in STAFF_CATEGORIES if may(user, permission_for(category))}
    return frozenset(audiences)


def is_staff(user: Any) -> bool:
    """Whether the user is staff. Nobody is by a model of users that does not say so."""
    return bool(getattr(user, "is_staff", False))


def is_derived(model: type[Any], flag: str) -> bool:
    """Whether a model of users has the flag (`is_staff`) as a property: then it follows from other fields, any of which may change it."""
    return isinstance(getattr(model, flag, None), property)


def may(user: Any, permission: str) -> bool:
    """Whether the user has the permission. Nobody has one by a model of users without permissions."""
    has_perm = getattr(user, "has_perm", None)
    return bool(has_perm is not None and has_perm(permission))


def is_staff_audience(audience: str) -> bool:
    """Whether the audience is staff: then private metadata may be shown to it."""
    return audience.startswith("staff:")
