"""A real server of the site: a subprocess with its own database on a free port."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import httpx

from tests.support import forkserver
from tests.support.databases import Databases, base_environment
from tests.support.paths import free_port
from tests.support.remote import DjangoProcess
from tests.support.seed import PASSWORD, Account
from tests.support.streams import PLAIN, Stream, Transport, open_sse, open_websocket
from tests.support.waiting import wait_for

Program = Literal["uvicorn", "daphne", "granian"]
PROGRAMS: tuple[Program, ...] = ("uvicorn", "daphne", "granian")
APPLICATION = "chatter_site.asgi:application"
START_TIMEOUT = 30.0
STOP_TIMEOUT = 15.0
# Signs in a server's log that something went wrong which no test asked for.
TROUBLE = ("Traceback (most recent call last)", " ERROR ", "CRITICAL")


def arguments(program: Program, port: int) -> list[str]:
    """How each program serves the site, after `python`: as docs/how-to/deploy.md says."""
    return {
        "uvicorn": ["-m", "uvicorn", "--port", str(port), "--timeout-graceful-shutdown", "2", "--log-level", "warning", APPLICATION],
        "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0", APPLICATION],
        "granian": ["-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning",
                    "--workers-kill-timeout", "3", APPLICATION],
    }[program]  # fmt: skip


class Server:
    """A running server. Its database has the accounts of `tests.support.seed`: admin, sam, alice and bob."""

    def __init__(
        self,
        database_url: str,
        accounts: Mapping[str, Account],
        var: Path,
        *,
        program: Program = "uvicorn",
        env: Mapping[str, Any],
    ) -> None:
        self.program = program
        self.accounts = accounts
        self.port = free_port()
        self.var = var
        self.env = base_environment() | {"DATABASE_URL": database_url, "VAR_DIR": str(var)}
        self.env |= {name: str(value) for name, value in env.items()}
        self.errors_expected = False
        self._process: forkserver.ForkedProcess | None = None
        self._other: DjangoProcess | None = None
        self._probe = httpx.Client(**PLAIN)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server wrote."""
        return (self.var / "server.log").read_text(errors="replace")

    # Its life

    def start(self) -> None:
        """Start it (again), on the same port and database, and wait until it answers."""
        with (self.var / "server.log").open("ab") as log, Path(os.devnull).open() as nothing:
            self._process = forkserver.start(arguments(self.program, self.port), self.env, nothing, log, log)
        wait_for(self._answers, f"{self.program} to answer", START_TIMEOUT)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.program} ended with {self._process.returncode}:\n{self.log}")
        try:
            return self._probe.get(f"{self.url}/healthz").status_code < 500
        except httpx.TransportError:
            return False

    def send_signal(self, how: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(how)

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout: float = STOP_TIMEOUT) -> None:
        """Tell it to end, and wait for the end. Raises subprocess.TimeoutExpired."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout)
            self._process = None

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.stop(signal.SIGKILL)

    def discard(self) -> None:
        """End it whatever state it is in."""
        self._probe.close()
        if self._other is not None:
            self._other.__exit__()
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()
            # Granian 2.8 does not always end in time when it is told to soon after its start, on a busy machine; why is not known, but its
            # workers are late with the smallest application too. Tests that are about its end call `stop`.
            if self.program != "granian":
                raise

    # Other processes

    def process(self, **env: Any) -> DjangoProcess:
        """Another Django process on the same database, channel layer and settings; a context manager that ends it."""
        return DjangoProcess(self.env | {name: str(value) for name, value in env.items()})

    @property
    def other(self) -> DjangoProcess:
        """Another Django process, kept until the server is discarded."""
        if self._other is None:
            self._other = self.process()
        return self._other

    def emit(self, event_type: str, data: Mapping[str, Any] | None = None, **fields: Any) -> bool:
        """Emit an event in the other process. True if it was stored."""
        stored: bool = self.other.call("events.manager.emit", event_type, data, **fields)
        return stored

    def manage(self, *arguments: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `manage.py` with the arguments. Raises subprocess.CalledProcessError unless `check` is off."""
        with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            given.write(stdin)
            given.seek(0)
            status = forkserver.start(["manage.py", *arguments], self.env, given, out, err).wait(60)
            out.seek(0)
            err.seek(0)
            done = subprocess.CompletedProcess(["manage.py", *arguments], status, out.read(), err.read())
        if check:
            done.check_returncode()
        return done

    def start_manage(self, *arguments: str, **env: str) -> forkserver.ForkedProcess:
        """Start `manage.py` with the arguments, with pipes for its `stdout` and `stderr`."""
        return forkserver.start_piped(["manage.py", *arguments], self.env | env)

    # Its clients

    def client(self, user: str | None = None, **options: Any) -> httpx.Client:
        """An HTTP client, signed in as the user by the session that the database has for them."""
        cookies = {"sessionid": self.accounts[user].session} if user else {}
        return httpx.Client(base_url=self.url, cookies=cookies, timeout=30, **PLAIN, **options)

    def sign_in(self, user: str, password: str = PASSWORD, path: str = "/accounts/login/") -> httpx.Client:
        """An HTTP client that signed in through the form, as a person does: a session of its own."""
        client = self.client()
        client.get(path)
        form = {"username": user, "password": password, "csrfmiddlewaretoken": client.cookies.get("csrftoken", "")}
        client.post(path, data=form, headers={"Referer": self.url + path})
        return client

    def new_session(self, user: str) -> str:
        """The key of a further session of the user, signed in."""
        key: str = self.other.call("tests.support.seed.new_session", self.accounts[user].id)
        return key

    def sse(self, user: str | None = None, **options: Any) -> AbstractAsyncContextManager[Stream]:
        """`stream("sse", …)`."""
        return self.stream("sse", user, **options)

    def websocket(self, user: str | None = None, **options: Any) -> AbstractAsyncContextManager[Stream]:
        """`stream("websocket", …)`."""
        return self.stream("websocket", user, **options)

    def stream(
        self,
        transport: Transport,
        user: str | None = None,
        *,
        session: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
        **query: Any,
    ) -> AbstractAsyncContextManager[Stream]:
        """An open stream of the user, by session cookie, or of who has the session or token. Raises Refused.

        `query` holds the parameters of docs/wire.md. `origin` is for WebSocket: ours unless given, "" for none.
        """
        sent = dict(headers or {})
        if key := session or (self.accounts[user].session if user else None):
            sent["Cookie"] = f"sessionid={key}"
        if token:
            sent["Authorization"] = f"Token {token}"
        search = f"?{urlencode(query)}" if query else ""
        if transport == "sse":
            return open_sse(f"{self.url}/events/stream{search}", sent)
        ours = self.url if origin is None else origin or None
        return open_websocket(f"ws://127.0.0.1:{self.port}/ws/events/{search}", sent, ours)

    def assert_no_trouble(self) -> None:
        """Fails on a traceback or an error in the log, unless `errors_expected`."""
        if not self.errors_expected:
            assert not [sign for sign in TROUBLE if sign in self.log], self.log


class Servers:
    """Starts servers, and ends them all. One for each test or module: the fixtures `serve` and `serve_module`."""

    def __init__(self, databases: Databases, directory: Path, static: Path, redis: Callable[[], str]) -> None:
        self._databases = databases
        self._directory = directory
        self._static = static
        self._redis = redis
        self._started: list[Server] = []

    def __call__(
        self, program: Program = "uvicorn", *, like: Server | None = None, redis: bool | str = False, **env: Any
    ) -> Server:
        """A server on a new database; with `like`, on that server's. `redis` gives it a channel layer: the running Redis with a
        prefix of its own, or the one at a URL. The rest is its environment: `EVENTS_SSE_QUEUE_MAXSIZE=10`."""
        database_url = like.env["DATABASE_URL"] if like else self._databases.create()
        if like:
            env = {name: like.env[name] for name in ("REDIS_URL", "REDIS_PREFIX") if name in like.env} | env
        elif redis:
            env |= {"REDIS_URL": redis if isinstance(redis, str) else self._redis(), "REDIS_PREFIX": uuid.uuid4().hex}
        var = self._directory / f"server-{uuid.uuid4().hex[:8]}"
        var.mkdir()
        (var / "static").symlink_to(self._static)
        server = Server(database_url, self._databases.accounts, var, program=program, env=env)
        self._started.append(server)
        server.start()
        return server

    def end(self) -> None:
        """End them all at once. Fails if one of them logged an error or did not end."""
        for server in self._started:
            server.send_signal(signal.SIGTERM)
        for server in self._started:
            server.discard()
        for url in {server.env["DATABASE_URL"] for server in self._started}:
            self._databases.drop(url)
        for server in self._started:
            print(f"--- {server.program} on {server.port} ---\n{server.log}")
        for server in self._started:
            server.assert_no_trouble()
