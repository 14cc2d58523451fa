"""The command tail_events, run as the process that it is."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from tests.support.paths import ROOT
from tests.support.server import Server, Servers

TIMEOUT = 20.0


class Tail:
    """A running tail_events, and its lines."""

    def __init__(self, server: Server, *arguments: str) -> None:
        self.process = server.start_manage("tail_events", *arguments, EVENTS_POLL_INTERVAL="0.05")
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self) -> str:
        return self._lines.get(timeout=TIMEOUT)

    def event(self) -> Any:
        return json.loads(self.line())

    def end(self) -> tuple[int, str]:
        """Wait for its end: the exit status, and what it wrote to stderr."""
        assert self.process.stderr is not None
        errors = self.process.stderr.read()
        status = self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        assert self._lines.empty()
        return status, errors

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="module")
def server(serve_module: Servers) -> Server:
    return serve_module()


@pytest.fixture
def tail(server: Server) -> Iterator[Callable[..., Tail]]:
    """Starts a tail that has shown its first line: from then on it follows."""
    started: list[Tail] = []

    def start(*arguments: str) -> Tail:
        server.emit("tail.begins")
        started.append(Tail(server, "--since", "1", *arguments))
        return started[-1]

    yield start
    for one in started:
        one.__exit__()


def test_it_shows_what_another_process_emits_and_ends_cleanly_on_ctrl_c(server: Server, tail: Callable[..., Tail]) -> None:
    running = tail()
    assert "tail.begins" in running.line()

    server.emit("news.posted", {"title": "é"}, user_id="7", priority="low")

    line = running.line()
    assert "low      realtime   news.posted user=7" in line
    assert '{"title":"é"}' in line
    running.process.send_signal(signal.SIGINT)
    assert running.end() == (0, "")


def test_json_lines_are_events_as_on_the_wire_with_rising_cursors(server: Server, tail: Callable[..., Tail]) -> None:
    running = tail("--json", "--limit", "4")
    first = running.event()
    for number in range(3):
        server.emit("tick.tock", {"number": number})

    events = [running.event() for _ in range(3)]

    assert running.end() == (0, "")
    assert [event["data"] for event in events] == [{"number": number} for number in range(3)]
    positions = [int(event["cursor"].partition(":")[2]) for event in [first, *events]]
    assert positions == list(range(positions[0], positions[0] + 4))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--types", "*.wanted,tail.*"],
        ["--categories", "workflow"],
        ["--min-priority", "high"],
        ["--user", "7"],
        ["--correlation", "run-1"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_filters_leave_out_what_is_not_wanted(server: Server, arguments: list[str]) -> None:
    wanted = {"category": "workflow", "priority": "high", "user_id": "7", "correlation_id": "run-1"}
    server.emit("job.wanted", {"n": 1}, **wanted)
    server.emit("job.other")
    with Tail(server, "--json", "--since", "1", *arguments) as running:
        shown = running.event()
        server.emit("job.other")
        server.emit("job.wanted", {"n": 2}, **wanted)
        assert shown["type"] == running.event()["type"] == "job.wanted"


def test_data_can_not_steer_the_terminal(server: Server, tail: Callable[..., Tail]) -> None:
    running = tail("--force-color")
    running.line()
    server.emit("news.posted", {"title": "\x9b2J\x1b[2J[red]\u202e"}, user_id="[bold]7")

    line = running.line()

    assert "\x9b" not in line
    assert "\x1b[2J" not in line
    assert "\u202e" not in line
    assert "[red]" in line
    assert "[bold]7" in line
    assert "\x1b[1m" in line  # the colours are ours


def test_it_goes_on_when_the_journal_begins_anew_and_says_so(server: Server, tail: Callable[..., Tail]) -> None:
    running = tail()
    running.line()
    server.other.run(
        "from events.models import JournalEntry, JournalHead\n"
        "JournalEntry.objects.all().delete(); JournalHead.objects.all().delete()"
    )
    server.emit("news.posted")

    assert "news.posted" in running.line()
    running.process.send_signal(signal.SIGINT)
    assert running.end() == (0, "The journal begins anew.\n")


@pytest.mark.parametrize("options", ["", "--json"])
def test_it_ends_quietly_when_its_reader_does(server: Server, options: str) -> None:
    for _ in range(3):
        server.emit("tick.tock")

    done = subprocess.run(
        f"set -o pipefail; {sys.executable} manage.py tail_events --since 3 --limit 3 {options} | true",
        check=False,
        shell=True,
        executable="/bin/bash",
        cwd=ROOT,
        env=server.env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--types", "A.b"], "types"),
        (["--categories", "x"], "categories"),
        (["--min-priority", "x"], "min_priority"),
        (["--since", "-1"], "since"),
        (["--since", "9" * 30], "since"),
        (["--limit", "-1"], "limit"),
        (["--limit", "0"], "limit"),
    ],
    ids=str,
)
def test_a_bad_option_is_refused_by_its_name(server: Server, arguments: list[str], field: str) -> None:
    done = server.manage("tail_events", *arguments, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith(f"CommandError: {field}: ")
