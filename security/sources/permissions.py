"""Who may do what, as it changes: flags of users, groups and permissions, from whichever side of the relation it is done.

Told with the change: a rollback leaves none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db.models.signals import m2m_changed, pre_delete

from security.sources.telling import name_of, printable, tell

FLAGS: Final = {"is_staff": "staff", "is_superuser": "superuser"}
# An event has a size limit, and there may be thousands of permissions.
NAMES_AN_EVENT: Final = 100
UID: Final = "security.permissions"


def connect() -> None:
    """Follow the signals. Doing it again changes nothing."""
    fields = [Group._meta.get_field("permissions")]
    fields += [field for field in get_user_model()._meta.many_to_many if field.name in ("groups", "user_permissions")]
    for field in fields:
        through = field.remote_field.through
        m2m_changed.connect(partial(_on_changed, field), sender=through, weak=False, dispatch_uid=UID)
    pre_delete.connect(_before_group_deleted, sender=Group, dispatch_uid=UID)


def tell_flags_changed(user: Any, changes: Mapping[str, tuple[Any, Any]], using: str) -> None:
    """A user becomes staff or superuser, or is it no longer."""
    changed = {name: list(changes[flag]) for flag, name in FLAGS.items() if flag in changes}
    if changed:
        _tell_user(user, [], [], using, **changed)


def _on_changed(
    field: Any, action: str, instance: Any, reverse: bool, pk_set: set[Any] | None, using: str, **kwargs: Any
) -> None:
    """`instance` has the field, or (`reverse`) is among its values. What goes is read before it does, what came is told after."""
    if action not in ("post_add", "pre_remove", "pre_clear"):
        return
    model = field.model if reverse else field.remote_field.model
    if action == "post_add":
        others = model._base_manager.using(using)
    elif reverse:
        others = model._base_manager.using(using).filter(**{field.name: instance.pk})
    else:
        others = getattr(instance, field.name).using(using)
    if pk_set is not None:
        others = others.filter(pk__in=pk_set)
    if model is Permission:
        others = others.select_related("content_type")
    holders, things = (others, [instance]) if reverse else ([instance], others)
    names = sorted(map(_name, things))
    for holder in holders:
        for part in _parts(names):
            granted, revoked = (part, []) if action == "post_add" else ([], part)
            if isinstance(holder, Group):
                _tell_group("group.permissions_changed", holder, granted, revoked, using)
            else:
                _tell_user(holder, granted, revoked, using)


def _before_group_deleted(instance: Group, using: str, **kwargs: Any) -> None:
    names = sorted(map(_name, instance.permissions.using(using).select_related("content_type")))
    for part in _parts(names) if names else [[]]:
        _tell_group("group.deleted", instance, [], part, using)


def _tell_user(user: Any, granted: list[str], revoked: list[str], using: str, **flags: Any) -> None:
    data = name_of(user) | {"granted": granted, "revoked": revoked} | flags
    before = [*revoked, *(name for name, (old, _) in flags.items() if old)]
    after = [*granted, *(name for name, (_, new) in flags.items() if new)]
    tell("account.permissions_changed", data, account=user, details=_from_to(after, before), using=using)


def _tell_group(event_type: str, group: Group, granted: list[str], revoked: list[str], using: str) -> None:
    members = get_user_model()._base_manager.using(using)
    number = members.filter(groups=group.pk).count() if hasattr(get_user_model(), "groups") else 0
    data = {"group": printable(group.name), "members": number, "granted": granted, "revoked": revoked}
    tell(event_type, data, details=[f"group {group.name}", *_from_to(granted, revoked)], using=using)


def _from_to(granted: list[str], revoked: list[str]) -> tuple[str, str]:
    """Before and after, in a word or two each, as OWASP's vocabulary has it."""
    return " ".join(revoked), " ".join(granted)


def _name(thing: Any) -> str:
    if isinstance(thing, Permission):
        return f"{thing.content_type.app_label}.{thing.codename}"
    return f"group {printable(thing.name)}"


def _parts(names: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while part := list(islice(rest, NAMES_AN_EVENT)):
        yield part
