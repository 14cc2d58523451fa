"""Security events from their usual parts. Coroutines with the result of `events.aemit`; further fields of the event by name.

The rules add an audit entry to each, and a realtime alert to those of HIGH or CRITICAL priority. The outcome is what the
caller states: `success` True or False, or None for "not known". The caller's dictionaries stay as they are.
"""

from __future__ import annotations

from typing import Any, Final

from events.context import Actor
from events.exceptions import InvalidEvent
from events.manager import emit_security_event, refuse
from events.parts import merged, stated_outcome
from events.types import EventPriority

LOGIN_SUCCESS: Final = "auth.login_success"
LOGIN_FAILURE: Final = "auth.login_failure"
LOGOUT: Final = "auth.logout"
# What changes who may do what, or takes an account away.
CRITICAL_ACCOUNT_ACTIONS: Final = frozenset(
    {"locked", "deactivated", "deleted", "permissions_changed", "role_changed", "promoted", "impersonated"}
)


async def emit_login_event(
    success: bool,
    user_id: str | int | None = None,
    ip_address: str | None = None,
    user_agent: str | None = None,
    details: dict[str, Any] | None = None,
    **fields: Any,
) -> bool:
    """Emit `auth.login_success` (NORMAL) or `auth.login_failure` (HIGH) for the account `user_id`.

    Failures are counted for brute force, by the address and by the account.
    """
    try:
        parts = login_parts(success, user_id, ip_address, user_agent, details, **fields)
    except InvalidEvent as error:
        return refuse(error)
    return await emit_security_event(parts.pop("event"), **parts)


def login_parts(
    success: bool,
    user_id: str | int | None = None,
    ip_address: str | None = None,
    user_agent: str | None = None,
    details: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """The arguments for `events.emit` that make a login event. Raises InvalidEvent unless `success` is True or False."""
    if not isinstance(success, bool):
        raise InvalidEvent("success", "must be True or False: a login succeeded or it failed")
    fields.setdefault("priority", EventPriority.NORMAL if success else EventPriority.HIGH)
    fields["metadata"] = merged(
        fields.get("metadata"), outcome=stated_outcome(success), ip_address=ip_address, user_agent=user_agent
    )
    event_type = LOGIN_SUCCESS if success else LOGIN_FAILURE
    return {"event": event_type, "data": merged(details, ip_address=ip_address), "user_id": user_id, **fields}


async def emit_suspicious_activity(
    activity_type: str,
    user_id: str | int | None = None,
    ip_address: str | None = None,
    details: dict[str, Any] | None = None,
    **fields: Any,
) -> bool:
    """Emit `suspicious.<activity_type>`, HIGH unless said otherwise."""
    fields.setdefault("priority", EventPriority.HIGH)
    fields["metadata"] = merged(fields.get("metadata"), ip_address=ip_address)
    data = merged(details, ip_address=ip_address)
    return await emit_security_event(f"suspicious.{activity_type}", data, user_id=user_id, **fields)


async def emit_rate_limit_exceeded(
    user_id: str | int | None = None,
    ip_address: str | None = None,
    endpoint: str | None = None,
    details: dict[str, Any] | None = None,
    **fields: Any,
) -> bool:
    """Emit `rate_limit.exceeded`: a request to `endpoint` was refused because there were too many. Its outcome is `denied`."""
    fields["metadata"] = merged(fields.get("metadata"), outcome="denied", ip_address=ip_address)
    data = merged(details, ip_address=ip_address, endpoint=endpoint)
    return await emit_security_event("rate_limit.exceeded", data, user_id=user_id, **fields)


async def emit_account_event(
    action: str,
    user_id: str | int | None,
    admin_user_id: str | int | None = None,
    details: dict[str, Any] | None = None,
    success: bool | None = None,
    **fields: Any,
) -> bool:
    """Emit `account.<action>`, such as `account.locked`, for the account `user_id`; done by `admin_user_id`, if not by the account.

    HIGH for CRITICAL_ACCOUNT_ACTIONS.
    """
    fields.setdefault(
        "priority", EventPriority.HIGH if isinstance(action, str) and action in CRITICAL_ACCOUNT_ACTIONS else EventPriority.NORMAL
    )
    actor = None if admin_user_id is None else Actor("user", str(admin_user_id), str(admin_user_id)).to_dict()
    fields["metadata"] = merged(fields.get("metadata"), outcome=stated_outcome(success), actor=actor)
    data = merged(details, admin_user_id=admin_user_id)
    return await emit_security_event(f"account.{action}", data, user_id=user_id, **fields)
