"""Databases for the tests' servers: one is migrated and seeded, the others are copies of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.support.paths import locked
from tests.support.remote import DjangoProcess
from tests.support.seed import SECRET_KEY, Account


def base_environment() -> dict[str, str]:
    """What a process of the tests knows of ours: nothing of the settings."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return env | {"SECRET_KEY": SECRET_KEY, "PYTHONUNBUFFERED": "1"}


def template_name(directory: Path) -> str:
    """The PostgreSQL template of the run whose shared directory this is."""
    return f"events_template_{hashlib.sha256(str(directory).encode()).hexdigest()[:12]}"


def drop_template(directory: Path, server_url: str) -> None:
    """Drop the PostgreSQL template of a run, if it made one."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(template_name(directory))))


@dataclass
class Databases:
    """Makes databases of one kind. `directory` is shared by all workers of the run, `server_url` is a PostgreSQL or "" for SQLite."""

    directory: Path
    server_url: str = ""
    accounts: dict[str, Account] = field(default_factory=dict)
    _made: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        vendor = "postgresql" if self.server_url else "sqlite"
        seeded = self.directory / f"accounts-{vendor}.json"
        self._template = template_name(self.directory) if self.server_url else "template.sqlite3"
        with locked(self.directory / f"{vendor}.lock"):
            if not seeded.exists():
                self._make_template(seeded)
        self.accounts = {name: Account(*parts) for name, parts in json.loads(seeded.read_text()).items()}

    def _make_template(self, seeded: Path) -> None:
        if self.server_url:
            self._execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(self._template)))
            self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self._template)))
        env = base_environment() | {"DATABASE_URL": self.url(self._template), "VAR_DIR": str(self.directory / "template-var")}
        with DjangoProcess(env) as process:
            accounts = process.call("tests.support.seed.seed")
        seeded.write_text(json.dumps(accounts))

    def create(self) -> str:
        """A new database, migrated and with the accounts. Its URL."""
        name = f"events_{uuid.uuid4().hex[:12]}"
        if self.server_url:
            with locked(self.directory / "create.lock"):
                self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (name, self._template))))
        else:
            name += ".sqlite3"
            shutil.copyfile(self.directory / self._template, self.directory / name)
        url = self.url(name)
        self._made.add(url)
        return url

    def empty(self) -> str:
        """A new database with nothing in it. Its URL."""
        name = f"events_{uuid.uuid4().hex[:12]}"
        if self.server_url:
            self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        else:
            name += ".sqlite3"
        url = self.url(name)
        self._made.add(url)
        return url

    def url(self, name: str) -> str:
        """The URL of the database of that name."""
        if not self.server_url:
            return f"sqlite:///{self.directory / name}"
        return urlsplit(self.server_url)._replace(path=f"/{name}").geturl()

    def drop(self, url: str) -> None:
        """Drop a database that was made here."""
        self._made.discard(url)
        name = Path(urlsplit(url).path).name
        if self.server_url:
            self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        else:
            for file in self.directory.glob(f"{name}*"):
                file.unlink()

    def drop_all(self) -> None:
        """Drop what is left of the databases that were made here."""
        for url in list(self._made):
            self.drop(url)

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(statement)
