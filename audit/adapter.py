"""Audit events from their usual parts. Coroutines with the result of `events.aemit`; further fields of the event by name.

The outcome is what the caller states: `success` True or False, or None for "not known". The caller's dictionaries stay as
they are. A priority that is not given is HIGH for the actions of `AUDIT["CRITICAL_ACTIONS"]`.
"""

from __future__ import annotations

from typing import Any

from audit.conf import settings
from events.manager import emit_audit_event
from events.parts import merged, stated_outcome
from events.types import EventPriority


async def emit_authentication_audit(
    action: str,
    success: bool | None,
    user_id: str | int | None = None,
    session_id: str | None = None,
    ip_address: str | None = None,
    user_agent: str | None = None,
    details: dict[str, Any] | None = None,
    **fields: Any,
) -> bool:
    """Emit `auth.<action>`, such as `auth.password_change`, for the account `user_id`. HIGH where it did not succeed."""
    fields.setdefault("priority", _priority(action, failed=success is False))
    fields["metadata"] = merged(
        fields.get("metadata"), outcome=stated_outcome(success), ip_address=ip_address, user_agent=user_agent
    )
    data = merged(details, action=action, ip_address=ip_address)
    return await emit_audit_event(f"auth.{action}", data, user_id=user_id, session_id=session_id, **fields)


async def emit_resource_audit(
    action: str,
    resource_type: str,
    resource_id: str | int | None,
    success: bool | None,
    user_id: str | int | None = None,
    details: dict[str, Any] | None = None,
    error_message: str | None = None,
    **fields: Any,
) -> bool:
    """Emit `<resource_type>.<action>`, such as `model.delete`: `user_id` did it to the resource of that type and id.

    `resource_type` and `action` are lower-case words (with dots between them, if several), as an event's type is.
    """
    fields.setdefault("priority", _priority(action))
    fields["metadata"] = merged(fields.get("metadata"), outcome=stated_outcome(success))
    data = merged(
        details,
        action=action,
        resource_type=resource_type,
        resource_id=None if resource_id is None else str(resource_id),
        error_message=error_message,
    )
    return await emit_audit_event(f"{resource_type}.{action}", data, user_id=user_id, **fields)


async def emit_security_audit(
    event_type: str,
    user_id: str | int | None = None,
    ip_address: str | None = None,
    details: dict[str, Any] | None = None,
    success: bool | None = None,
    **fields: Any,
) -> bool:
    """Emit `security.<event_type>`, such as `security.key_rotated`: for the audit log alone, past the security monitor.

    HIGH where it did not succeed.
    """
    fields.setdefault("priority", _priority(str(event_type).rpartition(".")[2], failed=success is False))
    fields["metadata"] = merged(fields.get("metadata"), outcome=stated_outcome(success), ip_address=ip_address)
    data = merged(details, ip_address=ip_address)
    return await emit_audit_event(f"security.{str(event_type).removeprefix('security.')}", data, user_id=user_id, **fields)


def _priority(action: str, failed: bool = False) -> EventPriority:
    return (
        EventPriority.HIGH
        if failed or (isinstance(action, str) and action in settings().CRITICAL_ACTIONS)
        else EventPriority.NORMAL
    )
