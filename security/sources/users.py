"""What a save changes of a user, by any user model: asked of the database just before, and handed to the sources that tell it.

`QuerySet.update` and SQL send no signals; what they change is not told.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connections, models
from django.db.models.signals import post_delete, post_save, pre_save

from events.access import is_derived
from events.access_changes import AT_A_LOGIN
from security.sources import accounts, logins, permissions
from security.sources.telling import isolated

UID = "security.users"


def connect() -> None:
    """Follow the signals of the user model, its proxies and what inherits from it. Doing it again changes nothing."""
    for model in apps.get_models():
        if issubclass(model, get_user_model()):
            pre_save.connect(_before_save, sender=model, dispatch_uid=UID)
            post_save.connect(_on_saved, sender=model, dispatch_uid=UID)
            post_delete.connect(_on_deleted, sender=model, dispatch_uid=UID)


@lru_cache(maxsize=64)
def watched(model: type[models.Model]) -> frozenset[str]:
    """The fields whose changes are told, of those that the model has."""
    wanted = {"password", get_user_model().get_email_field_name(), *accounts.FLAGS, *permissions.FLAGS}
    return frozenset(field.name for field in model._meta.concrete_fields if field.name in wanted)


@lru_cache(maxsize=64)
def derived(model: type[models.Model]) -> frozenset[str]:
    """The flags that follow from other fields."""
    return frozenset(name for name in permissions.FLAGS if is_derived(model, name))


@isolated
def _before_save(sender: Any, instance: Any, raw: bool, using: str, update_fields: frozenset[str] | None, **kwargs: Any) -> None:
    names = watched(sender) if update_fields is None else watched(sender) & update_fields
    flags = derived(sender) if update_fields is None or update_fields - AT_A_LOGIN else frozenset()
    is_new = instance.pk is None or (instance._state.adding and instance._meta.pk.has_default())
    instance._state.security_before = None
    if names | flags and not raw and not is_new:
        rows = sender._base_manager.using(using).filter(pk=instance.pk)
        if connections[using].in_atomic_block:
            rows = rows.select_for_update()
        instance._state.security_before = _values(rows, names, flags)


@isolated
def _on_saved(instance: Any, created: bool, raw: bool, using: str, update_fields: frozenset[str] | None, **kwargs: Any) -> None:
    before, instance._state.security_before = getattr(instance._state, "security_before", None), None
    if created and not raw:
        accounts.tell_created(instance, using)
    if not before:
        return
    changes = {
        name: (old, new) for name, old in before.items() if (new := getattr(instance, name)) != old and not _is_expression(new)
    }
    if changes:
        accounts.tell_changed(instance, changes, using)
        permissions.tell_flags_changed(instance, changes, using)
    if "password" in changes:
        logins.tell_password_changed(instance, changes, update_fields, using)


@isolated
def _on_deleted(instance: Any, using: str, **kwargs: Any) -> None:
    accounts.tell_deleted(instance, using)


def _values(rows: models.QuerySet[Any], names: frozenset[str], flags: frozenset[str]) -> dict[str, Any] | None:
    """Of the only row, if it is there. What follows from its other fields takes all of them."""
    if not flags:
        return rows.values(*names).first()
    found = rows.first()
    return None if found is None else {name: getattr(found, name) for name in names | flags}


def _is_expression(value: Any) -> bool:
    return hasattr(value, "resolve_expression")
