"""An event as a line of text: for people, or as JSON."""

from __future__ import annotations

import orjson
from django.utils import timezone
from rich.text import Text

from events.cursor import Cursor
from events.journal import Record
from events.types import EventPriority

STYLES = {
    EventPriority.LOW: "dim",
    EventPriority.NORMAL: "green",
    EventPriority.HIGH: "yellow",
    EventPriority.CRITICAL: "bold white on red",
}


def as_line(record: Record) -> Text:
    """Time, priority, category, type, user and data. Nothing in it can steer a terminal."""
    parts = orjson.loads(record.body)
    moment = timezone.localtime(record.timestamp).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    line = Text().append(moment, style="dim").append(" ")
    line.append(f"{record.priority:8}", style=STYLES[EventPriority(record.priority)])
    line.append(f" {record.category:10} ").append(record.event_type, style="bold")
    if record.user_id is not None:
        line.append(f" user={_printable(record.user_id)}", style="cyan")
    if parts["metadata"].get("replayed"):
        line.append(" replayed", style="magenta")
    return line.append(f" {_printable(orjson.dumps(parts['data']).decode())}")


def as_json(record: Record, cursor: Cursor) -> str:
    """The event as on the wire (docs/wire.md), with its cursor."""
    return f'{record.body[:-1]},"cursor":"{cursor}"}}'


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
