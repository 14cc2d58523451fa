"""What went around the ORM: rows that are not as the audit log says.

For each object the last recorded value of each field is compared with its row, and the many-to-many rows that came and went with those that are
there. That finds what SQL, migrations, or a program without Django wrote, whenever it did: not who, nor when. What was changed and changed back it
can't find.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import models, router, transaction

from audit.models import CHANGE, AuditEntry
from audit.tracking.changes import Plan
from audit.tracking.entries import insert, resource_id_of, row
from audit.tracking.histories import OBSERVED, Links, histories_of
from audit.tracking.registry import plans
from audit.tracking.through import compared_fields, ends_of, keeper_of

# Rows that are looked at together.
CHUNK = 500


@dataclass(frozen=True)
class Finding:
    """A row that is not as recorded. `field` is "" where it is about the whole row; `recorded` and `found` are JSON.

    Of a many-to-many field they are the keys of the rows that are recorded and not there, and of those that are there and not recorded.
    """

    resource_type: str
    resource_id: str
    kind: str
    field: str = ""
    recorded: str = "null"
    found: str = "null"

    def __str__(self) -> str:
        if self.kind == "differs":
            return f"{self.resource_type} {self.resource_id}: {self.field} is {self.found}, recorded is {self.recorded}"
        if self.kind == "rows":
            parts = {"recorded and not there": self.recorded, "there and not recorded": self.found}
            told = ", ".join(f"{keys} are {what}" for what, keys in parts.items() if keys != "[]")
            return f"{self.resource_type} {self.resource_id}: of {self.field}, {told}"
        what = "is recorded, and there is no such row" if self.kind == "missing" else "has no record"
        return f"{self.resource_type} {self.resource_id}: {what}"


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
    gone = _in_chunks(plan, using, (_key_of(model, resource_id) for resource_id in ids))
    yield from (finding for finding in gone if finding.kind == "missing")  # the rest was found by its row


def _in_chunks(plan: Plan, using: str, keys: Iterable[Any]) -> Iterator[Finding]:
    for chunk in _batched(keys, CHUNK):
        found = _findings(plan, using, chunk)
        if found:
            again = set(_findings(plan, using, chunk))
            yield from (finding for finding in found if finding in again)


def _key_of(model: type[models.Model], resource_id: str) -> Any:
    """The key that has this id in the log."""
    fields = model._meta.pk_fields
    parts = [resource_id] if len(fields) == 1 else json.loads(resource_id)
    key = tuple(field.to_python(part) for field, part in zip(fields, parts, strict=True))
    return key if len(key) > 1 else key[0]


def _batched(items: Iterable[Any], number: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, number)):
        yield batch


def _findings(plan: Plan, using: str, keys: list[Any]) -> list[Finding]:
    with transaction.atomic(using=using):
        rows = plan.model._base_manager.using(using).in_bulk(keys)
        links = {field.name: _links(plan, field, using, rows) for field in compared_fields(plan)}
        histories = histories_of(plan, using, [resource_id_of(plan, key) for key in keys])
    found: list[Finding] = []
    for key in keys:
        resource_id = resource_id_of(plan, key)
        history = histories[resource_id]
        if key not in rows:
            if history.exists:
                found.append(Finding(plan.resource_type, resource_id, "missing"))
        elif history.exists is False:
            there = {name: [json.loads(far) for far in sorted(of_field[key])] for name, of_field in links.items()}
            found.append(
                Finding(plan.resource_type, resource_id, "unrecorded", found=json.dumps(_values(plan, rows[key]) | there))
            )
        else:
            values = _values(plan, rows[key])
            differ = [name for name, value in values.items() if name in history.values and history.values[name] != value]
            texts = ((name, json.dumps(history.values[name]), json.dumps(values[name])) for name in differ)
            found += [Finding(plan.resource_type, resource_id, "differs", *text) for text in texts]
            for name, of_field in links.items():
                found += _links_differ(plan, resource_id, name, of_field[key], history.links[name])
    return found


def _values(plan: Plan, instance: models.Model) -> dict[str, Any]:
    """The row as it would be recorded. What comes from a tracked parent's table is compared there."""
    own = {f.name for f in plan.model._meta.concrete_fields if f.model is plan.model or f.model not in plans}
    return {f.name: f.keep(f.as_json(instance.__dict__[f.attname])) for f in plan.fields if f.name in own}


def _links(plan: Plan, field: Any, using: str, keys: Iterable[Any]) -> dict[Any, set[str]]:
    """By object, the keys of the other side that its field has, as JSON of what would be recorded."""
    near, far = ends_of(field)
    keep = keeper_of(plan, field)
    found: dict[Any, set[str]] = {key: set() for key in keys}
    rows = near.model._base_manager.using(using).filter(**{f"{near.name}__in": list(found)})
    for key, other in rows.values_list(near.attname, far.attname):
        found[key].add(json.dumps(keep(other)))
    return found


def _links_differ(plan: Plan, resource_id: str, name: str, found: set[str], links: Links) -> Iterator[Finding]:
    went = sorted(key for key, there in links.known.items() if there and key not in found)
    came = sorted(key for key in found if not links.known.get(key, not links.complete))
    if went or came:
        yield Finding(plan.resource_type, resource_id, "rows", name, _array(went), _array(came))


def _array(keys: Iterable[str]) -> str:
    return f"[{', '.join(keys)}]"


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
                many = {field.name for field in compared_fields(plan)}
                values = json.loads(unrecorded.found)
                changes |= {name: [[] if name in many else None, value] for name, value in values.items()}
            data = {"missing": True} if of_object[0].kind == "missing" else None
            entry = row(plan, OBSERVED, None, "", changes, data)
            entries.append(entry._replace(resource_id=resource_id))
        with transaction.atomic(using=using):
            insert(connection, entries)
    return len(by_object)
