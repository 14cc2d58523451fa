"""Tells the hubs that somebody may see less than before: signed out, deactivated, a permission or a token taken away.

It goes through the journal, as an event for the hubs alone, so it commits with the change and reaches every process. What the
signals of Django's models don't tell (`QuerySet.update`, SQL, a session that expires) shows when a stream reaches its age limit.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.http import HttpRequest

from events.access import HUBS, is_derived
from events.conf import settings
from events.context import session_label
from events.journal import record_of
from events.manager import unified_event_manager
from events.types import EventCategory, UnifiedEvent

ACCESS_CHANGED: Final = "stream.access_changed"
# Fields of a user that say what they may see, or whether their sessions are still good.
DECISIVE: Final = frozenset({"is_active", "is_staff", "is_superuser", "password"})
# What a login saves, with nothing else.
AT_A_LOGIN: Final = frozenset({"last_login"})
LOST_OR_CHANGED: Final = ("post_add", "post_remove", "post_clear")


def connect() -> None:
    """Follow the signals. Doing it again changes nothing."""
    user = get_user_model()
    uid = "events.access_changes"
    user_logged_out.connect(_signed_out, dispatch_uid=uid)
    for model in apps.get_models():
        if issubclass(model, user):  # proxies are senders of their own
            post_save.connect(_user_saved, sender=model, dispatch_uid=uid)
            post_delete.connect(_user_deleted, sender=model, dispatch_uid=uid)
    m2m_changed.connect(_group_changed, sender=Group.permissions.through, dispatch_uid=uid)
    for relation in ("groups", "user_permissions"):
        if hasattr(user, relation):
            m2m_changed.connect(_relation_changed, sender=getattr(user, relation).through, dispatch_uid=uid)
    if apps.is_installed("rest_framework.authtoken"):
        for token in ("authtoken.Token", "authtoken.TokenProxy"):  # the admin deletes proxies
            post_delete.connect(_token_deleted, sender=token, dispatch_uid=uid)


def tell(user_id: Any = None, session: str | None = None, using: str | None = None) -> None:
    """Have the hubs look again at the streams of a user, or of all staff; those of a session that was signed out are closed.

    `using` is the database of the change: where it is not the journal's, they are told once the change is committed.
    """
    if using is not None and using != settings().DATABASE:
        transaction.on_commit(partial(tell, user_id, session), using=using)
        return
    data = {"user_id": None if user_id is None else str(user_id), "session": session}
    record = record_of(UnifiedEvent(EventCategory.MONITORING, ACCESS_CHANGED, data=data))
    unified_event_manager.writer.write([record._replace(audience=HUBS)], lambda: None)


def _signed_out(request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    if user is not None:
        tell(user.pk, session_label(getattr(getattr(request, "session", None), "session_key", None)))


def _user_saved(instance: Any, created: bool, raw: bool, update_fields: frozenset[str] | None, using: str, **kwargs: Any) -> None:
    if not (created or raw) and (update_fields is None or _is_decisive(type(instance), update_fields)):
        tell(instance.pk, using=using)


def _is_decisive(model: type[Any], saved: frozenset[str]) -> bool:
    return bool(DECISIVE & saved) or (is_derived(model, "is_staff") and bool(saved - AT_A_LOGIN))


def _user_deleted(instance: Any, using: str, **kwargs: Any) -> None:
    tell(instance.pk, using=using)


def _relation_changed(instance: Any, action: str, reverse: bool, using: str, **kwargs: Any) -> None:
    """A user's groups or permissions: `reverse` from the group's or permission's side, of users that are not all known."""
    if action in LOST_OR_CHANGED:
        tell(None if reverse else instance.pk, using=using)


def _group_changed(action: str, using: str, **kwargs: Any) -> None:
    if action in LOST_OR_CHANGED:
        tell(using=using)


def _token_deleted(instance: Any, using: str, **kwargs: Any) -> None:
    tell(instance.user_id, using=using)
