"""Every Python sample of the specification, run word for word as docs/spec.md has it; then what really happened is looked at."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import typing
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import events
from audit.models import AuditEntry
from chatter.core import unified_events
from chatter.core.events import EventType
from chatter.core.unified_events import (
    EventCategory,
    EventPriority,
    EventRouter,
    UnifiedEvent,
    event_router,
    unified_event_manager,
)
from events.conf import EventsSettings
from events.models import JournalEntry
from tests.support.paths import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

FENCE = re.compile(r"^#+ (?P<heading>[^\n]+)$|^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
JAVASCRIPT = "# Check SSE connection (frontend)"


def read_samples() -> dict[str, str]:
    """The Python samples by the heading that they stand under."""
    found: dict[str, str] = {}
    heading = ""
    for match in FENCE.finditer((ROOT / "docs/spec.md").read_text()):
        if match["heading"]:
            heading = match["heading"]
        else:
            assert heading not in found, "one sample a heading, or this test must tell them apart"
            found[heading] = match["code"]
    return found


SAMPLES = read_samples()


async def run(heading: str, **names: Any) -> dict[str, Any]:
    """Execute a sample, with what its context in the specification defines as `names`. What is defined after it."""
    code = SAMPLES[heading].partition(JAVASCRIPT)[0]
    program = compile(code, f"docs/spec.md: {heading}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    scope = {"__name__": "sample"} | names
    result = eval(program, scope)
    if inspect.iscoroutine(result):
        await result
    return scope


async def journal(**filters: Any) -> list[JournalEntry]:
    rows = [row async for row in JournalEntry.objects.filter(**filters).order_by("position")]
    assert all(row.position for row in rows)
    return rows


async def audit_log(**filters: Any) -> list[AuditEntry]:
    return [entry async for entry in AuditEntry.objects.filter(**filters).order_by("id")]


async def test_unified_event_is_the_one_of_the_specification() -> None:
    names = {"dataclass": dataclasses.dataclass, "field": dataclasses.field, "uuid": uuid, "datetime": datetime, "UTC": UTC}
    names |= {
        "Any": Any,
        "Dict": dict,
        "Optional": typing.Optional,
        "EventCategory": EventCategory,
        "EventPriority": EventPriority,
    }
    specified = (await run("UnifiedEvent", **names))["UnifiedEvent"]

    hints, theirs = typing.get_type_hints(UnifiedEvent), typing.get_type_hints(specified)
    assert list(hints) == list(theirs)
    for ours, their in zip(dataclasses.fields(UnifiedEvent), dataclasses.fields(specified), strict=True):
        assert ours.name == their.name
        assert ours.default == their.default
        assert (ours.default_factory is dataclasses.MISSING) == (their.default_factory is dataclasses.MISSING)
        assert hints[ours.name] == theirs[ours.name]
    one, other = UnifiedEvent(EventCategory.AUDIT, "a.b"), specified(EventCategory.AUDIT, "a.b")
    for name in hints.keys() - {"id", "timestamp"}:
        assert getattr(one, name) == getattr(other, name)
    assert uuid.UUID(one.id).version == uuid.UUID(other.id).version
    assert abs(one.timestamp - other.timestamp) < timedelta(seconds=5)


@pytest.mark.parametrize("is_async", [False, True])
async def test_event_router(is_async: bool) -> None:
    calls: list[str] = []

    def handler(name: str) -> Any:
        async def asynchronous(event: UnifiedEvent) -> None:
            calls.append(f"{name} {event.event_type}")

        def plain(event: UnifiedEvent) -> None:
            calls.append(f"{name} {event.event_type}")

        return asynchronous if is_async else plain

    scope = await run(
        "EventRouter",
        EventRouter=EventRouter,
        EventCategory=EventCategory,
        my_handler=handler("global"),
        security_handler=handler("security"),
        login_handler=handler("login"),
        event=UnifiedEvent(EventCategory.SECURITY, "user.login"),
    )
    assert calls == ["global user.login", "security user.login", "login user.login"]
    calls.clear()
    await scope["router"].route_event(UnifiedEvent(EventCategory.REALTIME, "user.logout"))
    assert calls == ["global user.logout"]


async def test_unified_event_manager() -> None:
    await run("UnifiedEventManager")
    assert unified_event_manager.is_initialized()
    assert [(row.category, row.event_type, row.event.data) for row in await journal()] == [
        ("realtime", "document.uploaded", {"document_id": "123"}),
        ("security", "auth.login_failure", {"ip": "192.168.1.1"}),
        ("audit", "auth.login_failure", {"ip": "192.168.1.1"}),
        ("audit", "model.delete", {"model_id": "456"}),
    ]
    assert [(entry.event_type, entry.source_category) for entry in await audit_log()] == [
        ("auth.login_failure", "security"),
        ("model.delete", "audit"),
    ]
    deleted = (await audit_log(event_type="model.delete"))[0]
    assert (deleted.action, deleted.resource_type, deleted.resource_id) == ("delete", "model", "456")


async def test_sse() -> None:
    handled: list[UnifiedEvent] = []
    event_router.add_type_handler("document.uploaded", handled.append)
    await run("SSE (Server-Sent Events)", EventType=EventType)
    (row,) = await journal()
    assert (row.category, row.event_type, row.audience) == ("realtime", "document.uploaded", "user:user_456")
    assert row.event.data == {"document_id": "123"}
    assert [event.id for event in handled] == [row.event_id]


async def test_security_monitoring() -> None:
    """Emits security event + audit event + real-time alert."""
    await run("Security Monitoring")
    security, audit, realtime = await journal()
    assert [row.category for row in (security, audit, realtime)] == ["security", "audit", "realtime"]
    assert {row.event_type for row in (security, audit, realtime)} == {"auth.login_failure"}
    assert security.user_id == "user_123"
    assert security.event.data["reason"] == "invalid_password"
    assert audit.event.metadata["derived_from"] == realtime.event.metadata["derived_from"] == security.event_id
    assert realtime.audience == "staff:security", "never to the user it is about"
    (entry,) = await audit_log()
    assert (entry.event_id, entry.outcome, entry.user_id, entry.ip_address) == (
        audit.event_id,
        "failure",
        "user_123",
        "192.168.1.1",
    )


async def test_audit_logging() -> None:
    """Emits audit event + real-time notification for critical operations."""
    await run("Audit Logging")
    (audit,) = await journal(category="audit")
    assert (audit.event_type, audit.user_id) == ("model.delete", "admin_456")
    (entry,) = await audit_log()
    assert (entry.action, entry.resource_type, entry.resource_id, entry.outcome, entry.user_id) == (
        "delete", "model", "model_123", "success", "admin_456",
    )  # fmt: skip
    (realtime,) = await journal(category="realtime")
    assert realtime.event.metadata["derived_from"] == audit.event_id
    assert realtime.audience == "staff:audit"


async def test_event_flow_example() -> None:
    monitored: list[UnifiedEvent] = []
    event_router.add_category_handler(EventCategory.SECURITY, monitored.append)
    await run("Event Flow Example", emit_security_event=unified_events.emit_security_event, EventPriority=EventPriority)
    security, audit, realtime = await journal()
    assert [event.id for event in monitored] == [security.event_id]
    assert [row.category for row in (audit, realtime)] == ["audit", "realtime"]
    assert realtime.priority == "high"
    assert [entry.event_id for entry in await audit_log()] == [audit.event_id]


async def test_basic_event_emission() -> None:
    await run(
        "Basic Event Emission",
        emit_realtime_event=unified_events.emit_realtime_event,
        emit_security_event=unified_events.emit_security_event,
        emit_audit_event=unified_events.emit_audit_event,
        EventPriority=EventPriority,
    )
    assert [(row.category, row.event_type, row.priority, row.audience) for row in await journal()] == [
        ("realtime", "document.processing_completed", "normal", "user:user_123"),
        ("security", "suspicious.brute_force", "critical", "staff:security"),
        ("audit", "suspicious.brute_force", "critical", "staff:audit"),
        ("realtime", "suspicious.brute_force", "critical", "staff:security"),
        ("audit", "provider.delete", "normal", "staff:audit"),
    ]
    alert = (await journal(category="realtime", event_type="suspicious.brute_force"))[0]
    assert alert.event.metadata["notification"] is True
    attack, deletion = await audit_log()
    assert attack.data == {"ip_address": "192.168.1.100", "attempts": 10, "blocked": True}
    assert (deletion.outcome, deletion.user_id, deletion.resource_id) == ("success", "admin_789", "prov_456")


async def test_event_handling(capsys: pytest.CaptureFixture[str]) -> None:
    await run("Event Handling", UnifiedEvent=UnifiedEvent, EventPriority=EventPriority, event_router=event_router)
    await events.aemit("document.uploaded", {"document_id": "1"})
    await events.aemit("step.failed", category="workflow", priority="critical")
    await events.aemit("document.processing_failed", priority="critical")
    assert capsys.readouterr().out.splitlines() == [
        "Document event: document.uploaded",
        "CRITICAL: step.failed",
        "Document event: document.processing_failed",
        "CRITICAL: document.processing_failed",
    ]


async def test_statistics_and_monitoring(capsys: pytest.CaptureFixture[str]) -> None:
    await events.aemit("document.uploaded")
    await events.aemit("auth.login_failure", category="security", priority="high")
    await run("Statistics and Monitoring", get_event_stats=unified_events.get_event_stats)
    total, categories, urgent = capsys.readouterr().out.splitlines()
    assert total == "Total events processed: 2"
    assert "'realtime': 1" in categories
    assert "'security': 1" in categories
    assert urgent == "High priority events: 1"


async def test_configuration() -> None:
    configured = {name: value for name, value in (await run("Configuration")).items() if not name.startswith("__")}
    assert len(configured) == 6
    ours = EventsSettings()
    for name, value in configured.items():
        assert name.upper() in EventsSettings.model_fields, f"{name} is a key of EVENTS"
        assert getattr(ours, name.upper()) == value


async def test_existing_code() -> None:
    await run("For Existing Code")
    (row,) = await journal()
    assert (row.event_type, row.audience) == ("document.uploaded", "user:user_456")
    assert row.event.data == {"document_id": "doc_123", "filename": "file.pdf"}


async def test_new_code() -> None:
    await run("For New Code")
    assert [(row.category, row.event_type, row.event.data) for row in await journal()] == [
        ("realtime", "custom.event", {"data": "value"}),
        ("security", "custom.security", {"alert": "data"}),
        ("audit", "custom.security", {"alert": "data"}),
    ]


async def test_debug_information(capsys: pytest.CaptureFixture[str]) -> None:
    await events.aemit("document.uploaded")
    assert "const stats = sseEventManager.getConnectionStats();" in SAMPLES["Debug Information"].partition(JAVASCRIPT)[2]
    await run("Debug Information")
    initialized, stats = capsys.readouterr().out.splitlines()
    assert initialized == "Initialized: True"
    assert ast.literal_eval(stats.removeprefix("Stats: "))["processed"] == 1


def test_the_specifications_lists_are_ours() -> None:
    text = (ROOT / "docs/spec.md").read_text()
    listed = re.findall(r"^- \*\*`([A-Z]+)`\*\*", text, re.MULTILINE)
    assert listed == [*EventCategory.__members__, *EventPriority.__members__]


def test_every_sample_has_a_test() -> None:
    tested = set(re.findall(r'await run\(\s*"([^"]+)"', (ROOT / "tests/integration/test_spec_samples.py").read_text()))
    assert tested == set(SAMPLES)
    assert len(SAMPLES) == (ROOT / "docs/spec.md").read_text().count("```python")
