"""What other processes leave: an outbox of one that was killed, a forked one's events."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import forkserver
from tests.support.databases import Databases, base_environment
from tests.support.remote import DjangoProcess, RemoteError

SETUP = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "chatter_site.settings"
import django
django.setup()
import events
from django.db import connections, transaction
from events.models import JournalEntry
"""
POSITIONS = """
from events.models import JournalEntry
result = [list(row) for row in JournalEntry.objects.order_by("position").values_list("position", "event_type")]
"""


@pytest.fixture
def env(databases: Databases, tmp_path: Path) -> dict[str, str]:
    """The environment of processes that share a database of their own."""
    return base_environment() | {"DATABASE_URL": databases.create(), "VAR_DIR": str(tmp_path), "EVENTS_POLL_INTERVAL": "0.1"}


def run(code: str, env: dict[str, str]) -> int:
    return start(code, env).wait(60)


def start(code: str, env: dict[str, str]) -> forkserver.ForkedProcess:
    return forkserver.start(["-c", SETUP + code], env, 0, 1, 2)


def test_the_outbox_of_a_process_that_died_after_its_commit_is_published_by_another(env: dict[str, str]) -> None:
    # Callbacks run in their order: this one ends the process after the commit and before the publisher hears of it.
    code = """
with transaction.atomic():
    transaction.on_commit(lambda: os._exit(9))
    events.emit("process.died", {"n": 1})
    events.emit("process.died", {"n": 2})
"""
    assert run(code, env) == 9
    with DjangoProcess(env) as other:
        assert other.run(POSITIONS) == [[None, "process.died"]] * 2
        other.run("import events; events.emit('process.lived')")
        other.run(
            "from tests.support.waiting import wait_for\n"
            "from events.models import JournalEntry\n"
            "wait_for(lambda: not JournalEntry.objects.filter(position=None).exists(), 'the outbox to be published')"
        )
        rows = other.run(POSITIONS)
    assert [position for position, _ in rows] == [1, 2, 3]
    assert sorted(event_type for _, event_type in rows) == ["process.died", "process.died", "process.lived"]


def test_a_process_that_is_killed_before_its_commit_leaves_nothing(env: dict[str, str]) -> None:
    code = """
with transaction.atomic():
    events.emit("process.died")
    os._exit(9)
"""
    assert run(code, env) == 9
    with DjangoProcess(env) as other:
        other.run("import events; events.emit('process.lived')")
        assert other.run(POSITIONS) == [[1, "process.lived"]]


def test_what_was_emitted_is_written_when_a_process_ends(env: dict[str, str]) -> None:
    code = """
with transaction.atomic():
    events.emit("process.ended")
    events.emit("auth.login_failure", category="security")
"""
    assert run(code, env) == 0
    with DjangoProcess(env) as other:
        rows = other.run(POSITIONS)
    assert [position for position, _ in rows] == [1, 2, 3]
    assert sorted(event_type for _, event_type in rows) == ["auth.login_failure", "auth.login_failure", "process.ended"]


def test_a_process_that_forks_emits_in_all_of_them(env: dict[str, str]) -> None:
    # As a server does that loads the project and then forks its workers; here the publisher and the pool for handlers run already.
    code = """
with transaction.atomic():
    events.emit("auth.login_failure", category="security")
children = []
for number in range(8):
    assert events.emit("parent.emitted")
    connections.close_all()
    child = os.fork()
    if child == 0:
        heard = []
        events.event_router.add_category_handler("security", heard.append, after_commit=True)
        ok = all([events.emit("child.emitted") for _ in range(5)])
        with transaction.atomic():
            ok = events.emit("child.committed") and events.emit("auth.logout", category="security") and ok
        events.unified_event_manager.shutdown()
        os._exit(0 if ok and len(heard) == 1 else 1)
    children.append(child)
for child in children:
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
"""
    assert run(code, env) == 0
    with DjangoProcess(env) as other:
        rows = other.run(POSITIONS)
    assert [position for position, _ in rows] == list(range(1, 2 + 8 * (1 + 5 + 1 + 2) + 1))
    assert sum(event_type == "child.emitted" for _, event_type in rows) == 40


def test_two_processes_that_emit_at_once_share_one_sequence(env: dict[str, str]) -> None:
    code = "import events\nassert all([events.emit('process.emitted', {'n': n}) for n in range(%d)])"
    with DjangoProcess(env) as one, DjangoProcess(env) as other:
        one.run("import events")
        other.run("import events")
        running = start(code % 200, env)
        one.run(code % 100)
        other.run(code % 100)
        assert running.wait(60) == 0
        rows = one.run(POSITIONS)
    assert [position for position, _ in rows] == list(range(1, 401))


def test_a_call_in_another_process_that_fails_is_told(env: dict[str, str]) -> None:
    with DjangoProcess(env) as other, pytest.raises(RemoteError, match="event_type"):
        other.run("import events\nfrom django.test import override_settings\n"
                  "with override_settings(EVENTS={'RAISE_INVALID': True}): events.emit('Bad')")  # fmt: skip
