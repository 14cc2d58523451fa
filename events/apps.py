from django.apps import AppConfig


class EventsConfig(AppConfig):
    """Connects the router to the journal when Django starts: nobody has to remember it."""

    name = "events"
    verbose_name = "Events"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from events import (
            access_changes,
            checks,  # noqa: F401  registers the system checks
        )
        from events.manager import unified_event_manager

        unified_event_manager.initialize()
        access_changes.connect()
