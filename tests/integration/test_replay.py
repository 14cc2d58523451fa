"""Replaying: what handlers and browsers get, what is never done twice, and going on after a stop."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditEntry
from events import event_router, journal
from events.filters import EventFilter
from events.models import JournalEntry
from events.replay import BATCH_SIZE, PAGE_SIZE, Replay, Target
from events.selection import Selection
from events.stats import stats
from events.testing import Captured
from events.types import UnifiedEvent, create_event
from tests.support.journal import inserts, publish, published

pytestmark = pytest.mark.django_db


def replay(target: Target = Target.BROWSERS, types: str | None = None, **fields: Any) -> int:
    """Replay and publish; how many events were replayed."""
    selection = fields.pop("selection", Selection(EventFilter.from_query(types)))
    number = sum(step.replayed for step in Replay(selection, target, **fields).run())
    publish()
    return number


def entries(after: int) -> list[JournalEntry]:
    return list(JournalEntry.objects.filter(position__gt=after).order_by("position"))


@pytest.fixture
def handled() -> list[UnifiedEvent]:
    handled: list[UnifiedEvent] = []
    event_router.add_type_handler("job.*", handled.append)
    return handled


def test_handlers_get_the_event_under_its_own_id_and_see_that_it_is_a_replay(handled: list[UnifiedEvent]) -> None:
    event = published("job.done", {"n": 1}, user_id="7", correlation_id="run-1", metadata={"ip_address": "203.0.113.9"})
    original = handled.pop()
    end = journal.read_head().position

    assert replay(Target.HANDLERS) == 1

    [again] = handled
    assert again.metadata == original.metadata | {"replayed": True, "replay_of": event.id}
    assert (again.id, again.timestamp, again.data, again.user_id) == (event.id, event.timestamp, {"n": 1}, "7")
    assert journal.read_head().position == end


def test_every_kind_of_handler_is_called() -> None:
    called: list[str] = []

    async def asynchronous(event: UnifiedEvent) -> None:
        called.append("async")

    published("job.done")
    event_router.add_global_handler(lambda event: called.append("global"))
    event_router.add_category_handler("realtime", lambda event: called.append("category"))
    event_router.add_type_handler("job.*", asynchronous)
    event_router.add_type_handler("job.done", lambda event: called.append("committed"), after_commit=True)

    replay(Target.HANDLERS)

    assert sorted(called) == ["async", "category", "committed", "global"]
    assert called[-1] == "committed"


def test_derived_events_are_replayed_to_the_handlers_of_their_category_only() -> None:
    published("auth.odd", category="security", priority="critical")
    seen: list[tuple[str, str]] = []
    event_router.add_global_handler(lambda event: seen.append(("all", str(event.category))))
    event_router.add_category_handler("audit", lambda event: seen.append(("audit", str(event.category))))
    event_router.add_category_handler("realtime", lambda event: seen.append(("realtime", str(event.category))))

    assert replay(Target.HANDLERS, "auth.odd") == 3

    assert sorted(seen) == [("all", "security"), ("audit", "audit"), ("realtime", "realtime")]


def test_browsers_get_a_new_event_with_the_originals_audience() -> None:
    event = published(
        "auth.odd", {"n": 1}, category="security", priority="critical", user_id="7", metadata={"ip_address": "203.0.113.9"}
    )
    end = journal.read_head().position
    originals = {entry.event_id: entry for entry in entries(end - 3)}

    assert replay(types="auth.odd") == 3

    copies = entries(end)
    assert [copy.position for copy in copies] == [end + 1, end + 2, end + 3]
    assert {copy.event.metadata["replay_of"] for copy in copies} == originals.keys()
    assert event.id in originals
    for copy in copies:
        original = originals[copy.event.metadata["replay_of"]]
        assert copy.event_id != original.event_id
        assert copy.event.id == copy.event_id
        changed = {"replayed", "replay_of", "derived_from", "notification"}
        kept = {name: value for name, value in original.event.metadata.items() if name not in changed}
        assert {name: value for name, value in copy.event.metadata.items() if name not in changed} == kept
        same = ("event_type", "category", "priority", "audience", "user_id", "correlation_id", "timestamp", "private")
        assert [getattr(copy, name) for name in same] == [getattr(original, name) for name in same]
    assert {copy.audience for copy in copies} == {"staff:security", "staff:audit"} & {copy.audience for copy in copies}
    assert not [copy for copy in copies if copy.audience in ("all", "user:7")]


def test_a_replayed_happening_is_one_happening_and_notifies_nobody_again() -> None:
    """A page calls back once for an event and what was derived from it, which it knows by `derived_from`."""
    published("auth.odd", category="security", priority="critical")
    end = journal.read_head().position
    assert entries(end - 1)[0].event.metadata["notification"] is True

    replay()

    security, audit, realtime = entries(end)
    assert "derived_from" not in security.event.metadata
    assert audit.event.metadata["derived_from"] == realtime.event.metadata["derived_from"] == security.event_id
    assert "notification" not in realtime.event.metadata


def test_private_metadata_stays_private() -> None:
    published("job.done", metadata={"ip_address": "203.0.113.9"})
    end = journal.read_head().position

    replay()

    [copy] = entries(end)
    assert "203.0.113.9" not in copy.body
    assert copy.event.metadata["ip_address"] == "203.0.113.9"


@pytest.mark.parametrize("target", list(Target))
def test_a_replay_makes_no_second_audit_entry_and_no_derived_events(target: Target, captured_events: Captured) -> None:
    published("auth.odd", category="security", priority="critical")
    published("model.delete", category="audit")
    audited, end = AuditEntry.objects.count(), journal.read_head().position
    assert audited == 2
    processed = stats.snapshot()["processed"]
    captured_events.clear()

    assert replay(target, "auth.odd,model.delete") == 4

    assert AuditEntry.objects.count() == audited
    assert journal.read_head().position == end + (0 if target is Target.HANDLERS else 4)
    assert stats.snapshot()["processed"] == processed
    assert captured_events == []


def test_what_was_replayed_is_not_replayed_again_unless_asked_for() -> None:
    event = published("job.done", {"replay_of": "mentioned in its data only"})
    assert replay(types="job.*") == 1

    assert replay(types="job.*") == 1
    end = journal.read_head().position
    assert replay(types="job.*", include_replayed=True) == 3

    assert {entry.event.metadata["replay_of"] for entry in entries(end)} == {event.id}


def test_only_what_is_selected_is_replayed(handled: list[UnifiedEvent]) -> None:
    begun = timezone.now() - timedelta(hours=1)
    published("job.early", timestamp=begun)
    wanted = published(
        "job.wanted", category="workflow", user_id="7", correlation_id="run-1", timestamp=begun + timedelta(minutes=2)
    )
    published("job.other", category="workflow", user_id="8", correlation_id="run-1", timestamp=begun + timedelta(minutes=3))
    published("job.late", timestamp=begun + timedelta(minutes=9))
    handled.clear()

    for selection in (
        Selection(EventFilter.from_query("*.wanted")),
        Selection(since=begun + timedelta(minutes=1), until=begun + timedelta(minutes=3)),
        Selection(EventFilter.from_query(categories="workflow"), user_id="7"),
        Selection(user_id="7"),
        Selection(correlation_id="run-1", until=begun + timedelta(minutes=3)),
    ):
        assert replay(Target.HANDLERS, selection=selection) == 1
    assert [event.id for event in handled] == [wanted.id] * 5


def test_a_replay_to_browsers_ends_where_the_journal_ended_when_it_began() -> None:
    published("job.done")
    replaying = Replay(Selection(EventFilter.from_query("job.*")), include_replayed=True)
    published("job.late")

    assert [step.replayed for step in replaying.run()] == [1]


def test_a_stopped_replay_continues_where_it_stopped(handled: list[UnifiedEvent]) -> None:
    numbers = list(range(7))
    for number in numbers:
        published("job.done", {"number": number})
    handled.clear()
    selection = Selection(EventFilter.from_query("job.*"))
    first = Replay(selection, Target.BOTH)

    reached = [step.position for step in first.run(stopped=lambda: len(handled) >= 3)][-1]
    publish()
    assert len(handled) == 3
    assert replay(Target.BOTH, selection=selection, after=reached, upto=first.upto) == 4

    assert [event.data["number"] for event in handled] == numbers
    assert [entry.event.data["number"] for entry in entries(first.upto)] == numbers


def test_a_handler_that_fails_does_not_stop_the_replay(handled: list[UnifiedEvent]) -> None:
    def fail(event: UnifiedEvent) -> None:
        raise ValueError("on purpose")

    for _ in range(3):
        published("job.done")
    handled.clear()
    event_router.add_type_handler("job.*", fail)
    out, err = StringIO(), StringIO()

    call_command("replay_events", "--to", "handlers", "--types", "job.*", stdout=out, stderr=err)

    assert len(handled) == 3
    assert "Replayed 3 events to handlers." in out.getvalue()
    assert "Handlers failed 3 times" in err.getvalue()


def test_an_event_as_large_as_is_allowed_can_be_replayed() -> None:
    body = JournalEntry.objects.get(event_id=published("job.done", {"x": ""}).id).body
    limit = 65_536
    published("job.large", {"x": "y" * (limit - len(body) - len("large") + len("done"))})
    assert len(JournalEntry.objects.get(event_type="job.large").body) == limit

    assert replay(types="job.large") == 1


def test_a_rate_is_kept(handled: list[UnifiedEvent]) -> None:
    for _ in range(10):
        published("job.done")
    begun = timezone.now()

    replay(Target.HANDLERS, "job.*", rate=50)

    assert timedelta(seconds=0.2) <= timezone.now() - begun <= timedelta(seconds=5)


def test_browsers_get_pages_of_rows_in_few_queries() -> None:
    for _ in range(PAGE_SIZE + 1):
        assert event_router.route(create_event("realtime", "job.done"))
    publish()

    with CaptureQueriesContext(connection) as queries:
        for _ in Replay(Selection(), upto=journal.read_head().position).run():
            pass

    statements = [query["sql"] for query in queries]
    batches = -(-(PAGE_SIZE + 1) // BATCH_SIZE)
    assert len(inserts(queries)) == batches
    assert len([sql for sql in statements if sql.startswith("SELECT")]) <= 2 + 3  # the head twice, three pages


# The command


def test_a_dry_run_tells_what_would_be_replayed_and_does_nothing(handled: list[UnifiedEvent]) -> None:
    for event_type in ("job.done", "job.failed", "job.done", "other.thing"):
        published(event_type)
    replay(types="job.*")
    handled.clear()
    end, out = journal.read_head().position, StringIO()

    call_command("replay_events", "--to", "both", "--types", "job.*", "--dry-run", stdout=out)

    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines[:2] == [["2", "job.done"], ["1", "job.failed"]]
    assert lines[2][:2] == ["3", "events"]
    assert handled == []
    publish()
    assert journal.read_head().position == end


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--to"),
        (["--to", "everyone"], "--to"),
        (["--to", "both", "--types", "A"], "types: "),
        (["--to", "both", "--categories", "x"], "categories: "),
        (["--to", "both", "--min-priority", "x"], "min_priority: "),
        (["--to", "both", "--since", "yesterday"], "since: "),
        (["--to", "both", "--until", "2026-02-30"], "until: "),
        (["--to", "both", "--since", "0001-01-01T00:00:00+14:00"], "since: "),
        (["--to", "both", "--until", "9999-12-31T23:59:59-12:00"], "until: "),
        (["--to", "both", "--since", "999999999d"], "since: "),
        (["--to", "both", "--since", "1h", "--until", "2h"], "until: "),
        (["--to", "both", "--rate", "0"], "rate: "),
        (["--to", "both", "--rate", "nan"], "rate: "),
        (["--to", "both", "--rate", "inf"], "rate: "),
        (["--to", "both", "--after", "-1"], "after: "),
        (["--to", "both", "--upto", "99999999999999999999"], "upto: "),
    ],
    ids=str,
)
def test_a_bad_option_is_refused_by_its_name(handled: list[UnifiedEvent], arguments: list[str], message: str) -> None:
    published("job.done")
    handled.clear()

    with pytest.raises(CommandError, match=message):
        call_command("replay_events", *arguments)
    assert handled == []


@pytest.mark.parametrize(
    "since", ["1h", "2d", "90m", "5400s", "{:%Y-%m-%dT%H:%M:%S}", "{:%Y-%m-%d %H:%M}", "{:%Y-%m-%dT%H:%M:%S+00:00}"]
)
def test_moments_are_told_as_time_or_as_age(handled: list[UnifiedEvent], since: str) -> None:
    published("job.done")
    published("job.old", timestamp=timezone.now() - timedelta(days=3))
    handled.clear()

    since = since.format(timezone.now() - timedelta(minutes=30))
    call_command("replay_events", "--to", "handlers", "--types", "job.*", "--since", since, stdout=StringIO())

    assert [event.event_type for event in handled] == ["job.done"]
