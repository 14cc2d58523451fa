"""The real services that tests need: found where they run, else started as an own copy on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
import redis

from tests.support.paths import free_port, listens
from tests.support.waiting import wait_for

REDIS_PORT = 6379
POSTGRESQL_URLS = ("postgresql://127.0.0.1:5432/postgres", "postgresql://postgres@127.0.0.1:5432/postgres")
STOP_TIMEOUT = 10.0


class Unavailable(Exception):
    """A service that isn't here, and why."""


def are_required() -> bool:
    """Whether a missing service is a failure: REQUIRE_SERVICES."""
    return os.environ.get("REQUIRE_SERVICES", "0") not in ("", "0")


def unavailable(reason: object) -> NoReturn:
    """Skip the test for want of a service; fail it where all must be here."""
    if are_required():
        pytest.fail(f"REQUIRE_SERVICES is set and {reason}")
    pytest.skip(str(reason))


def find_program(*names: str) -> str:
    """The path of a program. Raises Unavailable."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
    for name in names:
        if found := shutil.which(name, path=os.pathsep.join(places)):
            return found
    raise Unavailable(f"{names[0]} is not installed")


def chromium() -> str:
    """The path of Debian's Chromium. Raises Unavailable."""
    return find_program("chromium", "chromium-browser", "google-chrome")


def running_redis() -> str | None:
    """The URL of a Redis that runs already: TEST_REDIS_URL, or the default port."""
    if url := os.environ.get("TEST_REDIS_URL"):
        return url
    return f"redis://127.0.0.1:{REDIS_PORT}" if listens(REDIS_PORT) else None


def running_postgresql() -> str | None:
    """The URL of a PostgreSQL that runs already and lets us create databases: TEST_POSTGRESQL_URL, or the default port."""
    if url := os.environ.get("TEST_POSTGRESQL_URL"):
        return url
    return next(filter(_may_create_databases, POSTGRESQL_URLS), None)


def _may_create_databases(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            row = connection.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
            return bool(row and row[0])
    except psycopg.OperationalError:
        return False


class OwnService:
    """A copy of a service that belongs to one test: it may be stopped, killed, frozen and started again on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="events-test-"))
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What to run."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether it answers."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it (again), on the data that it had, and wait until it answers."""
        log = (self.directory / "log").open("ab")
        with log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.directory, user=self.user)
        try:
            wait_for(self._is_up, f"{self.command()[0]} to start", 30)
        except TimeoutError:
            raise Unavailable(f"{self.command()[0]} does not start: {self.log[-500:]}") from None

    def _is_up(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise Unavailable(f"{self.command()[0]} ended: {self.log[-500:]}")
        return self.is_ready()

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self.directory / "log").read_text(errors="replace")

    @property
    def user(self) -> int | None:
        """The user id to run as; None for our own."""
        return None

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it and wait for the end."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(STOP_TIMEOUT)
            self.process = None

    def kill(self) -> None:
        """End it without a chance to clean up."""
        self.stop(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it answer nothing, with its connections open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def discard(self) -> None:
        """Stop it and forget its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class OwnRedis(OwnService):
    """A Redis of one's own, without persistence."""

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        return [find_program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]

    def is_ready(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


class OwnPostgreSQL(OwnService):
    """A PostgreSQL of one's own. The server refuses to run as root: there it runs as `postgres`, or as `nobody`."""

    def __init__(self) -> None:
        super().__init__()
        initdb = find_program("initdb")
        if self.user is not None:
            os.chown(self.directory, self.user, -1)
        subprocess.run(
            [initdb, "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, capture_output=True, user=self.user, cwd=self.directory,
        )  # fmt: skip

    @property
    def _data(self) -> str:
        return str(self.directory / "data")

    @property
    def url(self) -> str:
        """Its URL, of the database that is always there."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def user(self) -> int | None:
        if os.getuid() != 0:
            return None
        known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
        return known.get("postgres", known["nobody"])

    def command(self) -> list[str]:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c full_page_writes=off"
        return [find_program("postgres"), "-D", self._data, *options.split()]

    def is_ready(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
