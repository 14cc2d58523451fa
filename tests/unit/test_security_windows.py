"""When failures make an alert, and what of an event makes a failure: pure, no database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events.types import create_security_event
from security.accounts import username_hash
from security.models import FailureWindow, KeyKind
from security.monitor import failure_of

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
WINDOW = timedelta(seconds=300)


def alerts(*seconds: float, threshold: int = 5) -> list[float]:
    """At which of the failures, given in seconds since the start, there is an alert."""
    row, found = FailureWindow(kind=KeyKind.ADDRESS, key="203.0.113.9"), []
    for second in seconds:
        if row.add(START + timedelta(seconds=second), threshold, WINDOW):
            row.alerted_at, row.since_alert = row.last_failure, 0
            found.append(second)
        assert len(row.recent) <= threshold
    return found


@pytest.mark.parametrize(
    ("failures", "alerted"),
    [
        ([0, 1, 2, 3], []),
        ([0, 1, 2, 3, 4], [4]),
        ([0, 75, 150, 225, 299], [299]),
        ([0, 75, 150, 225, 300], []),
        ([0, 0, 0, 0, 0], [0]),
        ([*range(100)], [4]),
        ([*range(0, 700, 10)], [40, 340, 640]),
        ([0, 1, 2, 3, 4, 200, 305, 306, 307, 308], [4, 308]),
        ([0, 1, 2, 3, 4, 305, 306, 307], [4]),
        ([1, 2, 3, 4, 0], [0]),
    ],
    ids=str,
)
def test_five_failures_within_the_window_give_one_alert_a_window(failures: list[float], alerted: list[float]) -> None:
    assert alerts(*failures) == alerted


def test_a_threshold_of_one_alerts_at_the_first() -> None:
    assert alerts(0, 1, 400, threshold=1) == [0, 400]


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
    assert failure_of(create_security_event("auth.login_failure", data, **fields)).address == address


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
    assert failure_of(create_security_event("auth.login_failure", data, **fields)).account == account


def test_a_username_hash_recognises_a_username_and_hides_it(settings: Any) -> None:
    first = username_hash("hunter2")
    assert first == username_hash("hunter2") != username_hash("hunter3")
    assert "hunter2" not in first
    settings.SECRET_KEY = "another"
    assert username_hash("hunter2") != first


@pytest.mark.parametrize("username", ["", "\0", "\ud800", "x" * 1_000_000, "\u202e<script>", 5, None, b"\xff", ["a"]])
def test_anything_can_be_hashed(username: Any) -> None:
    assert len(username_hash(username)) == 32
