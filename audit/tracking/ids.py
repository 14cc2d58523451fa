"""Ids of recorded changes: UUIDs of version 7 (RFC 9562), which begin with the moment. By it a change is found without an index of ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from events.ids import new_id

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
# Where Python's dates end.
LAST: Final = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MILLISECOND - 1


def id_at(moment: datetime) -> str:
    """A new id for what is recorded at the moment."""
    milliseconds, random = f"{(moment - EPOCH) // MILLISECOND:012x}", new_id()
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7{random[15:]}"


def period_of(event_id: str) -> tuple[datetime, datetime] | None:
    """The millisecond, from its start to before its end, in which the id was made. None where it is no such id."""
    try:
        parsed = UUID(event_id)
    except ValueError:
        return None
    milliseconds = parsed.int >> 80
    if parsed.version != 7 or milliseconds > LAST:
        return None
    start = EPOCH + milliseconds * MILLISECOND
    return start, start + MILLISECOND
