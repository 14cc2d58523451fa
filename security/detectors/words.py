"""What detectors watch, and the words and numbers that several of them use."""

from __future__ import annotations

from typing import Any, Final

from security.adapter import LOGIN_FAILURE, LOGIN_SUCCESS
from security.detection import Count, Detection, Observation
from security.models import Severity

# A type of event, and that of its counted summaries.
REFUSED_LOGINS: Final = frozenset({"auth.login_refused", "auth.logins_refused"})
# Attempts to sign in that came to nothing. Where enforcement refuses them no password is checked, and the attack is the same.
LOGIN_FAILURES: Final = frozenset({LOGIN_FAILURE, "auth.login_failures"}) | REFUSED_LOGINS
REFUSALS: Final = frozenset(
    {"access.denied", "access.denials", "csrf.failed", "csrf.failures", "stream.refused", "stream.refusals"}
)
MISSES: Final = frozenset({"access.not_found", "access.misses"})
TOKEN_REUSES: Final = frozenset({"token.reused", "token.reuses"})
CREATED: Final = "account.created"
PRIVILEGES: Final = frozenset(
    {CREATED, "account.permissions_changed", "account.promoted", "account.role_changed", "group.permissions_changed"}
)
WATCHED: Final = LOGIN_FAILURES | {LOGIN_SUCCESS} | REFUSALS | MISSES | TOKEN_REUSES | {"token.new_address"} | PRIVILEGES


def numbers(seen: Observation, keys: dict[str, Any], count: Count, threshold: int, window: int) -> dict[str, Any]:
    return {
        "keys": keys,
        "attempts": count.number,
        "threshold": threshold,
        "window": window,
        "first_failure": count.first.isoformat() if count.first else None,
        "last_failure": count.last.isoformat() if count.last else None,
        "last_failure_event_id": seen.event_id,
    }


def about_address(kind: str, severity: Severity, seen: Observation, summary: str, numbers: dict[str, Any]) -> Detection:
    return Detection(kind, severity, f"address {seen.network}", summary, numbers, seen.address)


def is_miss(seen: Observation) -> bool:
    return seen.event_type in MISSES or (seen.event_type in REFUSALS and seen.data.get("status") == 404)
