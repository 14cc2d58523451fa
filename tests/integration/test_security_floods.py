"""Masses of the same thing are folded into counted summaries: nothing is lost, little is written, memory is bounded."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.signals import user_login_failed
from django.db import connection, connections
from django.test import RequestFactory

import events
from audit.models import AuditEntry
from events.models import JournalEntry
from events.testing import wait_published
from events.types import UnifiedEvent
from security.sources import floods as module
from security.sources.floods import Source, Summary, Window, floods
from security.sources.tally import KEPT, Tally, share
from tests.support.databases import base_environment
from tests.support.paths import ROOT
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

# For all that a tally remembers.
ROOM = 100_000
SINGLE, MANY = "auth.login_failure", "auth.login_failures"


def fail(number: int, address: str = "203.0.113.9", username: str = "nobody") -> None:
    for _ in range(number):
        request = RequestFactory().post("/", REMOTE_ADDR=address)
        user_login_failed.send(sender=__name__, credentials={"username": username}, request=request)


def fail_and_close(number: int, address: str) -> None:
    """In a thread of its own."""
    fail(number, address)
    connections.close_all()


def told(event_type: str) -> list[dict[str, Any]]:
    rows = JournalEntry.objects.filter(event_type=event_type, category="security").order_by("id")
    return [row.event.data for row in rows]


def sum_of_all() -> int:
    return len(told(SINGLE)) + sum(data["count"] for data in told(MANY))


def test_what_is_beyond_the_limit_is_counted(settings: Any) -> None:
    settings.SECURITY = {"FLOOD_AFTER": 5}
    fail(5)
    floods.flush()
    assert (len(told(SINGLE)), told(MANY)) == (5, [])
    fail(7, username="nobody")
    fail(2, username="somebody")
    floods.flush()
    (data,) = told(MANY)
    assert (data["count"], data["network"], data["addresses"]) == (9, "203.0.113.9", [["203.0.113.9", 9]])
    assert [count for _, count in data["username_hashes"]] == [7, 2]
    assert data["first"] < data["last"]
    row = JournalEntry.objects.get(event_type=MANY, category="security")
    assert row.event.metadata["owasp"] == "authn_login_fail:203.0.113.9"
    assert AuditEntry.objects.get(event_type=MANY).ip_address == "203.0.113.9"


def test_failures_from_many_threads_are_some_rows_and_exactly_as_many_in_all(settings: Any) -> None:
    settings.SECURITY = {"FLOOD_SUMMARY_INTERVAL": 0.2}
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fail_and_close, [400] * 8, [f"203.0.113.{n}" for n in range(8)]))
    floods.stop()
    wait_published()
    assert sum_of_all() == 3_200
    assert len(told(SINGLE)) == 160
    assert JournalEntry.objects.count() + AuditEntry.objects.count() < 3 * 160 + 3 * 8 * 60


def test_an_attack_from_ever_new_addresses_is_folded_on_the_whole_site(settings: Any) -> None:
    settings.SECURITY = {"FLOOD_AFTER_SITE": 50}
    for n in range(300):
        fail(1, f"203.0.{n // 250}.{n % 250}")
    floods.flush()
    (data,) = told(MANY)
    assert (len(told(SINGLE)), data["count"], data["network"]) == (50, 250, None)
    assert sum_of_all() == 300


def test_the_addresses_of_one_ipv6_subscriber_are_one_network(settings: Any) -> None:
    settings.SECURITY = {"FLOOD_AFTER": 5}
    for n in range(10):
        fail(1, f"2001:db8::{n:x}")
    floods.flush()
    (data,) = told(MANY)
    assert (data["count"], data["network"]) == (5, "2001:db8::/64")


def test_summaries_come_by_themselves_while_it_lasts(settings: Any) -> None:
    settings.SECURITY = {"FLOOD_AFTER": 1, "FLOOD_SUMMARY_INTERVAL": 0.05}
    fail(10)
    wait_for(lambda: told(MANY), "the first summary")
    fail(10)
    wait_for(lambda: sum_of_all() == 20, "the summary of the rest")
    wait_for(lambda: floods._thread is None, "the thread ends with the flood")


@contextmanager
def unwritable_journal() -> Iterator[None]:
    """Its table is not there."""
    table = JournalEntry._meta.db_table
    wait_published()
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
        try:
            yield
        finally:
            cursor.execute(f"ALTER TABLE elsewhere RENAME TO {table}")


def test_a_summary_that_can_not_be_stored_goes_into_the_next_one(settings: Any) -> None:
    settings.SECURITY = {"FLOOD_AFTER": 5}
    fail(8)
    with unwritable_journal():
        assert floods.flush()
        fail(4, username="somebody")
        assert floods.flush()
    fail(1)
    floods.flush()
    (data,) = told(MANY)
    assert (len(told(SINGLE)), data["count"], data["addresses"]) == (5, 8, [["203.0.113.9", 8]])
    assert [count for _, count in data["username_hashes"]] == [4, 4]
    assert not floods.flush()


def test_the_thread_outlives_what_can_not_be_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SECURITY = {"FLOOD_AFTER": 5, "FLOOD_SUMMARY_INTERVAL": 0.02}
    settings.EVENTS = settings.EVENTS | {"RAISE_INVALID": True}
    summary_event, asked = Summary.event, []

    def malformed(summary: Summary, source: Source) -> UnifiedEvent:
        asked.append(source)
        return replace(summary_event(summary, source), event_type="no type")

    monkeypatch.setattr(Summary, "event", malformed)
    fail(8)
    wait_for(lambda: len(asked) > 1, "the summary is tried again")
    monkeypatch.undo()
    wait_for(lambda: sum_of_all() == 8, "the summary")


def test_a_thread_that_died_is_followed_by_another(settings: Any) -> None:
    settings.SECURITY = {"FLOOD_AFTER": 1, "FLOOD_SUMMARY_INTERVAL": 0.02}
    dead = threading.Thread(target=int)
    dead.start()
    dead.join()
    floods._thread = dead
    fail(3)
    wait_for(lambda: sum_of_all() == 3, "the summary")


def test_two_processes_lose_nothing_when_they_end(databases: Any) -> None:
    url = databases.create()
    program = (
        "import django; django.setup()\n"
        "from django.contrib.auth.signals import user_login_failed\n"
        "from django.test import RequestFactory\n"
        "request = RequestFactory().post('/', REMOTE_ADDR='203.0.113.9')\n"
        "for _ in range(500): user_login_failed.send(sender=1, credentials={'username': 'nobody'}, request=request)\n"
    )
    environment = base_environment() | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "chatter_site.settings"}
    running = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    count = (
        "import django; django.setup()\n"
        "from events.models import JournalEntry\n"
        "from security.models import Incident\n"
        "rows = JournalEntry.objects.filter(category='security', event_type__startswith='auth.login_failure')\n"
        "print(len(rows), sum(row.event.data.get('count', 1) for row in rows))\n"
        "print(Incident.objects.get(kind='brute_force').events)\n"
    )
    said = subprocess.run([sys.executable, "-c", count], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    # What is told at the very end is looked at too. The first of each process that counts is what opens the incident.
    assert said.stdout.split()[:2] == ["42", "1000"]
    assert int(said.stdout.split()[2]) > 900


def test_what_a_project_emits_itself_is_never_folded(settings: Any) -> None:
    settings.SECURITY = {"FLOOD_AFTER": 1}
    for _ in range(5):
        events.emit(SINGLE, {"ip": "203.0.113.9"}, category="security")
    assert len(told(SINGLE)) == 5


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.SECURITY = {"FLOOD_AFTER": 1, "FLOOD_AFTER_SITE": 1}
    monkeypatch.setattr(module, "MAX_WINDOWS", 20)
    monkeypatch.setattr(module, "MAX_SUMMARIES", 5)
    for n in range(50):
        fail(2, f"203.0.113.{n}", f"nobody-{n}")
    assert len(floods._windows) <= 20
    assert len(floods._summaries) <= 6
    floods.flush()
    assert sum_of_all() == 100


def test_a_flood_ends_with_a_minute_that_had_no_more_than_the_limit() -> None:
    window = Window(0.0)
    assert [window.add(1.0, 2) for _ in range(3)] == [False, False, True]
    assert window.add(61.0, 2), "the minute before was over the limit"
    assert not window.add(122.0, 2)


def test_a_tally_keeps_the_most_frequent_and_never_says_too_much() -> None:
    tally = Tally()
    for n in range(10 * KEPT):
        tally.add(f"rare-{n}")
        tally.add("frequent")
    assert len(tally) == KEPT
    (member, count), *others = tally.top(ROOM)
    assert member == "frequent"
    assert 900 <= int(count) <= 1000
    assert {count for _, count in others} == {1}
    assert len(others) == KEPT - 1, "others are remembered too, however many came"
    assert tally.different is None


def test_a_tally_that_takes_over_what_another_counted_says_no_more_than_both() -> None:
    one, other = Tally(), Tally()
    for n in range(KEPT):
        one.add(f"one-{n}", 3)
        other.add(f"other-{n}", n + 1)
    assert one.different == other.different == KEPT
    one.merge(other)
    said = dict(one.top(ROOM))
    assert one.different is None
    assert len(said) == KEPT
    assert all(count <= (3 if name.startswith("one") else int(name.removeprefix("other-")) + 1) for name, count in said.items())


def tally_of(members: dict[str, int]) -> Tally:
    tally = Tally()
    for member, times in members.items():
        tally.add(member, times)
    return tally


def test_one_tally_has_all_its_members_singled_out_and_many_have_no_more_together() -> None:
    full = [tally_of({f"{n}-{place}": 1 for n in range(KEPT)}) for place in range(5)]
    assert share(full[:1], 10) == [set(dict(full[0].sure()))]
    assert sum(map(len, share(full, 10))) == KEPT
    assert share([], 10) == []


def test_a_member_of_many_tallies_is_singled_out_before_one_of_a_few_and_does_not_hide_another() -> None:
    tallies = [tally_of({"often": 9, "rare": 1} | {f"{n}-{place}": 5 for n in range(20)}) for place in range(2 * KEPT)]
    shares = share(tallies, 10)
    of = {name: sum(name in one for one in shares) for name in ("often", "rare")}
    assert of["often"] > of["rare"] >= 10
    assert sum(of.values()) == KEPT


def test_who_is_singled_out_is_named_first() -> None:
    assert tally_of({"a": 1, "b": 3, "c": 2}).top(ROOM, {"a"}) == [["a", 1], ["b", 3], ["c", 2]]


def test_a_summary_is_short_enough_however_long_the_names_are() -> None:
    tally = Tally()
    for n in range(KEPT):
        tally.add("\u2603" * 100 + str(n), KEPT - n)
    said = tally.top(10_000)
    assert len(json.dumps(said)) <= 10_000
    assert [count for _, count in said] == [*range(KEPT, KEPT - len(said), -1)]
    assert said


def test_a_source_without_address_is_not_the_whole_site() -> None:
    assert Source(SINGLE, module.UNKNOWN) != Source(SINGLE, None)
