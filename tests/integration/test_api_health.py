"""/healthz and /readyz: what they look at, and what they say when it is broken."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from events import journal
from events.manager import unified_event_manager
from events.models import JournalHead
from events.types import create_event
from tests.support.databases import Databases
from tests.support.journal import publish
from tests.support.server import Servers
from tests.support.services import OwnPostgreSQL
from tests.support.waiting import wait_for


@pytest.mark.django_db
def test_a_live_process_says_so_without_asking_the_database(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        response = Client().get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert "no-store" in response["Cache-Control"]


@pytest.mark.django_db
def test_a_ready_process_says_what_it_looked_at() -> None:
    response = Client().get("/readyz")

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "checks": ["database", "migrations", "journal", "outbox"]}


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_only_read(path: str) -> None:
    assert Client().post(path).status_code == 405
    assert Client().head(path).status_code == 200


@pytest.mark.django_db
def test_a_migration_that_is_not_applied_makes_it_unready() -> None:
    MigrationRecorder(connection).migration_qs.filter(app="events").order_by("-id")[:1].get().delete()

    response = Client().get("/readyz")

    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "failed": {"migrations": "1 not applied"}}


@pytest.mark.django_db
def test_an_outbox_that_nobody_publishes_makes_it_unready_until_it_is_published() -> None:
    for age in (timedelta(minutes=10), timedelta()):
        assert unified_event_manager.emit(create_event("realtime", "a.b", timestamp=timezone.now() - age))

    response = Client().get("/readyz")
    assert response.status_code == 503
    assert list(response.json()["failed"]) == ["outbox"]

    publish()
    assert Client().get("/readyz").status_code == 200


@pytest.mark.django_db
def test_an_event_that_was_just_written_does_not_make_it_unready() -> None:
    assert unified_event_manager.emit(create_event("realtime", "a.b"))

    assert Client().get("/readyz").status_code == 200


@pytest.mark.django_db
def test_a_lost_head_is_begun_anew() -> None:
    before = journal.read_head().epoch
    JournalHead.objects.all().delete()

    assert Client().get("/readyz").status_code == 200
    assert journal.read_head().epoch != before


@pytest.mark.once
def test_a_database_that_is_gone_makes_it_unready_and_not_dead(
    own_postgresql: OwnPostgreSQL, serve: Servers, tmp_path: Path
) -> None:
    databases = Databases(tmp_path, own_postgresql.url)
    server = serve(DATABASE_URL=databases.create())
    server.errors_expected = True
    with server.client() as client:
        assert client.get("/readyz").status_code == 200

        own_postgresql.stop()
        response = client.get("/readyz")
        assert (response.status_code, response.json()["failed"]) == (503, {"database": "OperationalError"})
        assert client.get("/healthz").status_code == 200

        own_postgresql.start()
        wait_for(lambda: client.get("/readyz").status_code == 200, "to be ready again")
