"""How a category's events are written is declared, and what is lost is counted under its category."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

import events
from audit.models import AuditEntry
from events import EventCategory, get_event_stats
from events.checks import check_settings, check_write_modes
from events.testing import wait_published
from tests.support.waiting import await_for

pytestmark = pytest.mark.django_db(transaction=True)


def emit_and_roll_back(category: str) -> None:
    with transaction.atomic():
        assert events.emit("model.delete", category=category)
        transaction.set_rollback(True)
    wait_published()


@pytest.mark.parametrize(("mode", "kept"), [(None, 0), ("with_change", 0), ("independent", 1), ("best_effort", 1)])
def test_an_audit_entry_outlives_a_rollback_where_its_mode_says_so(settings: Any, mode: str | None, kept: int) -> None:
    settings.EVENTS = {"WRITE_MODES": {"audit": mode} if mode else {}}
    emit_and_roll_back("audit")
    assert AuditEntry.objects.count() == kept


def test_a_mode_for_one_category_changes_no_other(settings: Any) -> None:
    settings.EVENTS = {"WRITE_MODES": {"analytics": "best_effort"}}
    emit_and_roll_back("security")
    emit_and_roll_back("audit")
    assert [entry.source_category for entry in AuditEntry.objects.all()] == ["security"]


class Blocked:
    """An emitter that writes when it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()

    def write(self, batch: Any) -> None:
        assert self.let.wait(30)


class Broken:
    def write(self, batch: Any) -> None:
        raise RuntimeError("disk full")


@pytest.mark.parametrize("how", ["sync", "async"])
async def test_nobody_waits_for_what_is_done_as_well_as_may_be(settings: Any, how: str) -> None:
    settings.EVENTS = {"WRITE_MODES": {"audit": "best_effort"}}
    blocked = Blocked()
    events.event_router.register_emitter(EventCategory.AUDIT, blocked)
    called: list[str] = []
    events.event_router.add_category_handler("audit", lambda event: called.append(event.event_type), after_commit=True)
    emit = events.aemit if how == "async" else sync_to_async(events.emit)
    async with asyncio.timeout(20):
        assert await emit("model.delete", category="audit")
    assert called == []
    blocked.let.set()
    await sync_to_async(wait_published)()
    assert await AuditEntry.objects.acount() == 1
    await await_for(lambda: called == ["model.delete"], "the handler to be called")


@pytest.mark.parametrize("mode", ["with_change", "independent", "best_effort"])
@pytest.mark.parametrize("atomic", [True, False])
def test_what_is_lost_is_counted_under_its_category(settings: Any, mode: str, atomic: bool) -> None:
    settings.EVENTS = {"WRITE_MODES": {"audit": mode}}
    events.event_router.register_emitter(EventCategory.AUDIT, Broken())
    if atomic:
        with transaction.atomic():
            events.emit("model.delete", category="audit")
    else:
        events.emit("model.delete", category="audit")
    wait_published()
    counted = get_event_stats()
    assert {name: number for name, number in counted["lost"].items() if number} == {"audit": 1}
    assert not AuditEntry.objects.exists()


def test_a_mode_for_no_category_is_an_error(settings: Any) -> None:
    settings.EVENTS = {"WRITE_MODES": {"audits": "independent", "streaming": "best_effort"}}
    assert [found.id for found in check_write_modes()] == ["events.E004", "events.E004"]
    settings.EVENTS = {"WRITE_MODES": {"audit": "sometimes"}}
    assert [found.id for found in check_settings()] == ["events.E001"]
    assert check_write_modes() == []


def test_modes_can_be_set_from_the_environment(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS_WRITE_MODES", '{"audit": "independent"}')
    settings.EVENTS = {}
    emit_and_roll_back("audit")
    assert AuditEntry.objects.count() == 1
