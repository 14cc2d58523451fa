"""What is recorded of the models of the tests (`tests.support.tracked`)."""

from __future__ import annotations

from typing import Any

from audit.models import AuditEntry
from tests.support.auditing import empty_log
from tests.support.tracked.models import Article


def entries(**conditions: Any) -> list[AuditEntry]:
    """The entries, in order."""
    return list(AuditEntry.objects.filter(**conditions).order_by("id"))


def one() -> AuditEntry:
    """The only entry."""
    (entry,) = entries()
    return entry


def article(**values: Any) -> Article:
    """One that was made before what the test looks at."""
    made = Article._default_manager.create(**{"title": "a"} | values)
    empty_log()
    return made
