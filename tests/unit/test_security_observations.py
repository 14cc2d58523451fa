"""What of an event makes an observation: no database."""

from __future__ import annotations

from typing import Any

import pytest

from events.types import create_security_event
from security.accounts import username_hash
from security.observations import observation_of


@pytest.mark.parametrize(
    ("data", "fields", "address"),
    [
        ({"ip": "203.0.113.9"}, {}, "203.0.113.9"),
        ({"ip_address": "203.0.113.9"}, {}, "203.0.113.9"),
        ({"ip_address": "203.0.113.9", "ip": "203.0.113.1"}, {"metadata": {"ip_address": "203.0.113.2"}}, "203.0.113.9"),
        ({}, {"metadata": {"ip_address": "203.0.113.9"}}, "203.0.113.9"),
        ({"ip": "nonsense"}, {"metadata": {"ip_address": "203.0.113.9"}}, "203.0.113.9"),
        ({"ip": "2001:DB8:0::1"}, {}, "2001:db8::1"),
        ({"ip": "::ffff:203.0.113.9"}, {}, "203.0.113.9"),
        ({"ip": ["203.0.113.9"]}, {}, None),
        ({"ip": "1" * 10_000}, {}, None),
    ],
)
def test_the_address_is_found_wherever_it_is_stated(data: dict[str, Any], fields: dict[str, Any], address: str | None) -> None:
    assert observation_of(create_security_event("auth.login_failure", data, **fields)).address == address


@pytest.mark.parametrize(
    ("data", "fields", "account"),
    [
        ({}, {"user_id": "7"}, "7"),
        ({"user_id": 7}, {}, "7"),
        ({"user_id": "7", "username": "alice"}, {}, "7"),
        ({"user_id": "x" * 10_000}, {}, "x" * 128),
        ({"user_id": True}, {}, None),
        ({"user_id": {"id": 7}}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_account_is_found_wherever_it_is_stated(data: dict[str, Any], fields: dict[str, Any], account: str | None) -> None:
    assert observation_of(create_security_event("auth.login_failure", data, **fields)).account == account


def test_a_username_hash_recognises_a_username_and_hides_it(settings: Any) -> None:
    first = username_hash("hunter2")
    assert first == username_hash("hunter2") != username_hash("hunter3")
    assert "hunter2" not in first
    settings.SECRET_KEY = "another"
    assert username_hash("hunter2") != first


@pytest.mark.parametrize("username", ["", "\0", "\ud800", "x" * 1_000_000, "\u202e<script>", 5, None, b"\xff", ["a"]])
def test_anything_can_be_hashed(username: Any) -> None:
    assert len(username_hash(username)) == 32


@pytest.mark.parametrize(
    ("address", "network"),
    [("203.0.113.9", "203.0.113.9"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("fe80::1%eth0", "fe80::/64")],
)
def test_a_network_is_what_one_subscriber_has(address: str, network: str) -> None:
    assert observation_of(create_security_event("auth.login_failure", {"ip": address})).network == network


@pytest.mark.parametrize(
    ("metadata", "actor"),
    [
        ({"actor": {"type": "user", "id": "7", "label": "alice"}}, "7"),
        ({"actor": {"type": "token", "id": 7}}, "7"),
        ({"actor": {"type": "system", "id": None}}, None),
        ({"actor": {"type": "task", "id": "7"}}, None),
        ({"actor": "7"}, None),
        ({}, None),
    ],
)
def test_the_actor_is_a_user(metadata: dict[str, Any], actor: str | None) -> None:
    assert observation_of(create_security_event("account.promoted", {}, metadata=metadata)).actor == actor


@pytest.mark.parametrize(("count", "number"), [(7, 7), (0, 1), (-3, 1), (True, 1), ("7", 1), (10**12, 1_000_000), (None, 1)])
def test_a_summary_says_how_many_it_tells_of(count: Any, number: int) -> None:
    assert observation_of(create_security_event("auth.login_failures", {"count": count})).number == number
