"""System checks of the audit log."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning, register

from audit.conf import AuditSettings
from audit.recorder import recorder
from events.checks import settings_errors
from events.manager import event_router
from events.types import EventCategory

MIDDLEWARE = "events.context.EventContextMiddleware"


@register
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """audit.E001: unknown keys and bad values of `AUDIT`."""
    return settings_errors(AuditSettings, "audit.E001")


@register
def check_recorder(**kwargs: Any) -> list[CheckMessage]:
    """audit.E002: the audit log is installed and nothing writes it."""
    if recorder in event_router.emitters(EventCategory.AUDIT):
        return []
    return [
        Error(
            "Audit events are not written to the audit log.",
            hint="audit.apps.AuditConfig registers its emitter in ready(): name no other AppConfig in INSTALLED_APPS, or have "
            "it call ready() of its parent, and unregister the emitter nowhere.",
            id="audit.E002",
        )
    ]


@register
def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """audit.W001: nothing tells who did it and from where."""
    if MIDDLEWARE in django_settings.MIDDLEWARE:
        return []
    hint = f"Add {MIDDLEWARE!r} to MIDDLEWARE, after AuthenticationMiddleware."
    return [Warning("Audit entries of requests will have no actor, address and correlation.", hint=hint, id="audit.W001")]
