"""A recorded change as a row of the audit log, and the one statement that writes rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.models import CHANGE, MAX_TEXT_LENGTH, AuditEntry, Outcome, new_salt
from audit.tracking.changes import Changes, Plan
from audit.tracking.ids import id_at
from audit.tracking.values import as_json
from events.client_ip import without_scope
from events.context import current_context
from events.redaction import hashed, redacted_text
from events.types import MAX_LABEL_LENGTH, MAX_TYPE_LENGTH, EventPriority, utcnow

# What a change does to an object; the last word of an entry's type, and its action.
CREATED: Final = "created"
UPDATED: Final = "updated"
DELETED: Final = "deleted"


class Author(NamedTuple):
    """Who changes something, and from where."""

    user_id: str | None
    actor_label: str
    actor_type: str
    actor_id: str
    impersonator: str
    ip_address: str | None
    user_agent: str
    session_id: str | None
    correlation_id: str | None
    metadata: str


class Row(NamedTuple):
    """A row of `AuditEntry`, but for what all changes have in common (`CONSTANTS`). Fields as its columns; the author's are the last."""

    event_id: str
    event_type: str
    action: str
    outcome: str
    timestamp: Any
    resource_type: str
    resource_id: str
    resource_label: str
    changes: str | None
    data: str
    personal_salt: str
    author: Author


CONSTANTS = {"source_category": CHANGE, "priority": str(EventPriority.NORMAL)}
# Rows that one statement writes: SQLite takes 32,766 parameters.
MOST_ROWS = 1_000
# A secret value that is shorter stands in many a text by chance: what would be cut out of a label says nothing, or gives it away.
SHORTEST_SECRET = 4


def author() -> Author:
    """As the context in force says."""
    context = current_context()
    actor = context.current_actor()
    known = (None, "", "", "", "")
    if actor is not None:
        user_id = actor.id[:MAX_LABEL_LENGTH] if actor.id and actor.type in ("user", "token") else None
        real = actor.impersonator.label[:MAX_TEXT_LENGTH] if actor.impersonator else ""
        known = (user_id, actor.label[:MAX_TEXT_LENGTH], actor.type, (actor.id or "")[:MAX_LABEL_LENGTH], real)  # type: ignore[assignment]
    address = without_scope(context.ip_address) if context.ip_address else None
    metadata = "{}" if context.request_id is None else f'{{"request_id":"{context.request_id}"}}'
    return Author(
        *known, address, (context.user_agent or "")[:MAX_TEXT_LENGTH], context.current_session(), context.correlation_id, metadata
    )


def row(
    plan: Plan,
    action: str,
    pk: Any,
    label: str,
    changes: Changes | None,
    data: dict[str, Any] | None = None,
    *,
    outcome: Outcome = Outcome.SUCCESS,
) -> Row:
    """The entry of one change, by who is at work here. `pk` None: of many objects."""
    now = utcnow()
    return Row(
        id_at(now),
        f"{plan.resource_type}.{action}"[:MAX_TYPE_LENGTH],
        action,
        outcome.value,
        now,
        plan.resource_type[:MAX_TYPE_LENGTH],
        resource_id_of(plan, pk)[:MAX_TEXT_LENGTH],
        label,
        None if changes is None else orjson.dumps(changes).decode(),
        orjson.dumps(data).decode() if data else "{}",
        new_salt(),
        author(),
    )


def resource_id_of(plan: Plan, pk: Any) -> str:
    """The id that an object has in the log: its key as text, one of several columns as JSON, of a secret one the hash."""
    if pk is None:
        return ""
    if isinstance(pk, tuple):
        pk = orjson.dumps(as_json(pk)).decode()
    return str(hashed(pk) if plan.pk_is_secret else pk)


_FIELDS: Final = (*Row._fields[:-1], *Author._fields)
_COLUMNS: Final = ", ".join(f'"{name}"' for name in (*_FIELDS, *CONSTANTS))
_VALUES: Final = ", ".join(["%s"] * len(_FIELDS) + [f"'{value}'" for value in CONSTANTS.values()])
_INSERT: Final = f'INSERT INTO "{AuditEntry._meta.db_table}" ({_COLUMNS}) '
_INSERT_ONE: Final = f"{_INSERT}VALUES ({_VALUES})"
_TIMESTAMP: Final = _FIELDS.index("timestamp")


def insert(connection: BaseDatabaseWrapper, rows: Sequence[Row]) -> None:
    """Write the rows, in one statement (for each 1,000). Raises DatabaseError."""
    with connection.cursor() as cursor:
        for start in range(0, len(rows), MOST_ROWS):
            part = rows[start : start + MOST_ROWS]
            sql = _INSERT_ONE if len(part) == 1 else f"{_INSERT_ONE}{f', ({_VALUES})' * (len(part) - 1)}"
            cursor.execute(sql, [value for r in part for value in _parameters(connection, r)])


def statement(connection: BaseDatabaseWrapper, entry: Row) -> tuple[str, list[Any]]:
    """The beginning of a statement that inserts the row once for each row of what is put behind it, and its parameters."""
    return f"{_INSERT}SELECT {_VALUES}", _parameters(connection, entry)


def _parameters(connection: BaseDatabaseWrapper, entry: Row) -> list[Any]:
    parameters: list[Any] = [*entry[:-1], *entry.author]
    parameters[_TIMESTAMP] = connection.ops.adapt_datetimefield_value(entry.timestamp)
    return parameters


class _QueryRefusedError(Exception):
    """Somebody's `__str__` wanted to ask the database."""


def _refuse(*args: Any) -> Any:
    raise _QueryRefusedError


def label_of(plan: Plan, instance: models.Model, connection: BaseDatabaseWrapper) -> str:
    """The display text of an object, without secrets. Never at the cost of a query, nor of the change: where its `__str__` needs a query
    or raises, type and key."""
    connection.execute_wrappers.append(_refuse)  # as `execute_wrapper` does, for a third of the time
    try:
        text = _without_secrets(plan, instance, str(plan.declaration.label(instance) or ""))
    except Exception:  # noqa: BLE001 - the project's code, run for display only: whatever it raises must not keep a row from being saved
        text = None
    finally:
        connection.execute_wrappers.pop()
    if text is None:
        text = f"{plan.model._meta.verbose_name} {'' if plan.pk_is_secret else instance.pk}"
    return redacted_text(text.replace("\0", "\ufffd"))[:MAX_TEXT_LENGTH]


def _without_secrets(plan: Plan, instance: models.Model, text: str) -> str | None:
    """The text without the values of secret fields; None where one that is too short to be cut out may stand in it."""
    values = vars(instance)
    for name in plan.secrets:
        secret = values.get(name)
        if secret is None or secret == "" or isinstance(secret, (dict, list)):
            continue
        shown = str(secret)
        if shown in text:
            if len(shown) < SHORTEST_SECRET:
                return None
            text = text.replace(shown, "…")
    return text
