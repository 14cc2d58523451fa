"""What an object's row was known to hold, kept with the object: old values without asking the database."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, router

from audit.tracking.scopes import Scope


class Snapshot:
    """Values by attribute, true unless `scope` is rolled back: then `previous` is what is known."""

    __slots__ = ("previous", "scope", "values")

    def __init__(self, values: dict[str, Any], scope: Scope | None = None, previous: Snapshot | None = None) -> None:
        self.values, self.scope, self.previous = values, scope, previous

    def __deepcopy__(self, memo: Any) -> Snapshot:
        return self  # nobody changes one: a copy's truth hangs on the same transaction

    def __reduce__(self) -> Any:
        # Whoever gets a copy in another process can't learn how the transaction ended.
        return Snapshot, ({} if self.scope is not None and not self.scope.committed else self.values,)


def valid_snapshot(instance: models.Model) -> Snapshot | None:
    """The newest one that was not rolled back."""
    snapshot: Snapshot | None = instance._state.__dict__.get("snapshot")
    while snapshot is not None and snapshot.scope is not None and not snapshot.scope.is_valid:
        snapshot = snapshot.previous
    return snapshot


def known_values(instance: models.Model, using: str) -> dict[str, Any] | None:
    """What the object's row in that database is known to hold, or None."""
    snapshot = valid_snapshot(instance)
    if snapshot is None:
        return None
    for field in instance._meta.pk_fields:
        old, new = snapshot.values.get(field.attname), instance.__dict__.get(field.attname)
        if old != new and not _same_key(field, old, new):
            return None  # it was loaded from another row
    loaded_from = instance._state.db
    if loaded_from is None or loaded_from == using or loaded_from == router.db_for_read(type(instance), instance=instance):
        return snapshot.values
    return None


def _same_key(field: Any, old: Any, new: Any) -> bool:
    try:
        return old is not None and new is not None and field.to_python(old) == field.to_python(new)  # "5" is 5
    except ValidationError:
        return False


def remember(instance: models.Model, values: dict[str, Any], scope: Scope | None) -> None:
    """These are the row's values now, as long as `scope` is not rolled back."""
    before = valid_snapshot(instance)
    if scope is None or (before is not None and before.scope is scope):
        before = before.previous if before is not None and scope is not None else None
    elif before is not None and before.scope is not None and before.scope.committed:
        before = Snapshot(before.values)
    if scope is not None and scope.is_by_hand:
        before = None  # nobody knows whether it was committed before what follows was rolled back
    instance._state.snapshot = Snapshot(values, scope, before)  # type: ignore[attr-defined]
