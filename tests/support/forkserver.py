"""Starts Python processes that need not load the libraries again: Django with all of its libraries takes over a second.

A fork server has imported the libraries, none of our code and no settings. Each process is a fork of it that gets its own
environment, arguments and files, and then runs a module as `python -m` does (or a script).
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import IO, Any, TextIO

from tests.support.paths import ROOT

LIBRARIES = (
    "daphne.server", "uvicorn.main", "uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto", "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop", "psycopg_pool", "redis.asyncio", "channels_redis.pubsub", "channels.auth", "channels.routing",
    "pydantic_settings", "orjson", "dj_database_url", "whitenoise.middleware", "whitenoise.storage", "jsonschema", "yaml",
    "django.core.management", "django.contrib.postgres.forms", "django.db.backends.sqlite3.base", "django.test.signals",
    "django.db.backends.postgresql.base", "rich.live", "rich.progress", "django_filters.filterset", "rest_framework.serializers",
)  # fmt: skip
STATUS = struct.Struct("!i")
MAIN = "from tests.support.forkserver import serve; serve()"


class ForkedProcess:
    """A process that the fork server started. As much of subprocess.Popen as is needed."""

    def __init__(self, connection: socket.socket, pid: int, name: str) -> None:
        self._connection = connection
        self.pid = pid
        self.name = name
        self.stdout: TextIO | None = None
        self.stderr: TextIO | None = None
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status if it has ended, negative for a signal."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self._receive()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.name, timeout or 0)
            self._receive()
        assert self.returncode is not None
        return self.returncode

    def _receive(self) -> None:
        (self.returncode,) = STATUS.unpack(self._connection.recv(STATUS.size))
        self._connection.close()

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(
    arguments: Sequence[str], env: Mapping[str, str], stdin: IO[Any] | int, stdout: IO[Any] | int, stderr: IO[Any] | int
) -> ForkedProcess:
    """Start a process: `["-m", module, …]`, `["-c", code]` or `[script, …]`, in the project's directory."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(fork_server())
    files = [file if isinstance(file, int) else file.fileno() for file in (stdin, stdout, stderr)]
    request = json.dumps({"arguments": list(arguments), "env": dict(env)})
    socket.send_fds(connection, [b"f"], files)
    connection.sendall(request.encode() + b"\n")
    (pid,) = STATUS.unpack(connection.recv(STATUS.size))
    return ForkedProcess(connection, pid, " ".join(arguments))


def start_piped(arguments: Sequence[str], env: Mapping[str, str]) -> ForkedProcess:
    """As `start`, with nothing to read and pipes for what it writes: `stdout` and `stderr`, which the caller closes."""
    (out, out_end), (err, err_end) = pipe(), pipe()
    with out_end, err_end, Path(os.devnull).open() as nothing:
        process = start(arguments, env, nothing, out_end, err_end)
    process.stdout, process.stderr = out, err
    return process


def pipe() -> tuple[TextIO, TextIO]:
    """A pipe's end to read and its end to write."""
    read, write = os.pipe()
    return os.fdopen(read, "r"), os.fdopen(write, "w")


@cache
def fork_server() -> str:
    """Start this process's fork server; it ends with this process. The address of its socket."""
    directory = tempfile.mkdtemp(prefix="events-fork-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    address = f"{directory}/socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    # The pipe's other end is never written: its end tells the server that we are gone.
    gone, alive = os.pipe()
    subprocess.Popen(
        [sys.executable, "-c", MAIN, str(listener.fileno()), str(gone)], cwd=ROOT, pass_fds=[listener.fileno(), gone]
    ).returncode = 0  # nobody waits for it
    os.set_inheritable(alive, False)
    os.close(gone)
    listener.close()
    return address


def serve() -> None:
    """The fork server's main function: forks for each request, until its starter is gone. In a child it does the child's work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in LIBRARIES:
        importlib.import_module(name)
    listener, gone = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    ended, wake = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    children: dict[int, socket.socket] = {}
    watched: list[Any] = [listener, ended, gone]
    while gone not in (ready := select.select(watched, [], [])[0]):
        if ended in ready:
            os.read(ended, 4096)
            report_ended(children)
        if listener in ready and (work := fork(listener, children)):
            for end in (ended, wake, gone):
                os.close(end)
            work()
            return


def fork(listener: socket.socket, children: dict[int, socket.socket]) -> Callable[[], None] | None:
    """Take a request and fork. In the child, what it is to do."""
    connection, _ = listener.accept()
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile("rb").readline())
    pid = os.fork()
    if pid == 0:
        for inherited in (listener, connection, *children.values()):
            inherited.close()
        become(request["env"], files)
        return partial(run, request["arguments"])
    for file in files:
        os.close(file)
    children[pid] = connection
    connection.sendall(STATUS.pack(pid))
    return None


def report_ended(children: dict[int, socket.socket]) -> None:
    """Tell who waits for them which children have ended, and how."""
    for pid in list(children):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            with children.pop(pid) as connection, contextlib.suppress(OSError):  # nobody may be waiting
                connection.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))


def become(env: Mapping[str, str], files: Sequence[int]) -> None:
    """Make of the fork a process with this environment and these standard files."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)


def run(arguments: Sequence[str]) -> None:
    """Run the module or script. What it raises ends the process as it would have ended Python."""
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        exec(arguments[1], {"__name__": "__main__"})
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")
