from django.apps import AppConfig


class SecurityConfig(AppConfig):
    """Connects Django's sign-in signals and the security monitor to the event router."""

    name = "security"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from security import checks, enforcement, signals  # noqa: F401  registers the system checks
        from security.monitor import monitor

        signals.connect()
        monitor.start()
        enforcement.connect()
