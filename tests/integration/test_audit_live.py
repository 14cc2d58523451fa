"""Open lists of the log hear that changes of tracked models were recorded: who may view it, in every process, and not once a change."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from audit import live
from audit.live import RECORDED, announcer
from audit.models import AuditEntry
from events.models import JournalEntry
from tests.support.sent import Sent
from tests.support.server import Servers
from tests.support.tracked.models import Article

with_commits = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def not_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test before announced is long ago."""
    monkeypatch.setattr(announcer, "_quiet_until", 0.0)


def told(sent: Sent) -> int:
    return sum(event_type == RECORDED for _, event_type in sent.events)


@with_commits
def test_many_changes_are_one_notice(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "QUIET", 3600.0)
    for n in range(20):
        Article.objects.create(title=str(n))
    with transaction.atomic():
        for n in range(20):
            with transaction.atomic():
                Article.objects.create(title=f"savepoint {n}")
    assert told(sent) == 1
    assert AuditEntry.objects.filter(event_type=RECORDED).count() == 0


@with_commits
def test_what_is_recorded_after_the_quiet_is_told(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "QUIET", 0.0)
    Article.objects.create(title="a")
    Article.objects.create(title="b")
    assert told(sent) == 2


@with_commits
def test_nothing_is_told_of_what_is_rolled_back(sent: Sent) -> None:
    with transaction.atomic():
        Article.objects.create(title="a")
        transaction.set_rollback(True)
    assert told(sent) == 0


@with_commits
def test_nothing_is_told_where_events_are_switched_off(sent: Sent, settings: Any) -> None:
    settings.EVENTS = {"UNIFIED_EVENTS_ENABLED": False}
    Article.objects.create(title="a")
    assert told(sent) == 0


@pytest.mark.django_db
def test_a_test_case_of_a_project_hears_nothing_of_it(sent: Sent, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        Article.objects.create(title="a")
    assert told(sent) == 0
    assert not JournalEntry.objects.filter(event_type=RECORDED).exists()


@pytest.mark.parametrize("redis", [True, False], ids=["Redis", "no channel layer"])
async def test_a_change_in_another_process_is_told_to_who_may_view_the_log(serve: Servers, redis: bool) -> None:
    first = serve(redis=redis, EVENTS_POLL_INTERVAL="0.2")
    second = serve(like=first, EVENTS_POLL_INTERVAL="0.2")
    async with (
        first.sse("admin") as auditor,
        second.sse("admin", categories="audit,monitoring") as another,
        first.sse("alice") as owner,
        second.sse("sam") as staff,
    ):
        with first.process() as process:
            process.run(
                "from chatter_site.demo.models import Document\n"
                f"Document.objects.create(owner_id={first.accounts['alice'].id}, name='a', size=1)"
            )
        for stream in (auditor, another):
            assert await stream.events_until(RECORDED) == []
        first.emit("still.here")
        for stream in (owner, staff):
            assert await stream.events_until("still.here") == []
