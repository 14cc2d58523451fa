"""What all tests share. In-process tests use a database of their own, servers are real processes (`serve`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.conf import settings
from django.db import connections
from django.test import TransactionTestCase
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.support import services
from tests.support.databases import Databases, base_environment, drop_template
from tests.support.flush import fixture_teardown
from tests.support.paths import ROOT, locked
from tests.support.server import Servers

pytest_plugins = ["events.testing", "security.testing"]

STATIC_ROOT = Path(settings.STATIC_ROOT)
EMPTY_DIRECTORY = pytest.StashKey[str]()
# What a test asks for that makes it a test of the database too.
DATABASE_FIXTURES = {"db", "transactional_db", "django_db_setup", "serve", "serve_module", "databases"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database-tests", action="store_true", help="only tests that use the database: for a run on another one")


# How quickly examples are made depends on who else uses the machine.
hypothesis_settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    TransactionTestCase._fixture_teardown = fixture_teardown  # type: ignore[attr-defined]
    # WhiteNoise looks at every file of it for each test client.
    settings.STATIC_ROOT = config.stash[EMPTY_DIRECTORY] = tempfile.mkdtemp(prefix="events-static-")
    settings.AUDIT = settings.AUDIT | {"SEAL_IN_BACKGROUND": False}  # a test says itself when it seals
    settings.SECURITY = settings.SECURITY | {"DELIVER_IN_BACKGROUND": False}
    settings.SECURITY = settings.SECURITY | {"TEND_IN_BACKGROUND": False}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--database-tests"):
        chosen = [item for item in items if uses_database(item)]
        config.hook.pytest_deselected(items=[item for item in items if not uses_database(item)])
        items[:] = chosen


def pytest_unconfigure(config: pytest.Config) -> None:
    """Once all workers are done, their template goes."""
    shutil.rmtree(config.stash[EMPTY_DIRECTORY], ignore_errors=True)
    factory = getattr(config, "_tmp_path_factory", None)
    if "PYTEST_XDIST_WORKER" in os.environ or factory is None or factory._basetemp is None:
        return
    if connections["default"].vendor == "postgresql" and (url := services.running_postgresql()):
        drop_template(factory.getbasetemp(), url)


def uses_database(item: pytest.Item) -> bool:
    """Whether the test's outcome may depend on which database is used. Which program serves says nothing of that."""
    case = getattr(item, "callspec", None)
    if item.get_closest_marker("once") or (case and any(value in ("daphne", "granian") for value in case.params.values())):
        return False
    return item.get_closest_marker("django_db") is not None or not DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each process of each run has a database of its own."""
    database = connections["default"].settings_dict
    sqlite = database["ENGINE"].endswith("sqlite3")
    # A file, because the publisher's thread has a connection of its own.
    database["TEST"]["NAME"] = str(tmp_path_factory.getbasetemp() / "test.sqlite3") if sqlite else f"test_events_{os.getpid()}"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """At the end, PostgreSQL drops no database that somebody uses: a thread that has ended leaves its connection to the garbage
    collector, which may come later."""
    yield
    if connections["default"].vendor == "postgresql":
        with django_db_blocker.unblock(), connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(autouse=True)
def sync_thread_lets_go() -> Iterator[None]:
    """What asynchronous tests do to the database they do in asgiref's thread, whose connection would outlive the database."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture(scope="session")
def shared_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


# Services


@pytest.fixture(scope="session")
def own_redis_factory() -> Iterator[Callable[[], services.OwnRedis]]:
    """Starts a Redis of one's own each time it is called."""
    yield from own_services(services.OwnRedis)


@pytest.fixture(scope="session")
def own_postgresql_factory() -> Iterator[Callable[[], services.OwnPostgreSQL]]:
    """Starts a PostgreSQL of one's own each time it is called."""
    yield from own_services(services.OwnPostgreSQL)


def own_services(make: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
    """A factory of services that are discarded at the end."""
    made = []

    def start() -> Any:
        try:
            service = make()
            made.append(service)
            service.start()
        except services.Unavailable as reason:
            services.unavailable(reason)
        return service

    yield start
    for service in made:
        service.discard()


@pytest.fixture
def own_redis(own_redis_factory: Callable[[], services.OwnRedis]) -> Iterator[services.OwnRedis]:
    """A Redis that the test may stop, kill, freeze and start again."""
    service = own_redis_factory()
    yield service
    service.kill()


@pytest.fixture
def own_postgresql(own_postgresql_factory: Callable[[], services.OwnPostgreSQL]) -> Iterator[services.OwnPostgreSQL]:
    """A PostgreSQL that the test may stop, kill, freeze and start again."""
    service = own_postgresql_factory()
    yield service
    service.kill()


@pytest.fixture(scope="session")
def redis_url(own_redis_factory: Callable[[], services.OwnRedis]) -> str:
    """A Redis that tests share: use a prefix of your own, and don't stop it."""
    return services.running_redis() or own_redis_factory().url


@pytest.fixture(scope="session")
def postgresql_url(own_postgresql_factory: Callable[[], services.OwnPostgreSQL]) -> str:
    """A PostgreSQL that tests share, where databases may be created: don't stop it."""
    return services.running_postgresql() or own_postgresql_factory().url


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium."""
    try:
        return services.chromium()
    except services.Unavailable as reason:
        services.unavailable(reason)


# Servers


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest, shared_directory: Path) -> Iterator[Databases]:
    """Seeded databases, of the kind of this run: SQLite, or PostgreSQL where DATABASE_URL says so."""
    on_postgresql = connections["default"].vendor == "postgresql"
    server_url = request.getfixturevalue("postgresql_url") if on_postgresql else ""
    databases = Databases(shared_directory, server_url)
    yield databases
    databases.drop_all()


@pytest.fixture(scope="session")
def collected_static(shared_directory: Path) -> Path:
    """The directory of the collected static files."""
    done = shared_directory / "static.done"
    with locked(shared_directory / "static.lock"):
        if not done.exists():
            subprocess.run([sys.executable, "-m", "scripts.prepare", "static"], cwd=ROOT, env=base_environment(), check=True)
            done.touch()
    return STATIC_ROOT


@pytest.fixture
def serve(request: pytest.FixtureRequest, databases: Databases, collected_static: Path, tmp_path: Path) -> Iterator[Servers]:
    """Starts servers for this test: `serve()`, `serve("daphne", redis=True, EVENTS_SSE_QUEUE_MAXSIZE=10)`."""
    servers = Servers(databases, tmp_path, collected_static, lambda: request.getfixturevalue("redis_url"))
    yield servers
    servers.end()


@pytest.fixture(scope="module")
def serve_module(
    request: pytest.FixtureRequest, databases: Databases, collected_static: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    """As `serve`, for all tests of a module."""
    directory = tmp_path_factory.mktemp("servers")
    servers = Servers(databases, directory, collected_static, lambda: request.getfixturevalue("redis_url"))
    yield servers
    servers.end()
