"""Security monitoring: logins and attacks become events, incidents become alerts."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from security.adapter import emit_account_event, emit_login_event, emit_rate_limit_exceeded, emit_suspicious_activity

__all__ = ["emit_account_event", "emit_login_event", "emit_rate_limit_exceeded", "emit_suspicious_activity"]


def __getattr__(name: str) -> Any:
    # Imported when it is first used: Django imports this package to load the app, before there are models.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("security.adapter"), name)
