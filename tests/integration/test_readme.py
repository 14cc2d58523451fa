"""The README's Python, run as it stands there; then what really happened is looked at."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re

import pytest
from django.contrib.auth.models import Group
from django.db.models.signals import post_save

from audit.models import AuditEntry
from events.models import JournalEntry
from tests.support.paths import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

FIRST, EMITTING, SIGNAL = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def run(sample: str) -> dict[str, object]:
    """Execute a sample; one that awaits, in an event loop. The names that it defined."""
    names: dict[str, object] = {}
    result = eval(compile(sample, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True), names)
    if inspect.iscoroutine(result):
        asyncio.run(result)
    return names


def emitted() -> list[tuple[str, str, str | None]]:
    return [(row.event_type, row.category, row.user_id) for row in JournalEntry.objects.order_by("position")]


def test_the_first_event() -> None:
    assert FIRST.count("\n") <= 5
    run(FIRST)
    assert emitted() == [("report.ready", "realtime", "1")]


def test_emitting_from_asynchronous_code() -> None:
    run(EMITTING)
    security = [("suspicious.token_reuse", category, None) for category in ("security", "audit", "realtime")]
    assert emitted() == [("document.uploaded", "realtime", "1"), *security]
    assert AuditEntry.objects.get().event_type == "suspicious.token_reuse"


def test_a_signal_becomes_an_event() -> None:
    receivers = list(post_save.receivers)
    try:
        run(SIGNAL)
        Group.objects.create(name="editors")
    finally:
        post_save.receivers = receivers
        post_save.sender_receivers_cache.clear()
    assert emitted() == [("group.saved", "realtime", None)]
    assert JournalEntry.objects.get().event.data == {"name": "editors"}
