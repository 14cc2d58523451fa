"""A misconfigured security monitor is found when Django starts."""

from __future__ import annotations

from typing import Any

import pytest

from security.checks import check_counters, check_monitor, check_settings
from security.monitor import monitor


def test_a_sound_configuration_has_no_complaint() -> None:
    assert check_settings() + check_monitor() == []


def test_a_monitor_that_receives_nothing_is_an_error() -> None:
    monitor.stop()
    try:
        (found,) = check_monitor()
    finally:
        monitor.start()
    assert found.id == "security.E002"
    assert check_monitor() == []


def test_each_wrong_setting_is_named(settings: Any) -> None:
    settings.SECURITY = {"BRUTE_FORCE_THRESHOLD": 0, "BRUTE_FORCE_WINDOWS": 5}
    found = check_settings()
    assert {error.id for error in found} == {"security.E001"}
    assert sorted(
        word for error in found for word in ("BRUTE_FORCE_THRESHOLD", "BRUTE_FORCE_WINDOWS") if f"'{word}'" in error.msg
    ) == [
        "BRUTE_FORCE_THRESHOLD",
        "BRUTE_FORCE_WINDOWS",
    ]


@pytest.mark.parametrize(
    ("configured", "ids"),
    [
        ({}, []),
        ({"COUNTERS": "redis"}, ["security.E003"]),
        ({"COUNTERS": "redis", "REDIS_URL": "redis://localhost"}, []),
        ({"COUNTERS": "elsewhere"}, []),  # which is E001's
    ],
)
def test_counters_that_are_to_be_in_a_redis_need_one(settings: Any, configured: dict[str, str], ids: list[str]) -> None:
    settings.SECURITY = configured
    assert [error.id for error in check_counters()] == ids
