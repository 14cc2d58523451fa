"""A misconfigured security monitor is found when Django starts."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from security.backends import GuardBackend
from security.checks import (
    GUARD,
    check_counters,
    check_guard,
    check_middleware,
    check_monitor,
    check_proxies,
    check_settings,
    check_sign_in_fields,
)
from security.memory import Kind, memory
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


@pytest.mark.parametrize(
    ("lookups", "wrong"),
    [
        (["email__iexact", "username__iexact", "email", "id__exact", "groups__name"], []),
        (["mail__iexact"], ["mail__iexact"]),
        (["email__iexakt", "email", "contains"], ["email__iexakt", "contains"]),
        (["groups__regex__exact"], ["groups__regex__exact"]),  # a field of that name, which is not there
    ],
)
def test_what_is_said_to_find_users_must_be_fields_of_theirs(settings: Any, lookups: list[str], wrong: list[str]) -> None:
    settings.SECURITY = {"SIGN_IN_FIELDS": lookups}
    assert check_settings() == []
    found = check_sign_in_fields()
    assert [(error.id, "SIGN_IN_FIELDS" in error.msg) for error in found] == [("security.E004", True)] * len(wrong)
    assert [lookup for lookup, error in zip(wrong, found, strict=True) if repr(lookup) in error.msg] == wrong


@pytest.mark.parametrize("wrong", ["", "e-mail", "email; DROP TABLE", 7])
def test_what_is_no_lookup_is_a_bad_value(settings: Any, wrong: Any) -> None:
    settings.SECURITY = {"SIGN_IN_FIELDS": [wrong]}
    (found,) = check_settings()
    assert "SIGN_IN_FIELDS" in found.msg
    assert check_sign_in_fields() == []


@pytest.mark.parametrize(
    "wrong", ["email__regex", "email__contains", "email__istartswith", "groups__name__in", "date_joined__year", "email__isnull"]
)
def test_a_lookup_that_finds_what_was_not_typed_is_a_bad_value(settings: Any, wrong: str) -> None:
    settings.SECURITY = {"SIGN_IN_FIELDS": ["email", wrong]}
    (found,) = check_settings()
    assert all(word in found.msg for word in ("SIGN_IN_FIELDS", wrong, "__iexact"))


def test_a_missing_middleware_is_a_warning(settings: Any) -> None:
    assert check_middleware() == []
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("security.")]
    assert [found.id for found in check_middleware()] == ["security.W001"]


@pytest.mark.django_db
def test_a_proxy_that_is_not_declared_is_a_warning_until_it_is(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    memory.add(Kind.PROXY, "inside", "10.1.2.3")
    assert check_proxies() == [], "the database is asked only where it was said to"
    call_command("check", databases=["default"])
    written = capsys.readouterr().err
    assert "security.W002" in written
    assert "10.1.2.3" in written
    settings.EVENTS = {"TRUSTED_PROXIES": ["10.0.0.0/8"]}
    assert check_proxies(databases=["default"]) == []


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


@pytest.mark.parametrize("wrong", [{"ATTEMPT_WINDOW": 300, "COOL_OFF_MAX": 600}, {"ATTEMPT_WINDOW": 300}, {"COOL_OFF": 1_000}])
def test_a_cool_off_that_outlasts_its_window_is_an_error(settings: Any, wrong: dict[str, int]) -> None:
    settings.SECURITY = wrong
    (found,) = check_settings()
    assert "COOL_OFF_MAX" in found.msg


class OwnGuard(GuardBackend):
    """One of a project."""


def test_a_guard_of_ones_own_is_one(settings: Any) -> None:
    settings.SECURITY = {"ENFORCE": True}
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.OwnGuard", "django.contrib.auth.backends.ModelBackend"]
    assert check_guard() == []
