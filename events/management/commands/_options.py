"""Options that several commands have in common, and how they are read. Bad values are a CommandError that names the option."""

from __future__ import annotations

import re
import signal
import threading
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from events.exceptions import InvalidEvent
from events.filters import EventFilter
from events.selection import Selection
from events.types import utcnow

AGO = re.compile(r"(\d{1,9})([smhd])\Z")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def add_selection_arguments(parser: ArgumentParser) -> None:
    """What `selection_of` reads, without times."""
    parser.add_argument("--types", help="types or patterns, comma-separated: 'document.*,*.failed'")
    parser.add_argument("--categories", help="categories, comma-separated: 'security,audit'")
    parser.add_argument("--min-priority", help="low, normal, high or critical: leave out what is less urgent")
    parser.add_argument("--user", help="the id of the user whose events they are")
    parser.add_argument("--correlation", help="the correlation id that they share")


def add_time_arguments(parser: ArgumentParser) -> None:
    """`--since` and `--until`."""
    moment = "'2026-01-31T12:00', in the site's time zone unless it says another, or how long ago: 90s, 15m, 2h, 7d"
    parser.add_argument("--since", help=f"events from this moment on: {moment}")
    parser.add_argument("--until", help="events before this moment")


def selection_of(options: dict[str, Any], timed: bool = False) -> Selection:
    """The selection that the options describe, with `--since` and `--until` if `timed`. Raises CommandError."""
    try:
        wanted = EventFilter.from_query(options["types"], options["categories"], options["min_priority"])
    except InvalidEvent as error:
        raise CommandError(str(error)) from None
    since, until = (parse_moment(name, options[name]) if timed else None for name in ("since", "until"))
    if since and until and since >= until:
        raise CommandError("until: must be after since")
    return Selection(wanted, since, until, options["user"], options["correlation"])


def parse_moment(name: str, text: str | None) -> datetime | None:
    """The moment that an option says, as time or as how long ago. Raises CommandError."""
    if text is None:
        return None
    try:
        if ago := AGO.match(text):
            return utcnow() - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        moment = parse_datetime(text) or datetime.fromisoformat(text)
        return (moment if timezone.is_aware(moment) else timezone.make_aware(moment)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CommandError(f"{name}: {text!r:.100} is neither a moment like '2026-01-31T12:00' nor an age like '2h'") from None


def until_signalled() -> threading.Event:
    """An event that SIGINT and SIGTERM set, for commands that go on until then."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, stop)
    return stopping
