"""Around a message, a log has its time and its program: syslog's two forms, and systemd's journal as `json` and `export`. Pure."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, NamedTuple

from security.importing.happenings import BadLine

# `Nov  5 10:01:02 host sshd[123]: message`, and `2026-11-05T10:01:02.5+00:00 host sshd[123]: message`
CLASSIC: Final = re.compile(
    r"(?:<\d{1,3}>)?([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\S+) ([^\s:\[]+)(?:\[\d+\])?: (.*)", re.DOTALL
)
STAMPED: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) (\S+) ([^\s:\[]+)(?:\[\d+\])?: (.*)", re.DOTALL)
MONTHS: Final = {
    name: n for n, name in enumerate(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1)
}
EXPORTED: Final = re.compile(r"([A-Z_][A-Z0-9_]*)=(.*)", re.DOTALL)
SLACK: Final = timedelta(days=1)


class Frame(NamedTuple):
    """A message, when and by which program."""

    at: datetime
    program: str
    message: str


class Clock:
    """Completes a time without year and zone. Lines are in order: a month that goes back begins a year.

    With `year`, that is the first line's; without, each line has the latest year in which it is not after `latest`.
    """

    def __init__(self, zone: tzinfo, latest: datetime, year: int | None = None) -> None:
        self._zone, self._latest, self._year = zone, latest + SLACK, year
        self._month = 0

    def moment(self, month: int, day: int, hour: int, minute: int, second: int) -> datetime:
        """The moment. Raises ValueError for one that there is not."""
        if self._year is not None:
            if self._month - month > 6:
                self._year += 1
            self._month = month
            return datetime(self._year, month, day, hour, minute, min(second, 59), tzinfo=self._zone)
        latest = self._latest.astimezone(self._zone)
        for year in range(latest.year, latest.year - 9, -1):  # 29 February may be eight years ago
            try:
                found = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=self._zone)
            except ValueError:
                continue
            if found <= latest:
                return found
        raise ValueError("no such day")

    def aware(self, moment: datetime) -> datetime:
        """The moment, in the log's zone if it names none."""
        return moment if moment.tzinfo else moment.replace(tzinfo=self._zone)


class Framer:
    """Takes lines, gives frames. An entry of the export format takes many lines: its last one, which is empty, gives the frame."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fields: dict[str, str] = {}

    def frame(self, line: str) -> Frame | None:
        """The frame that ends with the line. None if none does. Raises BadLine."""
        try:
            return self._frame(line)
        except (ValueError, OverflowError, TypeError, RecursionError, OSError) as error:  # a log holds whatever somebody sent
            raise BadLine(str(error)) from None

    def _frame(self, line: str) -> Frame | None:
        if match := CLASSIC.fullmatch(line):
            month, day, hour, minute, second, _, program, message = match.groups()
            at = self._clock.moment(MONTHS.get(month, 0), int(day), int(hour), int(minute), int(second))
            return Frame(at, program, message)
        if match := STAMPED.fullmatch(line):
            return Frame(self._clock.aware(datetime.fromisoformat(match[1].replace(",", "."))), match[3], match[4])
        if line.startswith("{"):
            fields = json.loads(line)
            return _of_journal(fields) if isinstance(fields, dict) else None
        if match := EXPORTED.fullmatch(line):
            if match[1] in ("__REALTIME_TIMESTAMP", "SYSLOG_IDENTIFIER", "_COMM", "MESSAGE"):
                self._fields[match[1]] = match[2]
            return None
        if not line.strip():
            fields, self._fields = self._fields, {}
            return _of_journal(fields) if fields else None
        raise BadLine("neither a line of syslog nor of the journal")


def _of_journal(fields: dict[str, Any]) -> Frame:
    message = fields.get("MESSAGE")
    if isinstance(message, list):  # what is not text is a list of bytes
        message = bytes(message).decode(errors="replace")
    if "__REALTIME_TIMESTAMP" not in fields or not isinstance(message, str):
        raise BadLine("an entry of the journal without time or message")
    at = datetime.fromtimestamp(int(fields["__REALTIME_TIMESTAMP"]) / 1_000_000, UTC)
    return Frame(at, str(fields.get("SYSLOG_IDENTIFIER") or fields.get("_COMM") or ""), message)
