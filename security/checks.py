"""System checks of the security monitor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import FieldError, ValidationError
from django.db import DatabaseError
from django.utils.module_loading import import_string

from events.checks import settings_errors
from events.client_ip import undeclared_proxy
from events.conf import EventsSettings
from events.conf import settings as events_settings
from security.accounts import field_of
from security.backends import GuardBackend
from security.conf import SecuritySettings, redis_url, settings
from security.memory import WARNED_FOR, seen_proxies
from security.middleware import SecurityMiddleware
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
def check_sign_in_fields(**kwargs: Any) -> list[CheckMessage]:
    """security.E004: what people are said to sign in by is no field of the user model."""
    if settings_errors(SecuritySettings, "security.E001"):
        return []
    return [
        Error(
            f"SECURITY['SIGN_IN_FIELDS'] names {lookup!r}, which finds no user: {reason}",
            hint="Name fields of the user model, or paths to them, with __exact, __iexact or neither.",
            id="security.E004",
        )
        for lookup in settings().SIGN_IN_FIELDS
        if (reason := _why_not(lookup))
    ]


def _why_not(lookup: str) -> str:
    users = get_user_model()._default_manager
    try:
        users.values_list(field_of(lookup))
        users.filter(**{lookup: "x"})
    except FieldError as error:
        return str(error)
    except (ValueError, ValidationError):  # a field of numbers
        return ""
    return ""


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
def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """security.W001: refusals, tokens and sessions are not seen, for want of the middleware."""
    if any(
        issubclass(found, SecurityMiddleware)
        for found in map(import_string, django_settings.MIDDLEWARE)
        if isinstance(found, type)
    ):
        return []
    return [
        Warning(
            "Refused requests, tokens from new addresses and sessions that are gone are not told.",
            hint="Put security.middleware.SecurityMiddleware into MIDDLEWARE, right after events.context.EventContextMiddleware.",
            id="security.W001",
        )
    ]


@register(Tags.database)
def check_proxies(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """security.W002: `X-Forwarded-For` came from peers that are no declared proxies. Only with `check --database`."""
    if settings_errors(EventsSettings, "") or events_settings().DATABASE not in (databases or ()):
        return []
    try:
        peers = [peer for peer in seen_proxies() if undeclared_proxy(peer, "x") is not None]
    except DatabaseError:  # the table is not there yet
        return []
    if not peers:
        return []
    return [
        Warning(
            f"X-Forwarded-For came from peers that are no declared proxies, and was not believed: {', '.join(peers)}.",
            hint='If they are your reverse proxies, name their networks in EVENTS["TRUSTED_PROXIES"]: else all clients seem to have their address. '
            f"If not, somebody tries to hide theirs: forget it on the security dashboard, or {WARNED_FOR.days} days after it was seen last it is gone.",
            id="security.W002",
        )
    ]


@register
def check_guard(**kwargs: Any) -> list[CheckMessage]:
    """security.E010: attempts to sign in are to be refused, and the backend that does it is not the first."""
    backends = list(django_settings.AUTHENTICATION_BACKENDS)
    if check_settings() or not settings().ENFORCE or (backends and _is_guard(backends[0])):
        return []
    return [
        Error(
            f"SECURITY['ENFORCE'] is on, and {GUARD} is {'not the first' if any(map(_is_guard, backends)) else 'not one'} of "
            "AUTHENTICATION_BACKENDS: passwords are checked before an attempt is counted.",
            hint=f"Put {GUARD!r} at the beginning of AUTHENTICATION_BACKENDS.",
            id="security.E010",
        )
    ]


def _is_guard(backend: str) -> bool:
    found = import_string(backend)
    return isinstance(found, type) and issubclass(found, GuardBackend)
