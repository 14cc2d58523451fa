"""The servers that are measured, one process each on the server's core, and the load client on the other."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlencode

from tests.bench.prepare import CLIENT
from tests.bench.processes import LOAD_CORE, SERVER_CORE, cpu_seconds, memory_kb, pinned
from tests.support.paths import ROOT, free_port, listens
from tests.support.waiting import wait_for

Program = Literal["uvicorn", "granian", "daphne"]
# A stream must not be ended, pinged or refused by the server program: the load client does not answer.
OPTIONS: Mapping[Program, list[str]] = {
    "uvicorn": [
        "-m",
        "uvicorn",
        "--port",
        "{port}",
        "--log-level",
        "warning",
        "--backlog",
        "4096",
        "--ws-ping-interval",
        "3600",
        "--ws-ping-timeout",
        "3600",
    ],
    "granian": [
        "-m",
        "granian",
        "--interface",
        "asgi",
        "--port",
        "{port}",
        "--log-level",
        "warning",
        "--no-access-log",
        "--loop",
        "uvloop",
        "--backlog",
        "4096",
        "--backpressure",
        "20000",
        "--workers-kill-timeout",
        "1",
    ],
    "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", "-v", "0", "--ping-interval", "3600", "--ping-timeout", "7200"],
}
START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0
# The longest that a client process may live, whatever becomes of us.
LOAD_LIFETIME = 600
# Streams that are being opened at the same time: fewer than a server's backlog.
AT_ONCE = 100


@dataclass(frozen=True)
class Round:
    """What a round of events cost the server, and what the clients saw of it."""

    deliveries: int
    missing: int
    seconds: float
    cpu_seconds: float
    p50_ms: float
    p99_ms: float
    last_ms: float

    @property
    def us(self) -> float:
        """Microseconds of the server's CPU a delivery."""
        return self.cpu_seconds / max(1, self.deliveries) * 1e6

    @property
    def per_second(self) -> float:
        """Deliveries a second, from when the first event was emitted to when the last client had the last one."""
        return self.deliveries / max(1e-9, self.seconds)


@dataclass
class Server:
    """A running server. `path` is where it streams, `headers` what the request for a stream says."""

    command: list[str]
    env: Mapping[str, str]
    path: str = "/events"
    headers: tuple[str, ...] = ("Accept: text/event-stream",)
    port: int = field(default_factory=free_port)

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile("w+")
        command = pinned(SERVER_CORE, [part.format(port=self.port) for part in self.command])
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=self.env, stdout=self._log, stderr=self._log, start_new_session=True
        )
        try:
            wait_for(self._answers, f"{self.command} to listen", START_TIMEOUT)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.command} ended with {self._process.returncode}:\n{self.log}")
        return listens(self.port)

    def __exit__(self, *exc_info: object) -> None:
        # Its own session, so its own group: nobody else's process is in it.
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, how)
                self._process.wait(STOP_TIMEOUT)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self._log.close()

    @property
    def log(self) -> str:
        """What it wrote."""
        self._log.seek(0)
        return self._log.read()

    @property
    def cpu_seconds(self) -> float:
        """The CPU time that it took until now."""
        return cpu_seconds(self._process.pid)

    @property
    def memory_kb(self) -> float:
        """The memory that it holds."""
        return memory_kb(self._process.pid)

    def publish(self, **query: object) -> None:
        """Have it emit events, in its own process; returns when they are emitted."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", f"/publish?{urlencode(query)}")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        if answer.status != 200 or not text.startswith("ok"):
            raise RuntimeError(f"{answer.status} {text[:500]}\n{self.log}")


def asgi_server(python: str | Path, program: Program, application: str, env: Mapping[str, str], **options: object) -> Server:
    """A server that runs an ASGI application."""
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return Server([str(python), *OPTIONS[program], application], known | dict(env), **options)  # type: ignore[arg-type]


class Load:
    """N clients of a server, in one process; with a cursor they resume there."""

    def __init__(
        self, server: Server, clients: int, *, headers: tuple[str, ...] | None = None, cursor: str = "", at_once: int = AT_ONCE
    ) -> None:
        self.server = server
        self.clients = clients
        sent = server.headers if headers is None else headers
        path = f"{server.path}?cursor={cursor}" if cursor else server.path
        command = [str(CLIENT), "127.0.0.1", str(server.port), path, str(clients), str(LOAD_LIFETIME), str(at_once), *sent]
        self._process = subprocess.Popen(
            pinned(LOAD_CORE, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._process.stdin
        assert self._process.stdout
        self._say, self._hear = self._process.stdin, self._process.stdout

    def wait(self) -> Self:
        """Until each client has its stream."""
        if self._hear.readline().strip() != "READY":
            raise RuntimeError(f"the clients could not connect:\n{self.server.log}")
        return self

    def __enter__(self) -> Self:
        return self.wait()

    def __exit__(self, *exc_info: object) -> None:
        self._say.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._hear.close()

    def begin(self, events: int, seconds: float) -> None:
        """Begin to count a round of so many events for each client."""
        self._say.write(f"{events * self.clients} {seconds}\n")
        if self._hear.readline().strip() != "GO":
            raise RuntimeError("the load client ended")

    def end(self, events: int) -> dict[str, int]:
        """What the clients saw, once they have all events or the time is over."""
        line = self._hear.readline()
        if not line:
            raise RuntimeError("the load client ended")
        seen = {name: int(value) for name, _, value in (part.partition("=") for part in line.split())}
        return seen | {"missing": max(0, events * self.clients - seen["deliveries"])}


def play(loads: list[Load], events: int, publish: Callable[[], object], *, seconds: float = 40.0) -> Round:
    """A round: publish events, and wait until all clients of all loads have them. The loads are one server's."""
    server = loads[0].server
    for load in loads:
        load.begin(events, seconds)
    before = server.cpu_seconds
    publish()
    seen = [load.end(events) for load in loads]
    cpu = server.cpu_seconds - before
    first = min((s["first_ns"] for s in seen if s["first_ns"]), default=0)
    return Round(
        deliveries=sum(s["deliveries"] for s in seen),
        missing=sum(s["missing"] for s in seen),
        seconds=(max(s["last_ns"] for s in seen) - first) / 1e9,
        cpu_seconds=cpu,
        p50_ms=max(s["p50_us"] for s in seen) / 1000,
        p99_ms=max(s["p99_us"] for s in seen) / 1000,
        last_ms=max(s["max_us"] for s in seen) / 1000,
    )


def redis_prefix() -> str:
    """A prefix that nobody else uses."""
    return f"bench-{uuid.uuid4().hex[:12]}"


def taskset_is_missing() -> bool:
    """Whether there are two cores, but not the program that keeps a process on one."""
    return bool(SERVER_CORE) and shutil.which("taskset") is None
