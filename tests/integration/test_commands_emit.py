"""The command emit_event."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from audit.models import AuditEntry
from events.models import JournalEntry
from tests.support.server import Servers


def emit(*arguments: str) -> str:
    out = StringIO()
    call_command("emit_event", *arguments, stdout=out)
    return out.getvalue().strip()


@pytest.mark.django_db
def test_an_event_is_stored_with_all_that_was_said_and_its_id_is_printed() -> None:
    event_id = emit(
        "job.failed", "--data", '{"n": 1}', "--category", "workflow", "--priority", "high",
        "--user", "7", "--correlation", "run-1", "--metadata", '{"host": "a"}',
    )  # fmt: skip

    event = JournalEntry.objects.get(event_id=event_id).event
    assert (event.event_type, event.category, event.priority) == ("job.failed", "workflow", "high")
    assert (event.data, event.user_id, event.correlation_id, event.metadata["host"]) == ({"n": 1}, "7", "run-1", "a")


@pytest.mark.django_db
def test_a_security_event_gets_its_audit_entry() -> None:
    emit("auth.odd", "--category", "security")

    assert AuditEntry.objects.get(event_type="auth.odd").priority == "normal"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["Job.Failed"], "type"),
        (["job"], "type"),
        (["job.failed", "--data", "{"], "data"),
        (["job.failed", "--data", "[1]"], "data"),
        (["job.failed", "--data", "NaN"], "data"),
        (["job.failed", "--data", '{"x": NaN}'], "data"),
        (["job.failed", "--data", json.dumps({"x": "y" * 70_000})], "data"),
        (["job.failed", "--data", "[" * 50_000], "data"),
        (["job.failed", "--metadata", "5"], "metadata"),
        (["job.failed", "--metadata", '{"replayed": true}'], "metadata"),
        (["job.failed", "--category", "nonsense"], "category"),
        (["job.failed", "--priority", "urgent"], "priority"),
        (["job.failed", "--user", "x" * 129], "user_id"),
        (["job.failed", "--correlation", "a\nb"], "correlation_id"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_argument_is_refused_by_its_name_and_nothing_is_stored(arguments: list[str], field: str) -> None:
    with pytest.raises(CommandError, match=f"^{field}: "):
        emit(*arguments)

    assert not JournalEntry.objects.exists()


@pytest.mark.django_db
def test_emitting_while_events_are_switched_off_is_an_error(settings: Settings) -> None:
    settings.EVENTS = {"UNIFIED_EVENTS_ENABLED": False}

    with pytest.raises(CommandError, match="not stored"):
        emit("job.failed")


async def test_an_event_of_the_command_reaches_a_browser_of_another_process(serve: Servers) -> None:
    server = serve()
    async with server.sse("alice") as stream:
        done = server.manage("emit_event", "news.posted", "--data", '{"title": "é"}')
        event: Any = await stream.event()

    assert event["id"] == done.stdout.strip()
    assert event["data"] == {"title": "é"}
    assert event["metadata"]["actor"] == {"type": "command", "id": None, "label": "emit_event"}
    refused = server.manage("emit_event", "News", check=False)
    assert refused.returncode == 1
    assert "type: 'News' is not a type name" in refused.stderr
    assert "Traceback" not in refused.stderr
