"""From an event to its audit entry: pure, no database."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from audit.models import AuditEntry, EventEncoder, Outcome
from audit.recorder import values_of
from events.types import create_audit_event


def entry(event_type: str = "model.delete", data: dict[str, Any] | None = None, **fields: Any) -> AuditEntry:
    return AuditEntry(**values_of(create_audit_event(event_type, data, **fields)))


@pytest.mark.parametrize(
    ("data", "metadata", "outcome"),
    [
        ({"result": "success"}, {}, Outcome.SUCCESS),
        ({"outcome": "failure"}, {}, Outcome.FAILURE),
        ({}, {"outcome": "denied"}, Outcome.DENIED),
        ({"result": "success", "outcome": "failure"}, {"outcome": "denied"}, Outcome.DENIED),
        ({"result": "success", "outcome": "failure"}, {}, Outcome.FAILURE),
        ({"result": "success"}, {"outcome": None}, Outcome.SUCCESS),
    ],
)
def test_the_outcome_is_the_one_that_was_stated(data: dict[str, Any], metadata: dict[str, Any], outcome: Outcome) -> None:
    assert entry(data=data, metadata=metadata).outcome == outcome


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("model.deletion_succeeded", {}),
        ("auth.login_failure", {"error": "failed", "message": "success"}),
        ("model.delete", {"result": "successfully"}),
        ("model.delete", {"result": {"success": True}}),
        ("model.delete", {"outcome": True}),
        ("model.delete", {"outcome": ["success"]}),
        ("model.delete", {"outcome": "nonsense", "result": "success"}),
    ],
)
def test_an_outcome_that_was_not_stated_is_unknown_and_never_guessed(event_type: str, data: dict[str, Any]) -> None:
    assert entry(event_type, data).outcome == Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("event_type", "data", "resource"),
    [
        ("model.delete", {"resource_type": "llm.model", "resource_id": "m1"}, ("llm.model", "m1")),
        ("model.delete", {"model_id": "456"}, ("model", "456")),
        ("provider.delete", {"provider_id": 7, "model_id": "456"}, ("provider", "7")),
        ("model.delete", {"model_id": uuid.UUID(int=5)}, ("model", str(uuid.UUID(int=5)))),
        ("model.delete", {"resource_id": "m1", "model_id": "m2"}, ("", "m1")),
        ("model.delete", {"name": "x"}, ("", "")),
        ("model.delete", {"resource_type": ["a"], "resource_id": {"b": 1}}, ("", "")),
    ],
)
def test_the_resource_is_named_by_the_data(event_type: str, data: dict[str, Any], resource: tuple[str, str]) -> None:
    found = entry(event_type, data)
    assert (found.resource_type, found.resource_id) == resource


def test_the_action_is_stated_or_the_last_word_of_the_type() -> None:
    assert entry("document.file.renamed").action == "renamed"
    assert entry("document.changed", {"action": "rename"}).action == "rename"
    assert entry("document.changed", {"action": {"not": "text"}}).action == "changed"


def test_who_did_it_and_whose_business_it_is_are_told_apart() -> None:
    admin = {"actor": {"type": "user", "id": "1", "label": "admin"}}
    own, others = entry(metadata=admin), entry(metadata=admin, user_id="7")
    assert (own.user_id, own.actor_label) == ("1", "admin")
    assert (others.user_id, others.actor_label) == ("7", "admin")


@pytest.mark.parametrize("actor", [None, "admin", [], {}, {"type": "user", "id": None}, {"type": "user", "id": [1], "label": {}}])
def test_an_actor_that_makes_no_sense_leaves_the_columns_empty(actor: Any) -> None:
    found = entry(metadata={"actor": actor})
    assert (found.user_id, found.actor_label) == (None, "")


@pytest.mark.parametrize(
    ("stated", "stored"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("localhost", None),
        ("1.2.3.4, 5.6.7.8", None),
        ("9" * 10_000, None),
        ("", None),
        (5, None),
        ({"ip": "1.2.3.4"}, None),
    ],
)
def test_an_address_is_stored_in_one_form_and_what_is_none_is_left_out(stated: Any, stored: str | None) -> None:
    assert entry(metadata={"ip_address": stated}).ip_address == stored


def test_values_too_long_for_their_columns_are_shortened_there_and_whole_in_the_data() -> None:
    long = "x" * 10_000
    found = entry(
        data={"action": long, "resource_type": long, "resource_id": long},
        metadata={"actor": {"type": "user", "id": long, "label": long}, "user_agent": long},
    )
    for name in ("action", "resource_type", "resource_id", "actor_label", "user_agent", "user_id"):
        assert len(getattr(found, name)) == AuditEntry._meta.get_field(name).max_length
    assert found.data["resource_id"] == long


def test_dates_numbers_and_ids_are_encoded_as_the_journal_encodes_them() -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    values = {"at": moment, "price": Decimal("1.50"), "id": uuid.UUID(int=1)}
    assert EventEncoder().encode(values) == (
        '{"at":"2026-01-31T12:00:00+00:00","price":"1.50","id":"00000000-0000-0000-0000-000000000001"}'
    )
