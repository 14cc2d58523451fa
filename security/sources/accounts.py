"""Accounts that come, go, or may no longer be used, and whose e-mail address changes. Told with the change: a rollback leaves none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth import get_user_model

from security.sources.telling import account_id, name_of, printable, tell

# What it means that a field becomes true, and false. A project's user model may have a lock of its own.
FLAGS: Final[dict[str, tuple[str, str]]] = {
    "is_active": ("account.reactivated", "account.deactivated"),
    "is_locked": ("account.locked", "account.unlocked"),
}


def tell_created(user: Any, using: str) -> None:
    """A new account, and whether it is a privileged one."""
    rights = {
        name: True for flag, name in (("is_staff", "staff"), ("is_superuser", "superuser")) if getattr(user, flag, False) is True
    }
    tell("account.created", name_of(user) | rights, account=user, details=rights, using=using)


def tell_changed(user: Any, changes: Mapping[str, tuple[Any, Any]], using: str) -> None:
    """What a save changed of an account."""
    for flag in FLAGS.keys() & changes.keys():
        event_type = FLAGS[flag][0 if changes[flag][1] else 1]
        tell(event_type, name_of(user), account=user, details=["other"] if "lock" in event_type else [flag], using=using)
    email = get_user_model().get_email_field_name()
    if email in changes:
        values = [printable(value or "") for value in changes[email]]
        tell("account.email_changed", name_of(user) | {"email": values}, account=user, details=[email], using=using)


def tell_deleted(user: Any, using: str) -> None:
    """An account that is gone."""
    tell("account.deleted", name_of(user), account=account_id(user), using=using)
