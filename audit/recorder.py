"""The emitter that writes audit events into the audit log, in the transaction that writes the journal."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.models import MAX_TEXT_LENGTH, AuditEntry, EventEncoder, Outcome, new_salt
from events.client_ip import client_ip, without_scope
from events.conf import settings
from events.tables import insert_rows
from events.types import MAX_LABEL_LENGTH, MAX_TYPE_LENGTH, EventCategory, UnifiedEvent

COLUMNS: Final = tuple(field.name for field in AuditEntry._meta.concrete_fields if field.name not in ("id", "changes"))
_in_columns: Final = itemgetter(*COLUMNS)
_json: Final = EventEncoder().encode


class Recorder:
    """An emitter (`events.router.Emitter`) of the category AUDIT. One a process: `recorder`."""

    def write(self, events: Sequence[UnifiedEvent]) -> None:
        """One entry an event. Raises DatabaseError."""
        connection = connections[settings().DATABASE]
        rows = [_in_columns(_stored(values_of(event), connection)) for event in events]
        insert_rows(connection, AuditEntry._meta.db_table, COLUMNS, rows)


recorder = Recorder()


def values_of(event: UnifiedEvent) -> dict[str, Any]:
    """What the event's entry has in its columns. Values that don't fit one are shortened there; `data` and `metadata` keep them whole."""
    metadata = event.metadata
    actor = metadata.get("actor")
    actor = actor if isinstance(actor, dict) else {}
    resource_type, resource_id = resource_of(event)
    if actor.get("type") in (None, "system", "command") and event.user_id and "source_category" not in metadata:
        # An audit event's user is who did it, where nobody else is known to. A security event's is the account that it is about.
        actor = {"type": "user", "id": event.user_id, "label": event.user_id}
    impersonator = actor.get("impersonator")
    actor_id = _text(actor.get("id"), MAX_LABEL_LENGTH)
    return {
        "event_id": event.id,
        "event_type": event.event_type,
        "source_category": metadata.get("source_category", str(EventCategory.AUDIT)),
        "action": action_of(event),
        "outcome": outcome_of(event).value,
        "priority": str(event.priority),
        "timestamp": event.timestamp,
        "user_id": event.user_id or (actor_id if actor.get("type") in ("user", "token") else "") or None,
        "actor_type": _text(actor.get("type"), 16),
        "actor_id": actor_id,
        "actor_label": _text(actor.get("label"), MAX_TEXT_LENGTH),
        "impersonator": _text(impersonator.get("label"), MAX_TEXT_LENGTH) if isinstance(impersonator, dict) else "",
        "resource_type": resource_type,
        "resource_id": resource_id,
        "resource_label": _text(event.data.get("resource_label"), MAX_TEXT_LENGTH),
        "ip_address": _address(metadata.get("ip_address")),
        "user_agent": _text(metadata.get("user_agent"), MAX_TEXT_LENGTH),
        "session_id": event.session_id,
        "correlation_id": event.correlation_id,
        "data": event.data,
        "metadata": metadata,
    }


def _stored(values: dict[str, Any], connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """The values as the driver takes them, and what only the row has."""
    return values | {
        "timestamp": connection.ops.adapt_datetimefield_value(values["timestamp"]),
        "data": _json(values["data"]),
        "metadata": _json(values["metadata"]),
        "personal_salt": new_salt(),
    }


def outcome_of(event: UnifiedEvent) -> Outcome:
    """What the emitter of the event stated as `outcome` in the metadata, or as `outcome` or `result` in the data, in this order.

    Never guessed: unknown where nothing was stated, or something that is no outcome.
    """
    for stated in (event.metadata.get("outcome"), event.data.get("outcome"), event.data.get("result")):
        if stated is not None:
            return Outcome(stated) if isinstance(stated, str) and stated in Outcome.values else Outcome.UNKNOWN
    return Outcome.UNKNOWN


def action_of(event: UnifiedEvent) -> str:
    """What was done: `action` in the data, else the last word of the type."""
    return _text(event.data.get("action"), MAX_TYPE_LENGTH) or event.event_type.rpartition(".")[2]


def resource_of(event: UnifiedEvent) -> tuple[str, str]:
    """Type and id of what it was done to: `resource_type` and `resource_id` in the data, else the type's first word, where
    the data has the id by that name (`model.delete` with a `model_id`). Empty where neither is there."""
    data = event.data
    resource_type, resource_id = data.get("resource_type"), data.get("resource_id")
    if resource_type is None and resource_id is None:
        subject = event.event_type.partition(".")[0]
        if f"{subject}_id" in data:
            resource_type, resource_id = subject, data[f"{subject}_id"]
    return _text(resource_type, MAX_TYPE_LENGTH), _text(resource_id, MAX_TEXT_LENGTH)


def _text(value: Any, limit: int) -> str:
    return str(value)[:limit] if isinstance(value, (str, int, uuid.UUID)) else ""


def _address(value: Any) -> str | None:
    return client_ip(without_scope(value)) if isinstance(value, str) else None
