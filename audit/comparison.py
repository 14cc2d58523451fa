"""What went around the ORM: rows that are not as the audit log says.

For each object the last recorded value of each field is compared with its row. That finds what SQL, migrations, or a program without
Django wrote, whenever it did: not who, nor when. What was changed and changed back it can't find.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db import models, router, transaction

from audit.changes import Plan
from audit.entries import CREATED, DELETED, insert, row
from audit.models import CHANGE, AuditEntry
from audit.registry import family_of, plans
from events.redaction import hashed

# Rows that are looked at together.
CHUNK = 500
OBSERVED = "observed"


@dataclass(frozen=True)
class Finding:
    """A row that is not as recorded. `field` is "" where it is about the whole row; `recorded` and `found` are JSON."""

    resource_type: str
    resource_id: str
    kind: str
    field: str = ""
    recorded: str = "null"
    found: str = "null"

    def __str__(self) -> str:
        if self.kind == "differs":
            return f"{self.resource_type} {self.resource_id}: {self.field} is {self.found}, recorded is {self.recorded}"
        what = "is recorded, and there is no such row" if self.kind == "missing" else "has no record"
        return f"{self.resource_type} {self.resource_id}: {what}"


@dataclass
class _History:
    """What the log says of an object. `exists` None: it can't tell."""

    exists: bool | None = False
    values: dict[str, Any] = field(default_factory=dict)

    def apply(self, entry: AuditEntry, names: Iterable[str]) -> None:
        """What the entry makes of it; one without an object is about objects that nobody knows by name."""
        new = {name: change[1] for name, change in (entry.changes or {}).items()}
        if entry.action == DELETED or entry.data.get("missing"):
            self.exists, self.values = (False if entry.resource_id else None), {}
        elif not entry.resource_id:
            self.exists = None if entry.action == CREATED else self.exists
            gone = new or list(self.values)  # which fields a bulk write was of may not be recorded either
            for name in gone:
                self.values.pop(name, None)
        else:
            self.exists = True
            if entry.action == CREATED:
                self.values = dict.fromkeys(names)
            self.values |= new
            for name in [n for n, value in new.items() if isinstance(value, dict) and value.keys() == {"expression"}]:
                del self.values[name]


def compare(model: type[models.Model]) -> Iterator[Finding]:
    """Where rows of a tracked model are not as recorded. KeyError for a model that isn't tracked.

    What is written while it reads may look like a difference: each is looked at twice.
    """
    plan = plans[model]
    using = router.db_for_write(model)
    keys = model._base_manager.using(using).order_by("pk").values_list("pk", flat=True).iterator(CHUNK)
    yield from _in_chunks(plan, using, keys)
    if plan.pk_is_secret or model._meta.pk is None:
        return  # of a hash nobody can say which row it was of
    recorded = AuditEntry.objects.using(using).filter(resource_type=plan.resource_type, source_category=CHANGE)
    ids = (
        recorded.exclude(resource_id="").order_by("resource_id").values_list("resource_id", flat=True).distinct().iterator(CHUNK)
    )
    gone = _in_chunks(plan, using, map(model._meta.pk.to_python, ids))
    yield from (finding for finding in gone if finding.kind == "missing")  # the rest was found by its row


def _in_chunks(plan: Plan, using: str, keys: Iterable[Any]) -> Iterator[Finding]:
    for chunk in _batched(keys, CHUNK):
        found = _findings(plan, using, chunk)
        if found:
            again = set(_findings(plan, using, chunk))
            yield from (finding for finding in found if finding in again)


def _batched(items: Iterable[Any], number: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, number)):
        yield batch


def _findings(plan: Plan, using: str, keys: list[Any]) -> list[Finding]:
    with transaction.atomic(using=using):
        rows = plan.model._base_manager.using(using).in_bulk(keys)
        histories = _histories(plan, using, [_id(plan, key) for key in keys])
    found: list[Finding] = []
    for key in keys:
        history, resource_id = histories[_id(plan, key)], _id(plan, key)
        if key not in rows:
            if history.exists:
                found.append(Finding(plan.resource_type, resource_id, "missing"))
        elif history.exists is False:
            found.append(Finding(plan.resource_type, resource_id, "unrecorded", found=json.dumps(_values(plan, rows[key]))))
        else:
            values = _values(plan, rows[key])
            differ = [name for name, value in values.items() if name in history.values and history.values[name] != value]
            texts = ((name, json.dumps(history.values[name]), json.dumps(values[name])) for name in differ)
            found += [Finding(plan.resource_type, resource_id, "differs", *text) for text in texts]
    return found


def _id(plan: Plan, key: Any) -> str:
    return str(hashed(key) if plan.pk_is_secret else key)


def _values(plan: Plan, instance: models.Model) -> dict[str, Any]:
    """The row as it would be recorded. What comes from a tracked parent's table is compared there."""
    own = {f.name for f in plan.model._meta.concrete_fields if f.model is plan.model or f.model not in plans}
    return {f.name: f.keep(f.as_json(instance.__dict__[f.attname])) for f in plan.fields if f.name in own}


def _histories(plan: Plan, using: str, ids: list[str]) -> dict[str, _History]:
    family = family_of(plan)
    names = [f.name for p in family for f in p.fields]
    histories = {resource_id: _History() for resource_id in ids}
    entries = AuditEntry.objects.using(using).filter(
        source_category=CHANGE, resource_type__in=[p.resource_type for p in family], resource_id__in=["", *ids]
    )
    for entry in entries.order_by("id"):
        for history in [histories[entry.resource_id]] if entry.resource_id else histories.values():
            history.apply(entry, names)
    return histories


def record_findings(model: type[models.Model], findings: Iterable[Finding]) -> int:
    """Record what was found, one entry an object with recorded beside found values, so that the next comparison starts there."""
    plan, using = plans[model], router.db_for_write(model)
    by_object: dict[str, list[Finding]] = {}
    for finding in findings:
        by_object.setdefault(finding.resource_id, []).append(finding)
    connection = transaction.get_connection(using)
    for chunk in _batched(by_object.items(), CHUNK):
        entries = []
        for resource_id, of_object in chunk:
            changes = {f.field: [json.loads(f.recorded), json.loads(f.found)] for f in of_object if f.field}
            for unrecorded in (f for f in of_object if f.kind == "unrecorded"):
                changes |= {name: [None, value] for name, value in json.loads(unrecorded.found).items()}
            data = {"missing": True} if of_object[0].kind == "missing" else None
            entry = row(plan, OBSERVED, None, "", changes, data)
            entries.append(entry._replace(resource_id=resource_id))
        with transaction.atomic(using=using):
            insert(connection, entries)
    return len(by_object)
