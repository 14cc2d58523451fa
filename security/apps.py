from django.apps import AppConfig


class SecurityConfig(AppConfig):
    """Connects Django's sign-in signals and the security monitor to the event router."""

    name = "security"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from events import background
        from security import checks, enforcement, signals  # noqa: F401  registers the system checks
        from security.keeper import keeper
        from security.monitor import monitor

        signals.connect()
        monitor.start()
        background.add_service(keeper)
        enforcement.connect()
