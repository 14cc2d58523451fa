"""Django's admin log becomes audit events: `admin.add`, `admin.change`, `admin.delete`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry, LogEntryManager
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import models, router, transaction
from django.db.models.signals import post_save

from audit.conf import settings
from audit.models import Outcome
from events.conf import settings as events_settings
from events.context import current_context, user_actor
from events.manager import emit
from events.types import EventCategory, EventPriority

ACTIONS = {ADDITION: "add", CHANGE: "change", DELETION: "delete"}


def connect() -> None:
    """Follow the admin's log. Doing it again changes nothing.

    `LogEntry.save` sends `post_save`. An action on several objects is logged with `bulk_create`, which sends no signal, so
    the manager's method is replaced; why so: docs/decisions/0009-the-admin-log-is-followed-in-bulk-too.md.
    """
    post_save.connect(_on_saved, sender=LogEntry, dispatch_uid="audit.admin_log")
    LogEntryManager.bulk_create = _bulk_create  # type: ignore[assignment]


def _on_saved(instance: LogEntry, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    if created and not raw:
        _record(instance, _in_transaction(using))


def _bulk_create(manager: LogEntryManager, objs: Iterable[LogEntry], *args: Any, **kwargs: Any) -> list[LogEntry]:
    using = router.db_for_write(LogEntry)
    with_change = _in_transaction(using)
    with transaction.atomic(using=using):
        entries = models.Manager.bulk_create(manager, objs, *args, **kwargs)
        for entry in entries:
            _record(entry, with_change)
    return entries


def _in_transaction(using: str) -> bool:
    """Whether what is written now commits with the change that the admin logs."""
    return using == events_settings().DATABASE and transaction.get_connection(using).in_atomic_block


def _record(entry: LogEntry, with_change: bool) -> None:
    action = ACTIONS.get(entry.action_flag, "other")  # a project may log what it likes
    critical = action in settings().CRITICAL_ACTIONS
    metadata: dict[str, Any] = {}
    if with_change:  # else the admin logs before it acts, and nobody can say yet how that will end
        metadata["outcome"] = str(Outcome.SUCCESS)
    actor = current_context().current_actor()
    if actor is None or actor.type != "user" or actor.id != str(entry.user_id):
        user = user_actor(get_user_model()._base_manager.filter(pk=entry.user_id).first())
        if user is not None:
            metadata["actor"] = user.to_dict()
    emit(
        f"admin.{action}",
        _data(entry, action),
        category=EventCategory.AUDIT,
        priority=EventPriority.HIGH if critical else EventPriority.NORMAL,
        user_id=str(entry.user_id),
        metadata=metadata,
    )


def _data(entry: LogEntry, action: str) -> dict[str, Any]:
    resource_type = None
    if entry.content_type_id is not None:
        content_type = ContentType.objects.get_for_id(entry.content_type_id)
        resource_type = f"{content_type.app_label}.{content_type.model}"
    return {
        "action": action,
        "resource_type": resource_type,
        "resource_id": _storable(entry.object_id),
        "resource_label": _storable(entry.object_repr),
        "changes": _changes(entry.change_message),
    }


def _changes(message: str) -> Any:
    """What the admin says was changed: its structure (`[{"changed": {"fields": ["Name"]}}]`), or text where it has none."""
    limit = events_settings().MAX_EVENT_BYTES // 8  # in characters: with the rest, it must not make the event too large
    if len(message) > limit:
        return {"shortened": True, "text": _storable(message[:limit])}
    if message.startswith("["):
        try:
            return json.loads(_storable(message).replace("\\u0000", "\\ufffd"))
        except json.JSONDecodeError:
            pass
    return _storable(message)


def _storable(text: str | None) -> str:
    return str("" if text is None else text).replace("\0", "\ufffd")
