"""prune_events: only the journal's beginning goes, never the outbox, and clients that come late are told."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events import journal, retention
from events.manager import unified_event_manager
from events.models import JournalEntry
from events.types import create_event
from tests.support.journal import publish, published
from tests.support.server import Servers


def prune(*arguments: str) -> str:
    out = StringIO()
    call_command("prune_events", *arguments, stdout=out)
    return out.getvalue()


def days_old(*ages: float) -> None:
    for age in ages:
        published("tick.tock", timestamp=timezone.now() - timedelta(days=age))


def kept() -> list[int]:
    return list(JournalEntry.objects.exclude(position=None).order_by("position").values_list("position", flat=True))


@pytest.fixture
def start(db: None) -> int:
    """The last position before the test's events."""
    return journal.read_head().position


def test_what_is_older_is_deleted_and_the_head_tells(start: int) -> None:
    days_old(40, 31, 29, 1)

    assert "Deleted 2 events" in prune("--older-than", "30")
    assert kept() == [start + 3, start + 4]
    assert journal.read_head().pruned == start + 2
    assert journal.read_head().position == start + 4


def test_only_the_beginning_goes_not_what_is_old_among_newer(start: int) -> None:
    days_old(40, 1, 40, 40)

    prune("--older-than", "30")

    assert kept() == [start + 2, start + 3, start + 4]


def test_an_event_from_the_future_does_not_keep_what_follows(start: int) -> None:
    days_old(40, -3650, 40, 1)

    prune("--older-than", "30")

    assert kept() == [start + 4]


@pytest.mark.parametrize(("keep", "left"), [("0", 0), ("1", 1), ("3", 3), ("10", 4)])
def test_so_many_are_kept_however_old(start: int, keep: str, left: int) -> None:
    days_old(40, 40, 40, 40)

    prune("--keep", keep)

    assert len(kept()) == left


def test_both_limits_hold_at_once(start: int) -> None:
    days_old(40, 40, 40, 1)

    prune("--older-than", "30", "--keep", "2")

    assert kept() == [start + 3, start + 4]


def test_the_outbox_stays(start: int) -> None:
    days_old(40)
    assert unified_event_manager.emit(create_event("realtime", "a.b", timestamp=timezone.now() - timedelta(days=40)))

    prune("--keep", "0")

    assert kept() == []
    assert JournalEntry.objects.get().position is None
    publish()
    assert kept() == [start + 2]


def test_a_dry_run_tells_and_deletes_nothing(start: int) -> None:
    days_old(40, 40, 1)

    assert prune("--older-than", "30", "--dry-run").startswith(f"2 events up to position {start + 2}")
    assert len(kept()) == 3
    assert journal.read_head().pruned < start + 2


def test_pruning_again_changes_nothing(start: int) -> None:
    days_old(40, 1)
    prune("--older-than", "30")

    assert "Deleted 0 events" in prune("--older-than", "30")
    assert journal.read_head().pruned == start + 1
    assert "Deleted 0 events" in prune("--keep", "1000")
    assert journal.read_head().pruned == start + 1


def test_an_empty_journal_is_pruned_without_harm(start: int) -> None:
    prune("--keep", "0")
    days_old(1)

    assert kept() == [start + 1]


def test_it_is_done_in_batches_and_the_head_moves_with_each(start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_SIZE", 10)
    days_old(*[40] * 25)

    with CaptureQueriesContext(connection) as queries:
        heads = [(number, journal.read_head().pruned, kept()[:1]) for number in retention.prune(start + 25)]

    assert heads == [(10, start + 10, [start + 11]), (10, start + 20, [start + 21]), (5, start + 25, [])]
    deletes = [query["sql"] for query in queries if query["sql"].startswith("DELETE")]
    assert len(deletes) == 4  # the first only finds where the journal begins
    assert len(queries) <= 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "older-than"),
        (["--older-than", "-1"], "older-than: "),
        (["--older-than", "nan"], "older-than: "),
        (["--older-than", "1e99"], "older-than: "),
        (["--keep", "-1"], "keep: "),
    ],
    ids=str,
)
def test_a_bad_option_is_refused_by_its_name(start: int, arguments: list[str], message: str) -> None:
    days_old(40)

    with pytest.raises(CommandError, match=message):
        prune(*arguments)
    assert len(kept()) == 1


async def test_a_client_whose_cursor_was_pruned_is_told_gap_and_others_resume(serve: Servers) -> None:
    server = serve()
    async with server.sse("alice") as stream:
        cursors = []
        for number in range(4):
            server.emit("tick.tock", {"number": number})
            await stream.event()
            cursors.append(stream.cursor)
    server.manage("prune_events", "--keep", "2")

    async with server.sse("alice", cursor=cursors[0]) as late, server.sse("alice", cursor=cursors[1]) as intime:
        assert late.opened["outcome"] == "gap"
        assert intime.opened["outcome"] == "resumed"
        assert [event["data"]["number"] for event in await intime.events(2)] == [2, 3]
