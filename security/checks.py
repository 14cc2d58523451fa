"""System checks of the security monitor."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, register

from events.checks import settings_errors
from security.conf import SecuritySettings, redis_url, settings
from security.monitor import monitor

GUARD: Final = "security.backends.GuardBackend"


@register
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """security.E001: unknown keys and bad values of `SECURITY`."""
    return settings_errors(SecuritySettings, "security.E001")


@register
def check_counters(**kwargs: Any) -> list[CheckMessage]:
    """security.E003: counters are to be in Redis, and there is none."""
    if settings_errors(SecuritySettings, "security.E001") or settings().COUNTERS != "redis" or redis_url():
        return []
    return [
        Error(
            'SECURITY["COUNTERS"] is "redis", and no Redis is known.',
            hint='Set SECURITY["REDIS_URL"], or use a channel layer that is a Redis.',
            id="security.E003",
        )
    ]


@register
def check_monitor(**kwargs: Any) -> list[CheckMessage]:
    """security.E002: the security app is installed and its monitor receives nothing."""
    if monitor.is_running:
        return []
    return [
        Error(
            "The security monitor receives no events.",
            hint="security.apps.SecurityConfig starts it in ready(): name no other AppConfig in INSTALLED_APPS, or have it call "
            "ready() of its parent.",
            id="security.E002",
        )
    ]


@register
def check_guard(**kwargs: Any) -> list[CheckMessage]:
    """security.E010: attempts to sign in are to be refused, and the backend that does it is not the first."""
    backends = list(django_settings.AUTHENTICATION_BACKENDS)
    if check_settings() or not settings().ENFORCE or backends[:1] == [GUARD]:
        return []
    return [
        Error(
            f"SECURITY['ENFORCE'] is on, and {GUARD} is {'not the first' if GUARD in backends else 'not one'} of "
            "AUTHENTICATION_BACKENDS: passwords are checked before an attempt is counted.",
            hint=f"Put {GUARD!r} at the beginning of AUTHENTICATION_BACKENDS.",
            id="security.E010",
        )
    ]
