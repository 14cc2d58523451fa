"""Show events as they are published, by whichever process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from events.conf import settings
from events.cursor import Cursor
from events.journal import COLUMNS, Head, Record, read_head
from events.management.commands._lines import as_json, as_line
from events.management.commands._options import add_selection_arguments, selection_of
from events.selection import Selection

PAGE_SIZE = 500
MAX_SINCE = 100_000


class Lines(Console):
    """Writes lines. A closed pipe is the caller's business."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Command(BaseCommand):
    """`tail_events --types 'document.*' --since 10`. Runs until Ctrl-C, or until `--limit` events were shown."""

    help = "Show events live, like tail -f: those of every process, of all users and categories."

    def add_arguments(self, parser: CommandParser) -> None:
        add_selection_arguments(parser)
        parser.add_argument("-n", "--since", type=int, default=0, metavar="N", help="first show the last N events that there are")
        parser.add_argument("--limit", type=int, metavar="N", help="end after N events")
        parser.add_argument("--json", action="store_true", help="one JSON object a line, as on the wire, with its cursor")

    def handle(self, *args: Any, **options: Any) -> None:
        selection = selection_of(options)
        if not 0 <= options["since"] <= MAX_SINCE:
            raise CommandError(f"since: must be from 0 to {MAX_SINCE}")
        if options["limit"] is not None and options["limit"] < 1:
            raise CommandError("limit: must be at least 1")
        file = cast("IO[str]", self.stdout)
        console = Lines(file=file, no_color=options["no_color"], force_terminal=options["force_color"] or None, highlight=False)
        try:
            for number, (epoch, record) in enumerate(self._follow(selection, options["since"]), 1):
                if options["json"]:
                    self.stdout.write(as_json(record, Cursor(epoch, record.position or 0)))
                else:
                    console.print(as_line(record), soft_wrap=True)
                self.stdout.flush()
                if number == options["limit"]:
                    return
        except KeyboardInterrupt:
            return
        except BrokenPipeError:
            # Whoever read is gone; Python would fail once more when it flushes standard output at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _follow(self, selection: Selection, last: int) -> Iterator[tuple[str, Record]]:
        head = read_head()
        for record in reversed(_last(selection, head, last)):
            yield head.epoch, record
        seen = head.position
        while True:
            head, before = read_head(), head
            if head.epoch != before.epoch:
                self.stderr.write("The journal begins anew.")
                seen = 0
            elif head.pruned > seen:
                self.stderr.write(f"The events from {seen + 1} to {head.pruned} were pruned before they could be shown.")
                seen = head.pruned
            for record in _published(selection, seen, head.position):
                yield head.epoch, record
            seen = head.position
            time.sleep(settings().POLL_INTERVAL)


def _last(selection: Selection, head: Head, number: int) -> list[Record]:
    rows = selection.rows().filter(position__lte=head.position).order_by("-position")
    return [Record(*row) for row in rows.values_list(*COLUMNS)[:number]]


def _published(selection: Selection, after: int, upto: int) -> Iterator[Record]:
    while after < upto:
        rows = selection.rows().filter(position__gt=after, position__lte=upto).order_by("position")
        page = [Record(*row) for row in rows.values_list(*COLUMNS)[:PAGE_SIZE]]
        yield from page
        after = page[-1].position or upto if len(page) == PAGE_SIZE else upto
