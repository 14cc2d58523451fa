"""Events that a client hands in."""

from __future__ import annotations

from typing import Any

from events.api.base import Invalid, Problem
from events.exceptions import InvalidEvent
from events.manager import unified_event_manager
from events.router import Prepared
from events.types import EventCategory, check_type, create_event

MAX_EVENTS = 1_000
FIELDS = ("type", "category", "priority", "data", "metadata", "user_id", "correlation_id", "source_system")
NULLABLE = ("user_id", "correlation_id", "source_system")
# Who did it, from where and which way is what the server saw, and not what a client says.
SERVER_METADATA = ("actor", "ip_address", "user_agent", "request_id", "via")
# So that who reads an event knows that the site's own code did not emit it.
VIA_API = {"via": "api"}


def prepare_events(body: Any) -> list[Prepared]:
    """The events of a request's body, an object or a list of up to `MAX_EVENTS`: checked and ready to be emitted.

    Raises Invalid with a problem for each event that can't be taken.
    """
    if isinstance(body, dict):
        items, numbered = [body], False
    elif isinstance(body, list):
        items, numbered = body, True
    else:
        raise Invalid([Problem("body", "must be an event, or a list of events")])
    if not 1 <= len(items) <= MAX_EVENTS:
        raise Invalid([Problem("body", f"holds {len(items)} events; 1 to {MAX_EVENTS} can be sent at once")])
    prepared, problems = [], []
    for index, item in enumerate(items):
        try:
            prepared.append(_prepare(item))
        except InvalidEvent as error:
            problems.append(Problem(error.field, error.reason, index if numbered else None))
    if problems:
        raise Invalid(problems)
    return prepared


def _prepare(item: Any) -> Prepared:
    if not isinstance(item, dict):
        raise InvalidEvent("body", "an event is a JSON object")
    values = dict(item)
    for name, value in values.items():
        if name not in FIELDS:
            raise InvalidEvent(f"{name:.100}", f"is not a field of a new event; those are {', '.join(FIELDS)}")
        if name in NULLABLE and not isinstance(value, str | None):
            raise InvalidEvent(name, f"must be text or null, not {type(value).__name__}")
        if name not in NULLABLE and value is None:
            raise InvalidEvent(name, "must not be null")
    if "type" not in values:
        raise InvalidEvent("type", "is required")
    metadata = values.get("metadata")
    forged = sorted(metadata.keys() & SERVER_METADATA) if isinstance(metadata, dict) else []
    if forged:
        raise InvalidEvent("metadata", f"{', '.join(forged)} can't be set by a client")
    if metadata is None or isinstance(metadata, dict):
        values["metadata"] = (metadata or {}) | VIA_API
    category, event_type, data = values.pop("category", EventCategory.REALTIME), values.pop("type"), values.pop("data", None)
    check_type(event_type, "type")
    try:
        return unified_event_manager.prepare(create_event(category, event_type, data, **values))
    except InvalidEvent as error:
        raise InvalidEvent("type" if error.field == "event_type" else error.field, error.reason) from None
