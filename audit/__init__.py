"""The audit log: who did what, kept for who must know."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.adapter import emit_authentication_audit, emit_resource_audit, emit_security_audit
    from audit.tracking.tracked import track, tracked

_HOME = {
    "emit_authentication_audit": "audit.adapter",
    "emit_resource_audit": "audit.adapter",
    "emit_security_audit": "audit.adapter",
    "track": "audit.tracking.tracked",
    "tracked": "audit.tracking.tracked",
}

__all__ = ["emit_authentication_audit", "emit_resource_audit", "emit_security_audit", "track", "tracked"]


def __getattr__(name: str) -> Any:
    # Imported when it is first used: Django imports this package to load the app, before there are models.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
