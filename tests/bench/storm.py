"""What ordinary requests feel of many clients that lose their connection and come back at once."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Self

from tests.bench.contestants import Contestants
from tests.bench.emitting import NAMES
from tests.bench.processes import LOAD_CORE, pinned
from tests.bench.report import Bar, Row, middle, say
from tests.bench.servers import Load, Server
from tests.support.paths import ROOT
from tests.support.remote import DjangoProcess

# Of users who have five streams each.
CLIENTS, STREAMS = 2_000, 5
# Events that each client missed.
MISSED = 50
# What is asked for: a page of the site that reads the session and the user from the database.
PAGE = "/api/events/?page_size=1"
BEFORE = 4.0
PAUSE = 2.0


class Prober:
    """Ordinary requests, at a steady pace, from the load's core."""

    def __init__(self, server: Server, cookie: str) -> None:
        command = [sys.executable, "-m", "tests.bench.prober", str(server.port), PAGE, cookie]
        self._process = subprocess.Popen(
            pinned(LOAD_CORE, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=ROOT
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.communicate(timeout=10)

    def latencies(self) -> list[float]:
        """Milliseconds of each answer since the last call."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        answered: list[float] = json.loads(self._process.stdout.readline())
        return answered


def run(contestants: Contestants, quick: bool) -> Iterator[Row]:
    """All rows of this part."""
    for database in contestants.databases[-1:] if quick else contestants.databases:
        say(f"  {CLIENTS:,} clients reconnect, {NAMES[database]}")
        env = contestants.environment(database)
        with (
            tempfile.NamedTemporaryFile("w", prefix="events-sessions-") as sessions,
            contestants.process(env) as other,
            contestants.ours("uvicorn", env=env) as server,
            Prober(server, contestants.signed_in("bob", env)) as prober,
        ):
            cookies = (f"Cookie: sessionid={key}" for key in other.call("tests.bench.emitters.sessions", CLIENTS // STREAMS))
            print(*cookies, sep="\n", file=sessions, flush=True)
            storms = [storm(server, prober, other, sessions.name) for _ in range(2 if quick else 4)][1:]
        before, during, seconds = (middle(values) for values in zip(*storms, strict=True))
        what = f"p99 of a request while {CLIENTS:,} clients resume, Uvicorn, {NAMES[database]}"
        ours = f"{during:.1f} ms; all are back after {seconds:.1f} s"
        yield Row(what, ours, f"before: {before:.1f} ms", during / before, Bar(2, "≤ 2"))


def storm(server: Server, prober: Prober, other: DjangoProcess, sessions: str) -> tuple[float, float, float]:
    """The p99 before and during a storm, and how many seconds it took until all clients had their streams."""
    headers = ("Accept: text/event-stream", f"@{sessions}")
    with Load(server, CLIENTS, headers=headers) as load:
        left = other.call("tests.bench.emitters.cursor")
        load.begin(MISSED, 30)
        server.publish(n=MISSED, burst=1)
        load.end(MISSED)
        time.sleep(PAUSE)
        prober.latencies()
        time.sleep(BEFORE)
        before = prober.latencies()
    started = time.monotonic()
    with Load(server, CLIENTS, headers=headers, cursor=left, at_once=CLIENTS):
        seconds = time.monotonic() - started
        during = prober.latencies()
    time.sleep(PAUSE)
    say(f"    before {p99(before):.1f} ms, during {p99(during):.1f} ms, {seconds:.1f} s")
    return p99(before), p99(during), seconds


def p99(latencies: list[float]) -> float:
    """The latency that one request in a hundred exceeds."""
    return sorted(latencies)[int(len(latencies) * 0.99)]
