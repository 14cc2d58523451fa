"""Makes the servers that are compared, each with a database, a Redis prefix and a port of its own."""

from __future__ import annotations

import http.client
import json
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.bench.peers import payload
from tests.bench.prepare import HERE, PEERS_PYTHON, nchan
from tests.bench.servers import Program, Server, asgi_server, redis_prefix
from tests.support import services
from tests.support.databases import Databases, base_environment
from tests.support.paths import free_port
from tests.support.remote import DjangoProcess

WEBSOCKET = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==",
    "Sec-WebSocket-Version: 13",
)


class Contestants:
    """What is compared. A context manager that cleans up after them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="events-bench-")))
        self.redis_url = self._service(services.running_redis, services.OwnRedis)
        self.postgresql_url = self._service(services.running_postgresql, services.OwnPostgreSQL)
        self._databases = {"sqlite": Databases(self._directory)}
        if self.postgresql_url:
            self._databases["postgresql"] = Databases(self._directory, self.postgresql_url)
            self._stack.callback(self._drop_postgresql)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _service(self, running: object, own: type[services.OwnService]) -> str:
        """The URL of a service that runs, or of one that we start; "" where it is not installed."""
        url: str | None = running() if callable(running) else None
        if url:
            return url
        try:
            service = own()
            self._stack.callback(service.discard)
            service.start()
        except services.Unavailable as reason:
            print(reason, file=sys.stderr)
            return ""
        return str(service.url)  # type: ignore[attr-defined]

    def _drop_postgresql(self) -> None:
        from tests.support.databases import drop_template

        self._databases["postgresql"].drop_all()
        drop_template(self._directory, self.postgresql_url)

    @property
    def databases(self) -> list[str]:
        """The kinds of database that are here: sqlite, and postgresql where there is one."""
        return list(self._databases)

    def environment(self, database: str = "sqlite", *, redis: bool = False) -> dict[str, str]:
        """The settings of a process of the project, with a new database."""
        var = tempfile.mkdtemp(dir=self._directory)
        env = base_environment() | {"DATABASE_URL": self._databases[database].create(), "VAR_DIR": var}
        env["EVENTS_SSE_MAX_CONNECTIONS_PER_USER"] = "100000"
        return env | ({"REDIS_URL": self.redis_url, "REDIS_PREFIX": redis_prefix()} if redis else {})

    @contextmanager
    def empty_database(self, database: str) -> Iterator[str]:
        """The URL of a new PostgreSQL database without tables, for as long as the block; "" for SQLite."""
        if database == "sqlite":
            yield ""
            return
        name = f"events_bench_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.postgresql_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            try:
                yield urlsplit(self.postgresql_url)._replace(path=f"/{name}").geturl()
            finally:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def ours(self, program: Program, *, websocket: bool = False, env: dict[str, str] | None = None) -> Server:
        """The project, with clients that are signed in."""
        env = env or self.environment()
        path = "/ws/events/?batch=1" if websocket else "/events/stream"  # as the browser's client asks for it
        headers = (*(WEBSOCKET if websocket else ("Accept: text/event-stream",)), self.signed_in("alice", env))
        return asgi_server(sys.executable, program, "tests.bench.ours:application", env, path=path, headers=headers)

    def signed_in(self, user: str, env: Mapping[str, str]) -> str:
        """The request header of a client of that user, on the database of that environment."""
        return f"Cookie: sessionid={self._databases[urlsplit(env['DATABASE_URL']).scheme].accounts[user].session}"

    def user_id(self, user: str) -> str:
        """The id of the user, the same on all databases."""
        return self._databases["sqlite"].accounts[user].id

    def peer(self, program: Program, name: str, *, redis: bool = False, websocket: bool = False) -> Server:
        """A peer of tests.bench.peers."""
        env = {"REDIS_URL": self.redis_url, "REDIS_PREFIX": redis_prefix()} if redis else {}
        headers = WEBSOCKET if websocket else ("Accept: text/event-stream",)
        return asgi_server(PEERS_PYTHON, program, f"tests.bench.peers:{name}", env, headers=headers)

    def nchan(self) -> Server | None:
        """nginx with nchan, where that is installed."""
        program = nchan()
        return NchanServer(program, Path(tempfile.mkdtemp(dir=self._directory))) if program else None

    def process(self, env: dict[str, str]) -> DjangoProcess:
        """A process of the project that serves nobody."""
        return DjangoProcess(env)


class NchanServer(Server):
    """nginx with nchan. Not Python: events are posted to it one at a time."""

    def __init__(self, program: str, directory: Path) -> None:
        port = free_port()
        directory.chmod(0o777)  # nginx's worker is another user where we are root
        directory.parent.chmod(0o755)
        configuration = (HERE / "nchan.conf").read_text().replace("{prefix}", str(directory)).replace("{port}", str(port))
        (directory / "nginx.conf").write_text(configuration)
        command = [shutil.which(program) or program, "-p", str(directory), "-c", str(directory / "nginx.conf")]
        super().__init__(command, base_environment(), port=port)

    def publish(self, **query: object) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for number in range(int(str(query["n"]))):
            connection.request("POST", "/pub", json.dumps(payload(number)))
            connection.getresponse().read()
            time.sleep(float(str(query.get("gap_ms", 0))) / 1000)
        connection.close()
