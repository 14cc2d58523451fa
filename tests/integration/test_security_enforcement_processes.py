"""A limit is exact, however many attempts are made at once, in however many processes."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import Databases, base_environment
from tests.support.remote import DjangoProcess

PROCESSES, THREADS = 4, 25
# What was folded is told, and all is written.
FINISH = """
from events import unified_event_manager
from security.sources.floods import floods
floods.stop()
unified_event_manager.shutdown()
result = None
"""
STATE = """
from security.models import CoolOff, Counter
from events.models import JournalEntry
told = JournalEntry.objects.filter(category="security")
result = {
    "cool_offs": [[row.subject.split()[0], row.times] for row in CoolOff.objects.all()],
    "left": {row.key.split()[1]: len(row.hits) for row in Counter.objects.all() if row.key.startswith("attempts ")},
    "refusals": told.filter(event_type="auth.login_refused").count()
        + sum(row.event.data["count"] for row in told.filter(event_type="auth.logins_refused")),
    "failures": told.filter(event_type="auth.login_failure").count(),
}
"""
COOL_OFF_IS_OVER = """
from datetime import timedelta
from events.types import utcnow
from security.models import CoolOff
CoolOff.objects.update(until=utcnow() - timedelta(seconds=1))
"""


@pytest.fixture
def environment(databases: Databases, tmp_path: Path) -> Any:
    url = databases.create()
    yield base_environment() | {"DATABASE_URL": url, "VAR_DIR": str(tmp_path), "SECURITY_ENFORCE": "true"}
    databases.drop(url)


def attempt_in_processes(processes: list[DjangoProcess], *addresses: list[str]) -> int:
    """100 attempts at the same moment, from the addresses, or each process from its own. How many passwords were checked."""
    with ThreadPoolExecutor(len(processes)) as pool:
        calls = [
            pool.submit(process.call, "tests.support.checked.attempt_together", THREADS, "alice", addresses[n % len(addresses)])
            for n, process in enumerate(processes)
        ]
        return sum(call.result(120) for call in calls)


def state_of(processes: list[DjangoProcess]) -> Any:
    for process in processes:
        process.run(FINISH)
    return processes[0].run(STATE)


def test_counted_in_redis_a_limit_is_as_exact(environment: dict[str, str], redis_url: str) -> None:
    counted_there = {"SECURITY_REDIS_URL": redis_url, "SECURITY_REDIS_PREFIX": f"test-{uuid.uuid4().hex}"}
    with ExitStack() as stack:
        processes = [stack.enter_context(DjangoProcess(environment | counted_there)) for _ in range(PROCESSES)]
        assert attempt_in_processes(processes, ["203.0.113.9"]) == 5
        state = state_of(processes)
        assert (state["cool_offs"], state["left"]) == ([["pair", 1]], {})


@pytest.mark.parametrize(
    ("limits", "addresses", "limit", "scope"),
    [
        ({}, ["203.0.113.9"], 5, "pair"),
        ({"SECURITY_ACCOUNT_LIMIT": "20"}, [f"203.0.113.{n}" for n in range(25)], 20, "account"),
        ({"SECURITY_PAIR_LIMIT": "1000", "SECURITY_ADDRESS_LIMIT": "7"}, ["2001:db8::1", "2001:db8::2"], 7, "address"),
    ],
    ids=["pair", "account", "address"],
)
def test_of_100_attempts_in_4_processes_exactly_the_limit_is_checked(
    environment: dict[str, str], limits: dict[str, str], addresses: list[str], limit: int, scope: str
) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(DjangoProcess(environment | limits)) for _ in range(PROCESSES)]
        assert attempt_in_processes(processes, addresses) == limit
        state = state_of(processes)
        assert state["cool_offs"] == [[scope, 1]]
        assert state["failures"] == limit
        assert state["refusals"] == PROCESSES * THREADS - limit
        assert state["left"][scope] == 2 * limit  # those that were checked, and what keeps it full during the cool-off


def test_when_a_cool_off_is_over_exactly_one_of_100_attempts_is_checked(environment: dict[str, str]) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(DjangoProcess(environment)) for _ in range(PROCESSES)]
        assert attempt_in_processes(processes, ["203.0.113.9"]) == 5
        processes[0].run(COOL_OFF_IS_OVER)
        assert attempt_in_processes(processes, ["203.0.113.9"]) == 1
        assert state_of(processes)["cool_offs"] == [["pair", 2]]


@pytest.mark.parametrize("counted_in", ["database", "redis"])
def test_one_who_tries_many_at_once_makes_no_limit_full_that_others_share(
    environment: dict[str, str], redis_url: str, counted_in: str
) -> None:
    """88 from one address at once, and 12 from other addresses: 5 and all of the 12 are checked, which is the account's limit."""
    redis = (
        {"SECURITY_REDIS_URL": redis_url, "SECURITY_REDIS_PREFIX": f"test-{uuid.uuid4().hex}"} if counted_in == "redis" else {}
    )
    limits = {"SECURITY_ACCOUNT_LIMIT": "17"} | redis
    addresses = [["203.0.113.9"] * 22 + [f"198.51.100.{3 * n + k}" for k in range(3)] for n in range(PROCESSES)]
    with ExitStack() as stack:
        processes = [stack.enter_context(DjangoProcess(environment | limits)) for _ in range(PROCESSES)]
        assert attempt_in_processes(processes, *addresses) == 17
        assert state_of(processes)["cool_offs"] == [["pair", 1]]
