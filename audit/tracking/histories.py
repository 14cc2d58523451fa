"""What the log says of objects: the last recorded values of their fields, and the many-to-many rows that came and did not go."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from audit.models import CHANGE, AuditEntry
from audit.tracking.changes import Plan
from audit.tracking.entries import CREATED, DELETED
from audit.tracking.registry import family_of
from audit.tracking.through import compared_fields

# The action of an entry that a comparison made (`audit.tracking.comparison`).
OBSERVED = "observed"


@dataclass
class Links:
    """Of one many-to-many field of an object: whether a row is there, by the key of the other side as JSON.

    `complete`: it is recorded from the beginning, and of rows that are not `known` there is none.
    """

    known: dict[str, bool] = field(default_factory=dict)
    complete: bool = False


@dataclass
class History:
    """What the log says of an object. `exists` None: it can't tell."""

    exists: bool | None = False
    values: dict[str, Any] = field(default_factory=dict)
    links: defaultdict[str, Links] = field(default_factory=lambda: defaultdict(Links))

    def apply(self, entry: AuditEntry, names: Iterable[str], many: set[str]) -> None:
        """What the entry makes of it; one without an object is about objects that nobody knows by name.

        `names`: of the fields that an object has; `many`: of its many-to-many fields.
        """
        changes = entry.changes or {}
        new = {name: change[1] for name, change in changes.items() if name not in many}
        if entry.action == DELETED or entry.data.get("missing"):
            self.exists, self.values = (False if entry.resource_id else None), {}
            self.links.clear()
        elif not entry.resource_id:
            self._forget(entry, changes)
        else:
            began = self.exists is False
            self.exists = True
            if entry.action == CREATED:
                if "parent" not in entry.data:  # else it tells of a part of the columns only
                    self.values = dict.fromkeys(names)
                self.links.update({name: Links(complete=True) for name in many})
            self.values |= new
            for name in [n for n, value in new.items() if isinstance(value, dict) and value.keys() == {"expression"}]:
                del self.values[name]
            for name in changes.keys() & many:
                self._link(name, *changes[name], began=began and entry.action == OBSERVED)

    def _forget(self, entry: AuditEntry, changes: dict[str, Any]) -> None:
        """Nobody knows which objects the entry is of, nor always which of their fields."""
        if entry.action == CREATED:
            self.exists = None
        for name in changes or [*self.values, *self.links]:
            self.values.pop(name, None)
            self.links.pop(name, None)

    def _link(self, name: str, went: list[Any], came: list[Any], *, began: bool) -> None:
        if began:
            self.links[name] = Links(complete=True)
        self.links[name].known |= {json.dumps(key): False for key in went} | {json.dumps(key): True for key in came}


def histories_of(plan: Plan, using: str, ids: list[str]) -> dict[str, History]:
    """By the objects' ids in the log."""
    family = family_of(plan)
    names = [f.name for p in family for f in p.fields]
    many = {f.name for p in family for f in compared_fields(p)}
    histories = {resource_id: History() for resource_id in ids}
    entries = AuditEntry.objects.using(using).filter(
        source_category=CHANGE, resource_type__in=[p.resource_type for p in family], resource_id__in=["", *ids]
    )
    for entry in entries.order_by("id"):
        for history in [histories[entry.resource_id]] if entry.resource_id else histories.values():
            history.apply(entry, names, many)
    return histories
