"""Read another program's log into security events, and say what the detectors make of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings as django_settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from events.exceptions import InvalidEvent
from events.types import utcnow
from security.conf import settings
from security.counters.memory import MemoryCounters
from security.detectors import DETECTORS
from security.importing.frames import Clock
from security.importing.happenings import Parser
from security.importing.importer import Importer, observation_of
from security.importing.incidents import open_incidents
from security.importing.nginx import Nginx
from security.importing.openssh import OpenSSH
from security.importing.reading import lines, open_log
from security.importing.verdict import Attack, Verdict
from security.monitor import unwatched

MAX_ROWS = 50


class Command(BaseCommand):
    """`import_auth_log /var/log/auth.log --format openssh`, `journalctl -u ssh -o export | manage.py import_auth_log - --format openssh`."""

    help = (
        "Read an OpenSSH log or an nginx access log into security events, at the times they happened, and show what the detectors make of "
        "them. Reading it again adds only what is new."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the log, also gzipped; - for standard input")
        parser.add_argument("--format", required=True, choices=["openssh", "nginx"], help="what kind of log it is")
        parser.add_argument(
            "--site", default="", help="where it is from: kept with the events, and telling equal lines of two machines apart"
        )
        parser.add_argument(
            "--year",
            type=int,
            help="the year of the first line, where lines have none (default: such that none is in the future)",
        )
        parser.add_argument("--timezone", help="the time zone of lines that name none (default: TIME_ZONE)")
        parser.add_argument(
            "--login-path",
            action="append",
            default=[],
            metavar="PATH",
            help="nginx: where login forms are sent, as often as needed",
        )
        parser.add_argument("--map-accounts", action="store_true", help="usernames in the log are those of this site's accounts")
        parser.add_argument("--dry-run", action="store_true", help="store nothing, only show what the detectors make of it")
        parser.add_argument("--alert", action="store_true", help="alert as if it happened now")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"] and options["alert"]:
            raise CommandError("A dry run alerts nobody.")
        importer = Importer(self._parser_of(options), options["site"], options["map_accounts"])
        verdict = Verdict(DETECTORS, MemoryCounters(), timedelta(seconds=settings().INCIDENT_QUIET))
        try:
            with open_log(options["file"]) as (file, place, size), unwatched():
                self._read(importer, verdict, _shown(file, place, size), store=not options["dry_run"])
        except (OSError, EOFError) as error:
            raise CommandError(f"{options['file']}: {error}") from None
        except InvalidEvent as error:
            raise CommandError(str(error)) from None
        opened = 0 if options["dry_run"] else open_incidents(verdict.attacks, utcnow(), options["alert"])
        self._tell(importer, verdict, opened, options["dry_run"])

    def _parser_of(self, options: dict[str, Any]) -> Parser:
        if options["format"] == "nginx":
            return Nginx(options["login_path"])
        try:
            zone = ZoneInfo(options["timezone"] or django_settings.TIME_ZONE)
        except (ZoneInfoNotFoundError, ValueError):
            raise CommandError(f"timezone: there is no {options['timezone']!r:.100}") from None
        if options["year"] is not None and not 1970 <= options["year"] <= 9000:
            raise CommandError("year: must be from 1970 to 9000")
        return OpenSSH(Clock(zone, _written_at(options["file"]), options["year"]))

    def _read(self, importer: Importer, verdict: Verdict, log: Iterator[bytes | None], store: bool) -> None:
        for batch in importer.batches(log):
            if store and not importer.store(batch):
                raise CommandError(
                    "The events are not stored: the log says why. What was stored before stays; run it again to go on."
                )
            verdict.observe(map(observation_of, batch))

    def _tell(self, importer: Importer, verdict: Verdict, opened: int, is_dry: bool) -> None:
        tally = importer.tally
        self.stdout.write(
            f"{tally.lines} lines: {tally.happenings} happenings, {tally.other} lines that tell of nothing, {tally.bad} that are no such lines."
        )
        if tally.first_bad:
            self.stderr.write(f"The first of those: {tally.first_bad}")
        if is_dry:
            self.stdout.write("Nothing was stored.")
        else:
            self.stdout.write(f"{tally.imported} events imported, {tally.known} were there already. {opened} incidents are new.")
        if not verdict.attacks:
            self.stdout.write("No attack was recognised.")
            return
        console = Console(file=cast("IO[str]", self.stdout), no_color=True, width=160, highlight=False)
        console.print(_table(verdict.attacks))
        left_out = len(verdict.attacks) + verdict.not_kept - MAX_ROWS
        if left_out > 0:
            self.stdout.write(f"… and {left_out} more.")


def _table(attacks: list[Attack]) -> Table:
    table = Table("attack", "severity", "subject", "first", "last", "events")
    for attack in sorted(attacks, key=lambda attack: -attack.events)[:MAX_ROWS]:
        times = (f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" for moment in (attack.first, attack.last))
        detection = attack.detection
        table.add_row(detection.kind, str(attack.severity), detection.subject, *times, str(attack.events))
    return table


def _written_at(path: str) -> datetime:
    """When the log was last written: no line of it is later."""
    try:
        return utcnow() if path == "-" else datetime.fromtimestamp(Path(path).stat().st_mtime, UTC)
    except OSError:
        return utcnow()


def _shown(file: IO[bytes], place: Callable[[], int], size: int | None) -> Iterator[bytes | None]:
    """The lines, with a progress bar where a person sees it."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("Reading", total=size)
        for number, line in enumerate(lines(file)):
            if number % 1_000 == 0:
                progress.update(task, completed=place())
            yield line
        progress.update(task, completed=place())
