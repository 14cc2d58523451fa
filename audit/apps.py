from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class AuditConfig(AppConfig):
    """Connects the audit log to the event router, and Django's admin log to it where the admin is installed."""

    name = "audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from audit import access, checks  # noqa: F401  registers the system checks
        from audit.evidence.sealer import sealer
        from audit.live import announcer
        from audit.recorder import recorder
        from audit.tracking import tracked
        from events import background
        from events.manager import event_router
        from events.types import EventCategory

        event_router.add_check(access.refuse_forged)
        event_router.register_emitter(EventCategory.AUDIT, recorder)
        tracked.complete()
        announcer.connect()
        background.add_service(sealer)
        # A migration that rebuilds a table drops its triggers.
        post_migrate.connect(_protect, sender=self, dispatch_uid="audit.triggers")
        if apps.is_installed("django.contrib.admin"):
            from audit import admin_log

            admin_log.connect()


def _protect(using: str, **kwargs: Any) -> None:
    from django.db import connections

    from audit.evidence import triggers

    if connections[using].vendor in ("sqlite", "postgresql"):
        triggers.install(connections[using])
