"""Which rows a bulk write was for, as JSON: the conditions of its query, without secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from django.db.models.expressions import Col
from django.db.models.sql import Query
from django.db.models.sql.where import WhereNode

from audit.tracking.changes import Declaration, Plan
from audit.tracking.entries import Row, row
from audit.tracking.registry import plans
from audit.tracking.values import dumped
from events.redaction import REDACTED, hashed, masked, redacted

# Values of an `IN` that are kept.
MOST_VALUES = 20


def criterion_of(plan: Plan, query: Query) -> dict[str, Any]:
    """The conditions of the query: `{"and": [{"field": "status", "lookup": "exact", "value": "new"}]}`; empty for all rows."""
    return _node(plan, query.where) if query.where else {}


def summary(plan: Plan, criterion: dict[str, Any] | None) -> Callable[[list[Row]], Row]:
    """What makes one entry of too many of one type. `criterion` None: there is none, as of rows that are created."""

    def summarised(rows: list[Row]) -> Row:
        first = rows[0]
        data = {"count": len(rows)} | ({} if criterion is None else {"criterion": criterion})
        return row(plan, first.action, None, "", None, data)._replace(
            event_type=first.event_type, resource_type=first.resource_type
        )

    return summarised


def _node(plan: Plan, node: WhereNode) -> dict[str, Any]:
    parts = [_node(plan, child) if isinstance(child, WhereNode) else _lookup(plan, child) for child in node.children]
    found: dict[str, Any] = {node.connector.lower(): parts}
    return {"not": found} if node.negated else found


def _lookup(plan: Plan, lookup: Any) -> dict[str, Any]:
    left = getattr(lookup, "lhs", None)
    if not isinstance(left, Col):
        return {"condition": type(lookup).__name__}
    target, of = left.target, left.target.model
    is_own = issubclass(plan.model, of)  # a parent's field too
    nearest = plan if is_own else plans.get(of)
    declared = nearest.declaration if nearest else Declaration()
    is_open = target.name not in declared.exclude and declared.keeper(target) not in (masked, hashed)
    found = {"field": target.name, "lookup": lookup.lookup_name, "value": _value(lookup.rhs) if is_open else REDACTED}
    return found if is_own else {"model": of._meta.label_lower} | found


def _value(value: Any) -> Any:
    if hasattr(value, "resolve_expression") or isinstance(value, Query):
        return {"expression": type(value).__name__}
    if isinstance(value, (list, tuple, set, frozenset)) and len(value) > MOST_VALUES:
        return {"values": len(value)}
    return redacted(orjson.loads(dumped(value)))
