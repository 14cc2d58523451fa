from django.apps import AppConfig


class SecurityConfig(AppConfig):
    """Connects the sources of security events, and the security monitor to the event router."""

    name = "security"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from events import background
        from security import (
            checks,  # noqa: F401  registers the system checks
            sources,
        )
        from security.alerts.deliveries import courier
        from security.enforcement import guard
        from security.keeper import keeper
        from security.monitor import monitor
        from security.sources.floods import floods

        guard.connect()  # before the sources: what it gives back, it gives back before others work on what they tell
        sources.connect()
        background.add_service(floods)
        monitor.start()
        background.add_service(courier)
        background.add_service(keeper)
