from django.apps import AppConfig, apps


class AuditConfig(AppConfig):
    """Connects the audit log to the event router, and Django's admin log to it where the admin is installed."""

    name = "audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from audit import (
            checks,  # noqa: F401  registers the system checks
            tracking,
        )
        from audit.recorder import recorder
        from events.manager import event_router
        from events.types import EventCategory

        event_router.register_emitter(EventCategory.AUDIT, recorder)
        tracking.complete()
        if apps.is_installed("django.contrib.admin"):
            from audit import admin_log

            admin_log.connect()
