"""An event as JSON, and back. Encoded once, when it is emitted: the journal, the doorbell and every browser get the same bytes."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import orjson
from django.utils.functional import Promise

from events.exceptions import InvalidEvent
from events.types import EventCategory, EventPriority, UnifiedEvent

# What of the metadata is for staff only: it stays out of the body of events that users see.
PRIVATE_METADATA: Final = ("ip_address", "user_agent")


def encode(event: UnifiedEvent, limit: int, keep_private: bool) -> tuple[str, str]:
    """The event's body, a JSON object as `docs/wire.md` has it, and its private metadata as JSON ("" where it has none).

    With `keep_private` the body holds all metadata. Raises InvalidEvent, naming `data` or `metadata`, where they are not
    JSON (dates, UUIDs and decimals are written as text), hold NUL, or where the whole is over `limit` bytes.
    """
    metadata = event.metadata
    private: dict[str, Any] = {} if keep_private else {name: metadata[name] for name in PRIVATE_METADATA if name in metadata}
    public = {name: value for name, value in metadata.items() if name not in private} if private else metadata
    links = {
        "user_id": event.user_id,
        "session_id": event.session_id,
        "correlation_id": event.correlation_id,
        "source_system": event.source_system,
    }
    values = {
        "id": event.id,
        "type": event.event_type,
        "category": event.category.value,
        "priority": event.priority.value,
        "data": event.data,
        "metadata": public,
        **links,
        "timestamp": event.timestamp,
    }
    try:
        body = orjson.dumps(values, default=_as_text)
    except TypeError as error:
        _check(event)
        raise InvalidEvent("data", f"is not JSON: {error}") from None  # by the one level that the event is around it
    # Two things that orjson lets pass and a database or a reader would stumble over. Both are rare: look only on suspicion.
    private_body = _dumps("metadata", private) if private else b""
    nulls = body.count(b"null") + private_body.count(b"null")
    if nulls > list(links.values()).count(None) or b"\\u0000" in body or b"\\u0000" in private_body:
        _check(event)
    if len(body) > limit:
        field = "data" if len(_dumps("data", event.data)) * 2 > len(body) else "metadata"
        raise InvalidEvent(field, f"too large: the event has {len(body)} bytes as JSON, {limit} are allowed")
    return body.decode(), private_body.decode()


def decode(body: str, private: str = "") -> UnifiedEvent:
    """The event that `encode` wrote."""
    values = orjson.loads(body)
    event = UnifiedEvent(
        EventCategory(values.pop("category")),
        values.pop("type"),
        priority=EventPriority(values.pop("priority")),
        timestamp=datetime.fromisoformat(values.pop("timestamp")),
        **values,
    )
    return replace(event, metadata=event.metadata | orjson.loads(private)) if private else event


def _check(event: UnifiedEvent) -> None:
    """Raises InvalidEvent, naming the field, for what can't be stored as JSON."""
    for field, value in (("data", event.data), ("metadata", event.metadata)):
        encoded = _dumps(field, value)
        if b"null" in encoded and _holds_nan(value):
            raise InvalidEvent(field, "is not JSON: NaN and infinity have no JSON form")
        if b"\\u0000" in encoded and "\0" in _all_text(value):
            raise InvalidEvent(field, "holds the character NUL, which databases can't store")


def _dumps(field: str, value: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(value, default=_as_text)
    except TypeError as error:
        raise InvalidEvent(field, f"is not JSON: {error}") from None


def _as_text(value: Any) -> str:
    if isinstance(value, (Decimal, Promise)):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _holds_nan(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_holds_nan, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_holds_nan, value))


def _all_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(map(_all_text, [*value.keys(), *value.values()]))
    return "".join(map(_all_text, value)) if isinstance(value, (list, tuple)) else ""
