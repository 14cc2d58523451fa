"""Export entries of the audit log."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_ipv46_address
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audit.formats import FORMATS, Format, encoded, rows
from audit.models import CATEGORIES, Outcome
from audit.reading import record
from audit.selection import Selection
from events.management.commands._options import add_time_arguments, parse_moment
from events.types import EventPriority

CHOICES = {
    "category": [value for value, _ in CATEGORIES],
    "outcome": list(Outcome.values),
    "priority": [str(priority) for priority in EventPriority],
}
TEXTS = {
    "action": "what was done",
    "actor": "who did it, in words of that time",
    "user_id": "the id of the user whose business it is",
    "resource_type": "the type of what it was done to: auth.user",
    "resource_id": "the id of what it was done to",
    "correlation": "the correlation id that the entries share",
    "address": "the IP address that it came from",
}


class Command(BaseCommand):
    """`export_audit --format csv --since 30d --output log.csv`."""

    help = (
        "Write entries of the audit log, oldest first, as JSON Lines, CSV or OCSF, to a file or to standard output. "
        "That they were exported becomes an entry."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=list(FORMATS), default="jsonl", help="how they are written (default: jsonl)")
        parser.add_argument("--output", metavar="FILE", help="a file that is not there yet (default: standard output)")
        add_time_arguments(parser)
        for name, choices in CHOICES.items():
            parser.add_argument(f"--{name}", choices=choices, help=f"entries of this {name} only")
        for name, meaning in TEXTS.items():
            parser.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help=meaning)

    def handle(self, *args: Any, **options: Any) -> None:
        selection, form = _selection_of(options), FORMATS[options["format"]]
        with ExitStack() as stack:
            try:
                file = stack.enter_context(Path(options["output"]).open("xb")) if options["output"] else sys.stdout.buffer
            except OSError as error:
                raise CommandError(f"output: {error}") from None
            if not record("exported", format=form.name, asked=selection.given()):
                raise CommandError("The export could not be recorded, and nothing leaves unrecorded.")
            number = self._write(file, form, selection)
        self.stderr.write(self.style.SUCCESS(f"Exported {number} entries."))

    def _write(self, file: BinaryIO, form: Format, selection: Selection) -> int:
        found, number = selection.rows(), 0
        with _progress_bar(shown=self.stderr.isatty()) as progress:
            task = progress.add_task("Exporting", total=None if progress.disable else found.count())
            for lines in encoded(form, rows(found)):
                file.writelines(lines)
                number += len(lines)
                progress.update(task, completed=number)
        file.flush()
        return number - bool(form.header)


def _selection_of(options: dict[str, Any]) -> Selection:
    parts = {name: options[name] for name in (*CHOICES, *TEXTS)}
    if parts["address"] is not None:
        try:
            validate_ipv46_address(parts["address"])
        except ValidationError:
            raise CommandError("address: is not an IP address") from None
    since, until = (parse_moment(name, options[name]) for name in ("since", "until"))
    if since and until and since >= until:
        raise CommandError("until: must be after since")
    return Selection(**parts, since=since, until=until)


def _progress_bar(shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)
