"""The security events of the usual occasions, each with its audit entry and, where it is urgent, its alert."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import events
from audit.models import AuditEntry
from events.models import JournalEntry
from security.adapter import emit_account_event, emit_login_event, emit_rate_limit_exceeded, emit_suspicious_activity

pytestmark = pytest.mark.django_db(transaction=True)


async def journaled(event_type: str) -> dict[str, events.UnifiedEvent]:
    """The events of the type by category."""
    return {row.category: row.event async for row in JournalEntry.objects.filter(event_type=event_type)}


async def test_a_failed_login_gives_a_security_event_an_audit_entry_and_an_alert_to_the_staff() -> None:
    assert await emit_login_event(
        success=False, user_id="user_123", ip_address="192.168.1.1", details={"reason": "invalid_password"}
    )
    found = await journaled("auth.login_failure")
    assert set(found) == {"security", "audit", "realtime"}
    assert found["security"].priority == "high"
    assert found["security"].data == {"reason": "invalid_password", "ip_address": "192.168.1.1"}
    assert (await JournalEntry.objects.aget(category="realtime")).audience == "staff:security"
    entry = await AuditEntry.objects.aget()
    assert (entry.outcome, entry.user_id, entry.ip_address, entry.priority) == ("failure", "user_123", "192.168.1.1", "high")


async def test_a_login_gives_a_security_event_and_an_audit_entry() -> None:
    await emit_login_event(success=True, user_id=7, user_agent="Probe/1", session_id="s-1")
    assert set(await journaled("auth.login_success")) == {"security", "audit"}
    entry = await AuditEntry.objects.aget()
    assert (entry.outcome, entry.priority, entry.user_id) == ("success", "normal", "7")
    assert (entry.user_agent, entry.session_id) == ("Probe/1", "s-1")


async def test_suspicious_activity_is_urgent_and_claims_no_outcome() -> None:
    await emit_suspicious_activity("path_traversal", "user_1", "203.0.113.9", {"path": "../../etc/passwd"})
    assert set(await journaled("suspicious.path_traversal")) == {"security", "audit", "realtime"}
    entry = await AuditEntry.objects.aget()
    assert (entry.outcome, entry.ip_address) == ("unknown", "203.0.113.9")


async def test_a_request_over_the_limit_was_denied() -> None:
    await emit_rate_limit_exceeded(user_id="user_1", ip_address="203.0.113.9", endpoint="/api/chat", details={"limit": 10})
    entry = await AuditEntry.objects.aget()
    assert (entry.event_type, entry.outcome, entry.priority) == ("rate_limit.exceeded", "denied", "normal")
    assert entry.data == {"limit": 10, "ip_address": "203.0.113.9", "endpoint": "/api/chat"}


@pytest.mark.parametrize(("action", "priority"), [("locked", "high"), ("deactivated", "high"), ("email_changed", "normal")])
async def test_what_happens_to_an_account_is_as_urgent_as_it_is_grave(action: str, priority: str) -> None:
    await emit_account_event(action, "user_1", admin_user_id="admin_1", details={"reason": "asked"}, success=True)
    entry = await AuditEntry.objects.aget()
    assert (entry.event_type, entry.priority, entry.outcome) == (f"account.{action}", priority, "success")
    assert (entry.user_id, entry.data) == ("user_1", {"reason": "asked", "admin_user_id": "admin_1"})
    assert entry.actor_label == "admin_1"


async def test_an_account_event_that_states_no_outcome_has_none() -> None:
    await emit_account_event("locked", "user_1")
    assert (await AuditEntry.objects.aget()).outcome == "unknown"


async def test_the_callers_dictionaries_stay_as_they_are() -> None:
    details, metadata = {"reason": "x"}, {"ticket": "T-1"}
    kept = copy.deepcopy((details, metadata))
    for emission in (
        emit_login_event(False, "u", "203.0.113.9", "Probe/1", details, metadata=metadata),
        emit_suspicious_activity("probe", "u", "203.0.113.9", details, metadata=metadata),
        emit_rate_limit_exceeded("u", "203.0.113.9", "/", details, metadata=metadata),
        emit_account_event("locked", "u", "admin", details, metadata=metadata),
    ):
        assert await emission
    assert (details, metadata) == kept
    assert {entry.metadata["ticket"] async for entry in AuditEntry.objects.all()} == {"T-1"}


async def test_bad_input_is_refused_by_the_name_of_its_field(settings: Any) -> None:
    settings.EVENTS = {"RAISE_INVALID": True}
    for emission, field in (
        (emit_suspicious_activity("Not A Word"), "event_type"),
        (emit_login_event(False, details="text"), "data"),
        (emit_rate_limit_exceeded(metadata="text"), "metadata"),
        (emit_account_event("locked", "u", nonsense=1), "nonsense"),
        (emit_account_event([], "u"), "event_type"),
        (emit_login_event(None), "success"),
    ):
        with pytest.raises(events.InvalidEvent) as refused:
            await emission
        assert refused.value.field == field
    assert not await JournalEntry.objects.aexists()
