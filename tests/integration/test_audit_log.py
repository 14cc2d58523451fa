"""Audit events are written to the audit log, with the change that they tell of."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import RequestFactory

import events
from audit.adapter import emit_authentication_audit, emit_resource_audit, emit_security_audit
from audit.models import AuditEntry, Outcome
from audit.recorder import recorder
from events import EventCategory, EventPriority, create_audit_event, emit_audit_event, emit_security_event
from events.context import request_context, use_context
from events.models import JournalEntry
from events.testing import wait_published

pytestmark = pytest.mark.django_db
# For what is about commits, or runs in another thread: its test has no transaction around it.
commits = pytest.mark.django_db(transaction=True)


def emit(event_type: str = "provider.delete", data: dict[str, Any] | None = None, **fields: Any) -> bool:
    return events.emit(event_type, data, category=EventCategory.AUDIT, **fields)


@commits
def test_an_audit_event_becomes_one_entry() -> None:
    event = create_audit_event(
        "provider.delete",
        {"provider_id": "prov_456", "provider_name": "Custom OpenAI", "result": "success"},
        user_id="admin_789",
        correlation_id="c-1",
    )
    assert events.emit(event)
    entry = AuditEntry.objects.get()
    assert (entry.event_id, entry.event_type, entry.action) == (event.id, "provider.delete", "delete")
    assert (entry.outcome, entry.priority, entry.source_category) == (Outcome.SUCCESS, "normal", "audit")
    assert (entry.user_id, entry.resource_type, entry.resource_id) == ("admin_789", "provider", "prov_456")
    assert (entry.timestamp, entry.correlation_id) == (event.timestamp, "c-1")
    assert entry.data == {"provider_id": "prov_456", "provider_name": "Custom OpenAI", "result": "success"}


def test_an_entry_says_who_did_it_and_from_where() -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT="Probe/1", HTTP_X_CORRELATION_ID="c-9")
    request.user = User.objects.create_user("alice")
    with use_context(request_context(request)):
        emit()
    entry = AuditEntry.objects.exclude(event_type__startswith="account.").get()
    assert (entry.user_id, entry.actor_label) == (str(request.user.pk), "alice")
    assert (entry.ip_address, entry.user_agent, entry.correlation_id) == ("203.0.113.9", "Probe/1", "c-9")


@commits
def test_a_change_that_is_rolled_back_leaves_no_entry() -> None:
    with transaction.atomic():
        User.objects.create_user("alice")
        assert emit("user.created")
        assert AuditEntry.objects.filter(event_type="user.created").count() == 1
        transaction.set_rollback(True)
    wait_published()
    assert not AuditEntry.objects.exists()
    assert not JournalEntry.objects.exists()


@commits
def test_a_savepoint_that_is_rolled_back_takes_its_entry_with_it_and_no_other() -> None:
    with transaction.atomic():
        emit("user.created")
        with transaction.atomic():
            emit("user.renamed")
            transaction.set_rollback(True)
        emit("user.activated")
    assert list(AuditEntry.objects.order_by("id").values_list("event_type", flat=True)) == ["user.created", "user.activated"]


@commits
def test_a_login_failure_stays_when_the_transaction_is_rolled_back() -> None:
    with transaction.atomic():
        events.emit("auth.login_failure", {"ip": "203.0.113.9"}, category="security")
        emit("user.renamed")
        transaction.set_rollback(True)
    wait_published()
    entry = AuditEntry.objects.get()
    assert (entry.event_type, entry.source_category) == ("auth.login_failure", "security")


@commits
async def test_a_security_event_has_one_audit_entry_derived_from_it() -> None:
    await emit_security_event("token.reused", {"outcome": "denied"}, priority=EventPriority.HIGH)
    entry = await AuditEntry.objects.aget()
    original = await JournalEntry.objects.aget(category="security")
    assert entry.metadata["derived_from"] == original.event_id
    assert (entry.source_category, entry.outcome, entry.priority) == ("security", "denied", "high")


def test_entries_of_one_batch_are_written_with_one_statement(django_assert_num_queries: Any) -> None:
    batch = [create_audit_event("model.delete", {"model_id": n}) for n in range(10)]
    with transaction.atomic(), django_assert_num_queries(1):
        recorder.write(batch)
    assert AuditEntry.objects.count() == 10


@pytest.mark.parametrize(
    "metadata",
    [
        {"ip_address": "not an address", "actor": "nobody", "user_agent": ["x"]},
        {"ip_address": "fe80::1%eth0"},
        {"ip_address": "9" * 10_000, "outcome": {"a": 1}, "actor": {"type": "user", "id": "x" * 10_000, "label": "y" * 10_000}},
    ],
)
def test_hostile_metadata_does_not_stop_the_write(metadata: dict[str, Any]) -> None:
    hostile = {"action": "x" * 10_000, "resource_type": "\u202e<script>" * 500, "resource_id": "'; DROP TABLE audit_log; --" * 99}
    assert emit(data=hostile, metadata=metadata)
    entry = AuditEntry.objects.get()
    assert entry.data == hostile
    assert {name: entry.metadata[name] for name in metadata} == metadata


@commits
def test_an_entry_that_cannot_be_written_takes_its_event_along() -> None:
    class Broken:
        def write(self, events_: Any) -> None:
            raise RuntimeError("disk full")

    events.event_router.register_emitter(EventCategory.AUDIT, Broken())
    assert emit() is False
    assert not AuditEntry.objects.exists()
    assert not JournalEntry.objects.exists()


@commits
async def test_a_deletion_is_audited_and_told_to_the_staff_at_once() -> None:
    assert await emit_resource_audit(
        action="delete", resource_type="model", resource_id="model_123", success=True, user_id="admin_456"
    )
    entry = await AuditEntry.objects.aget()
    assert (entry.event_type, entry.action, entry.outcome, entry.priority) == ("model.delete", "delete", "success", "high")
    assert (entry.resource_type, entry.resource_id, entry.user_id) == ("model", "model_123", "admin_456")
    assert entry.actor_label == "admin_456", "who did it is who the caller says, and not the process"
    realtime = await JournalEntry.objects.aget(category="realtime")
    assert (realtime.event_type, realtime.audience) == ("model.delete", "staff:audit")


@commits
async def test_an_ordinary_operation_is_audited_without_an_alert() -> None:
    await emit_resource_audit("update", "model", 5, False, details={"field": "name"}, error_message="no such name")
    entry = await AuditEntry.objects.aget()
    assert (entry.outcome, entry.priority, entry.resource_id) == ("failure", "normal", "5")
    assert entry.data["error_message"] == "no such name"
    assert not await JournalEntry.objects.filter(category="realtime").aexists()


@commits
async def test_which_operations_are_critical_is_a_setting(settings: Any) -> None:
    settings.AUDIT = {"CRITICAL_ACTIONS": ["export"]}
    await emit_resource_audit("export", "model", "m", True)
    await emit_resource_audit("delete", "model", "m", True)
    assert [entry.priority async for entry in AuditEntry.objects.order_by("id")] == ["high", "normal"]


@commits
async def test_the_caller_may_say_another_priority_and_more_metadata() -> None:
    await emit_resource_audit("delete", "model", "m", True, priority="low", metadata={"ticket": "T-1"}, correlation_id="c-2")
    entry = await AuditEntry.objects.aget()
    assert (entry.priority, entry.metadata["ticket"], entry.correlation_id) == ("low", "T-1", "c-2")


@commits
async def test_an_authentication_audit_states_how_it_went() -> None:
    await emit_authentication_audit("password_change", True, "user_1", ip_address="203.0.113.9", user_agent="Probe/1")
    await emit_authentication_audit("password_change", success=False, user_id="user_1")
    await emit_authentication_audit("password_change", success=None, user_id="user_1")
    changed, refused, open_ = [entry async for entry in AuditEntry.objects.order_by("id")]
    assert (changed.event_type, changed.outcome, changed.priority) == ("auth.password_change", "success", "normal")
    assert (changed.ip_address, changed.user_agent) == ("203.0.113.9", "Probe/1")
    assert (refused.outcome, refused.priority) == ("failure", "high")
    assert (open_.outcome, open_.priority) == ("unknown", "normal")


@commits
async def test_a_security_audit_guesses_no_outcome() -> None:
    await emit_security_audit("key_rotated", user_id="admin_1", ip_address="203.0.113.9", details={"key": "k1"})
    entry = await AuditEntry.objects.aget()
    assert (entry.event_type, entry.outcome, entry.ip_address) == ("security.key_rotated", "unknown", "203.0.113.9")
    assert not await JournalEntry.objects.filter(category="security").aexists()


@commits
async def test_the_callers_dictionaries_stay_as_they_are() -> None:
    details, metadata = {"reason": {"code": 5}}, {"ticket": "T-1"}
    kept = copy.deepcopy((details, metadata))
    await emit_resource_audit("delete", "model", "m", True, details=details, error_message="x", metadata=metadata)
    await emit_authentication_audit("login", True, "u", ip_address="203.0.113.9", details=details, metadata=metadata)
    await emit_security_audit("key_rotated", "u", "203.0.113.9", details=details, metadata=metadata)
    assert (details, metadata) == kept
    assert await AuditEntry.objects.acount() == 3


@commits
@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"action": "Delete It", "resource_type": "model"}, "event_type"),
        ({"action": "delete", "resource_type": "model", "details": ["not a dictionary"]}, "data"),
        ({"action": "delete", "resource_type": "model", "priority": "urgent"}, "priority"),
        ({"action": ["delete"], "resource_type": "model"}, "event_type"),
        ({"action": "delete", "resource_type": "model", "colour": "red"}, "colour"),
    ],
)
async def test_bad_input_is_refused_by_the_name_of_its_field(settings: Any, arguments: dict[str, Any], field: str) -> None:
    settings.EVENTS = {"RAISE_INVALID": True}
    with pytest.raises(events.InvalidEvent) as refused:
        await emit_resource_audit(resource_id="m", success=True, **arguments)
    assert refused.value.field == field
    assert not await AuditEntry.objects.aexists()


@commits
async def test_a_deleted_user_keeps_their_name_in_the_log() -> None:
    user = await User.objects.acreate_user("alice")
    actor = {"type": "user", "id": str(user.pk), "label": "alice"}
    await emit_audit_event("document.deleted", metadata={"actor": actor})
    await user.adelete()
    entry = await AuditEntry.objects.aget(event_type="document.deleted")
    assert entry.actor_label == "alice"
