"""A misconfigured audit log is found when Django starts."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from audit import checks
from audit.checks import check_middleware, check_recorder, check_seals, check_settings
from audit.recorder import recorder
from audit.tracking.changes import Declaration, Plan
from audit.tracking.registry import plans
from events.manager import event_router
from events.types import EventCategory
from tests.support.tracked.models import Article, Base, Child, Member, Membership


def test_a_sound_configuration_has_no_complaint() -> None:
    assert check_settings() + check_recorder() + check_middleware() == []


def test_an_audit_log_that_nobody_writes_is_an_error() -> None:
    event_router.unregister_emitter(EventCategory.AUDIT, recorder)
    (found,) = check_recorder()
    assert found.id == "audit.E002"
    assert "ready()" in found.hint


def test_an_unknown_setting_is_named(settings: Any) -> None:
    settings.AUDIT = {"CRITICAL_ACTION": ["delete"]}
    (found,) = check_settings()
    assert (found.id, "CRITICAL_ACTION" in found.msg) == ("audit.E001", True)


def test_a_bad_value_is_named(settings: Any) -> None:
    settings.AUDIT = {"CRITICAL_ACTIONS": 5}
    (found,) = check_settings()
    assert found.id == "audit.E001"


@pytest.mark.parametrize("value", [[1], {1: 2}, "text"])
def test_a_setting_that_is_no_dictionary_is_told(settings: Any, value: Any) -> None:
    settings.AUDIT = value
    (found,) = check_settings()
    assert (found.id, "AUDIT must be a dictionary" in found.msg) == ("audit.E001", True)


def test_a_missing_middleware_is_warned_of(settings: Any) -> None:
    settings.MIDDLEWARE = []
    (found,) = check_middleware()
    assert (found.id, "EventContextMiddleware" in found.hint) == ("audit.W001", True)


class Elsewhere:
    """A database router that writes articles to another database."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "archive" if model is Article else None


def test_a_tracked_model_of_another_database_is_an_error(settings: Any) -> None:
    assert checks.check_tracked_databases() == []
    settings.DATABASE_ROUTERS = [Elsewhere()]
    (found,) = checks.check_tracked_databases()
    assert (found.id, found.obj, "one transaction" in found.hint) == ("audit.E003", Article, True)


def test_a_declared_field_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.check_tracked_fields() == []
    monkeypatch.setitem(plans, Base, Plan(Base, Declaration(mask=frozenset({"nmae"}))))
    (found,) = checks.check_tracked_fields()
    assert (found.id, "'nmae'" in found.msg, "id, name" in found.hint) == ("audit.E004", True, True)


@pytest.mark.parametrize(("missing", "tracked"), [(Membership, Member), (Base, Child)])
def test_a_part_of_a_tracked_model_that_is_not_tracked_is_warned_of(monkeypatch: Any, missing: Any, tracked: Any) -> None:
    assert checks.check_tracked_relatives() == []
    monkeypatch.delitem(plans, missing)
    (found,) = checks.check_tracked_relatives()
    assert (found.id, found.obj, missing._meta.label in found.hint) == ("audit.W006", tracked, True)


@pytest.mark.parametrize("keys", [["nonsense"], ["a:ed25519-public:" + "00" * 32], ["a:hmac-sha256:" + "00" * 32] * 2])
def test_a_bad_key_is_an_error_that_does_not_show_it(settings: Any, keys: list[str]) -> None:
    settings.AUDIT = {"SEAL_KEYS": keys}
    (found,) = check_settings()
    assert (found.id, "SEAL_KEYS" in found.msg, "0000" in found.msg) == ("audit.E001", True, False)


def test_a_deployment_without_a_key_and_an_anchor_of_its_own_is_warned(settings: Any) -> None:
    assert [found.id for found in check_seals()] == ["audit.W004", "audit.W005"]
    settings.AUDIT = {"SEAL_KEYS": ["a:hmac-sha256:" + "00" * 32], "ANCHOR_LOGGER": "audit.anchor"}
    (found,) = check_seals()
    assert (found.id, "still verifies" in found.msg) == ("audit.W004", True)
    settings.AUDIT = settings.AUDIT | {"SECRET_KEY_LAST_SEAL": 0}
    assert check_seals() == []


@pytest.mark.parametrize(
    ("level", "handler", "propagate", "is_told"),
    [
        (logging.INFO, logging.NOTSET, False, False),
        (logging.INFO, logging.INFO, True, False),
        (logging.WARNING, logging.NOTSET, False, True),
        (logging.INFO, logging.WARNING, False, True),
        (logging.INFO, None, False, True),
    ],
)
def test_a_logger_that_discards_anchors_is_warned_of(
    settings: Any, level: int, handler: int | None, propagate: bool, is_told: bool
) -> None:
    settings.AUDIT = {"ANCHOR_LOGGER": "probe.anchor.child" if propagate else "probe.anchor"}
    logger = logging.getLogger("probe.anchor")
    logger.propagate = False
    logger.setLevel(level)
    logger.handlers = [] if handler is None else [logging.NullHandler(handler)]
    assert [found.id for found in checks.check_anchor_logger()] == ["audit.W005"] * is_told


def test_no_logger_is_no_fault_of_one(settings: Any) -> None:
    settings.AUDIT = {}
    assert checks.check_anchor_logger() == []
