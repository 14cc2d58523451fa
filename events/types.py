"""The event itself: its vocabulary, its structure, how it is made and checked. Needs no database."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self, TypeVar

from events.exceptions import InvalidEvent
from events.ids import new_id

MAX_TYPE_LENGTH = 100
MAX_ID_LENGTH = 64
MAX_LABEL_LENGTH = 128
# Metadata that the system sets: an event that claimed to be derived or replayed would get round the rules.
RESERVED_METADATA = frozenset({"derived_from", "source_category", "notification", "replayed", "replay_of"})
TYPE_GRAMMAR = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+\Z")


class EventCategory(StrEnum):
    """Which part of the system an event belongs to."""

    REALTIME = "realtime"
    SECURITY = "security"
    AUDIT = "audit"
    MONITORING = "monitoring"
    STREAMING = "streaming"
    ANALYTICS = "analytics"
    WORKFLOW = "workflow"


class EventPriority(StrEnum):
    """How urgent an event is. `rank` orders the members: 0 is low, 3 is critical."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"

    rank: int

    def __new__(cls, value: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.rank = len(cls.__members__)
        return member

    @property
    def is_urgent(self) -> bool:
        """Whether browsers hear of it whatever its category."""
        return self.rank >= EventPriority.HIGH.rank


def utcnow() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


@dataclass
class UnifiedEvent:
    """One thing that happened. Fields, order and defaults are those of the specification.

    `data` and `metadata` hold JSON; whose business the event is (`user_id`) decides who sees it: that user, or every
    signed-in user when it is None. Construction checks nothing: emitting does (`InvalidEvent` names the wrong field).
    """

    category: EventCategory
    event_type: str
    id: str = field(default_factory=new_id)
    timestamp: datetime = field(default_factory=utcnow)
    data: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    user_id: str | None = None
    session_id: str | None = None
    correlation_id: str | None = None
    priority: EventPriority = EventPriority.NORMAL
    source_system: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, with enums and the timestamp (ISO 8601) as text."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["category"] = str(self.category)
        values["priority"] = str(self.priority)
        values["timestamp"] = self.timestamp.isoformat()
        values["data"] = dict(self.data)
        values["metadata"] = dict(self.metadata)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The event that `to_dict` wrote. Raises InvalidEvent that names the missing, unknown or malformed field."""
        if not isinstance(values, dict):
            raise InvalidEvent("event", "must be a dictionary (in JSON: an object)")
        unknown = values.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise InvalidEvent(min(map(str, unknown)), "not a field of an event")
        for required in ("category", "event_type"):
            if required not in values:
                raise InvalidEvent(required, "is required")
        parsed = dict(values)
        parsed["category"] = parse_enum(EventCategory, "category", values["category"])
        if "priority" in values:
            parsed["priority"] = parse_enum(EventPriority, "priority", values["priority"])
        if "timestamp" in values:
            parsed["timestamp"] = parse_timestamp(values["timestamp"])
        return cls(**parsed)


Member = TypeVar("Member", EventCategory, EventPriority)


def parse_enum(enum: type[Member], name: str, value: Any) -> Member:
    """The member of `enum` that `value` names. Raises InvalidEvent for the field `name`, which lists the choices."""
    try:
        return enum(value if isinstance(value, str) else shown(value))
    except ValueError:
        raise InvalidEvent(name, f"{shown(value)} is not one of {', '.join(enum)}") from None


def shown(value: Any) -> str:
    """A value for a message: text as it is, shortened, and anything else, which may be of any depth, by its type."""
    return f"{value!r:.100}" if isinstance(value, (str, int, float, type(None))) else f"a {type(value).__name__}"


def parse_timestamp(value: Any) -> datetime:
    """An aware datetime from ISO 8601 text (or itself). Raises InvalidEvent."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidEvent("timestamp", f"{shown(value)} is not an ISO 8601 date and time") from None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidEvent("timestamp", "must be a date and time with a time zone")
    return value


def check_type(event_type: Any, field_name: str = "event_type") -> None:
    """Raises InvalidEvent unless `event_type` is `subject.action`: lower-case words of [a-z0-9_] joined by dots."""
    if not isinstance(event_type, str) or not TYPE_GRAMMAR.match(event_type):
        raise InvalidEvent(
            field_name, f"{shown(event_type)} is not a type name: lower-case words joined by dots, like 'document.uploaded'"
        )
    if len(event_type) > MAX_TYPE_LENGTH:
        raise InvalidEvent(field_name, f"longer than {MAX_TYPE_LENGTH} characters")


def check_timestamp(timestamp: Any) -> None:
    """Raises InvalidEvent unless it is an aware datetime that has a date in every time zone, as databases and readers need it."""
    if not isinstance(timestamp, datetime) or timestamp.tzinfo is None:
        raise InvalidEvent("timestamp", "must be a datetime with a time zone")
    if not 1 < timestamp.year < 9999:
        raise InvalidEvent("timestamp", "is too far from today")


def check(event: UnifiedEvent) -> None:
    """Raises InvalidEvent, naming the field, unless the event is well-formed.

    Whether `data` and `metadata` are JSON within the size limit is found where they are encoded (`events.encoding`).
    """
    check_type(event.event_type)
    if not isinstance(event.category, EventCategory):
        raise InvalidEvent("category", f"{shown(event.category)} is not an EventCategory")
    if not isinstance(event.priority, EventPriority):
        raise InvalidEvent("priority", f"{shown(event.priority)} is not an EventPriority")
    check_timestamp(event.timestamp)
    if not isinstance(event.data, dict):
        raise InvalidEvent("data", "must be a dictionary (in JSON: an object)")
    if not isinstance(event.metadata, dict):
        raise InvalidEvent("metadata", "must be a dictionary (in JSON: an object)")
    for name in RESERVED_METADATA & event.metadata.keys():
        raise InvalidEvent("metadata", f"{name!r} is set by the system")
    _check_text("id", event.id, MAX_ID_LENGTH)
    for name in ("user_id", "session_id", "correlation_id", "source_system"):
        value = getattr(event, name)
        if value is not None:
            _check_text(name, value, MAX_LABEL_LENGTH)


def _check_text(name: str, value: Any, limit: int) -> None:
    if not isinstance(value, str):
        raise InvalidEvent(name, f"must be text, not {type(value).__name__}")
    if not value:
        raise InvalidEvent(name, "must not be empty")
    if len(value) > limit:
        raise InvalidEvent(name, f"longer than {limit} characters")
    if not value.isprintable():
        raise InvalidEvent(name, "holds characters that can't be printed")


def create_event(
    category: EventCategory | str, event_type: str, data: dict[str, Any] | None = None, **fields_: Any
) -> UnifiedEvent:
    """An event from its parts; `category` and `priority` may be given as text, ids of users as integers.

    The caller's dictionaries are copied. Raises InvalidEvent for an unknown field, category or priority.
    """
    for name in fields_.keys() - EVENT_FIELDS:
        raise InvalidEvent(name, "not a field of an event")
    if data is not None and not isinstance(data, dict):
        raise InvalidEvent("data", "must be a dictionary (in JSON: an object)")
    fields_["data"] = dict(data or {})
    metadata = fields_.get("metadata")
    if metadata is not None:
        if not isinstance(metadata, dict):
            raise InvalidEvent("metadata", "must be a dictionary (in JSON: an object)")
        fields_["metadata"] = dict(metadata)
    else:
        fields_.pop("metadata", None)
    user_id = fields_.get("user_id")
    if isinstance(user_id, (int, uuid.UUID)) and not isinstance(user_id, bool):
        fields_["user_id"] = str(user_id)
    category = parse_enum(EventCategory, "category", category)
    if category is EventCategory.ANALYTICS:
        fields_.setdefault("priority", EventPriority.LOW)
    if "priority" in fields_:
        fields_["priority"] = parse_enum(EventPriority, "priority", fields_["priority"])
    return UnifiedEvent(category, event_type, **fields_)


EVENT_FIELDS = {f.name for f in fields(UnifiedEvent)} - {"category", "event_type", "data"}


def create_realtime_event(event_type: str, data: dict[str, Any] | None = None, **fields_: Any) -> UnifiedEvent:
    """An update for users' browsers. Parameters as in `create_event`."""
    return create_event(EventCategory.REALTIME, event_type, data, **fields_)


def create_security_event(event_type: str, data: dict[str, Any] | None = None, **fields_: Any) -> UnifiedEvent:
    """Something for the security monitor. Parameters as in `create_event`."""
    return create_event(EventCategory.SECURITY, event_type, data, **fields_)


def create_audit_event(event_type: str, data: dict[str, Any] | None = None, **fields_: Any) -> UnifiedEvent:
    """Something for the audit log. Parameters as in `create_event`."""
    return create_event(EventCategory.AUDIT, event_type, data, **fields_)


def create_monitoring_event(event_type: str, data: dict[str, Any] | None = None, **fields_: Any) -> UnifiedEvent:
    """A measurement or the health of a part of the system. Parameters as in `create_event`."""
    return create_event(EventCategory.MONITORING, event_type, data, **fields_)


def create_streaming_event(event_type: str, data: dict[str, Any] | None = None, **fields_: Any) -> UnifiedEvent:
    """A piece of a stream, such as a chat token: delivered at most once, not journaled. Parameters as in `create_event`."""
    return create_event(EventCategory.STREAMING, event_type, data, **fields_)


def create_analytics_event(event_type: str, data: dict[str, Any] | None = None, **fields_: Any) -> UnifiedEvent:
    """A count for analysis; of low priority unless said otherwise. Parameters as in `create_event`."""
    return create_event(EventCategory.ANALYTICS, event_type, data, **fields_)


def create_workflow_event(event_type: str, data: dict[str, Any] | None = None, **fields_: Any) -> UnifiedEvent:
    """A step or a change of state of a workflow. Parameters as in `create_event`."""
    return create_event(EventCategory.WORKFLOW, event_type, data, **fields_)
