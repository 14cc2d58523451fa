"""A misconfigured security monitor is found when Django starts."""

from __future__ import annotations

from typing import Any

import pytest

from security.checks import GUARD, check_guard, check_monitor, check_settings
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
    ("enforce", "backends", "complains"),
    [
        (True, [GUARD, "django.contrib.auth.backends.ModelBackend"], False),
        (True, ["django.contrib.auth.backends.ModelBackend", GUARD], True),
        (True, ["django.contrib.auth.backends.ModelBackend"], True),
        (False, ["django.contrib.auth.backends.ModelBackend"], False),
    ],
)
def test_a_guard_that_is_not_the_first_backend_is_an_error(
    settings: Any, enforce: bool, backends: list[str], complains: bool
) -> None:
    settings.SECURITY, settings.AUTHENTICATION_BACKENDS = {"ENFORCE": enforce}, backends
    assert [error.id for error in check_guard()] == (["security.E010"] if complains else [])


def test_a_cool_off_that_outlasts_its_window_is_an_error(settings: Any) -> None:
    settings.SECURITY = {"ATTEMPT_WINDOW": 300, "COOL_OFF_MAX": 600}
    (found,) = check_settings()
    assert "COOL_OFF_MAX" in found.msg
