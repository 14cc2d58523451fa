"""Export entries of the audit log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_ipv46_address
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audit.access import record_reading
from audit.evidence import archive
from audit.models import CATEGORIES, Outcome
from audit.reading.export import Export
from audit.reading.formats import FORMATS, Format, encoded
from audit.reading.selection import Selection
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
    """`export_audit log.jsonl`; then, anywhere: `python -m audit.evidence.verify log.jsonl --key …`."""

    help = (
        "Write entries of the audit log with their seals, oldest first, as JSON Lines, CSV or OCSF, to a file or to standard output. "
        "JSON Lines verify offline. That they were exported becomes an entry."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="a file that is not there yet (default: standard output)")
        parser.add_argument("--format", choices=list(FORMATS), default="jsonl", help="how they are written (default: jsonl)")
        add_time_arguments(parser)
        for name, choices in CHOICES.items():
            parser.add_argument(f"--{name}", choices=choices, help=f"entries of this {name} only")
        for name, meaning in TEXTS.items():
            parser.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help=meaning)
        parser.add_argument("--from-seal", type=int, default=0, metavar="NUMBER", help="only this seal and those after it")
        parser.add_argument("--to-seal", type=int, metavar="NUMBER", help="only this seal and those before it")

    def handle(self, *args: Any, **options: Any) -> None:
        selection, form, path = _selection_of(options), FORMATS[options["format"]], options["file"]
        export = Export(selection.rows(), options["from_seal"], options["to_seal"])
        asked = selection.given() | {name: options[name] for name in ("from_seal", "to_seal") if options[name]}
        what = {"format": form.name, "asked": asked, "file": path.name if path else None}
        with _opened(path) as file:
            if not record_reading("exported", **what):
                raise CommandError("The export could not be recorded, and nothing leaves unrecorded.")
            digest, rows = self._write(file, form, export)
        record_reading("export_written", **what, rows=rows, sha256=digest)
        self.stderr.write(self.style.SUCCESS(f"Exported {rows} entries, SHA-256 {digest}"))

    def _write(self, file: BinaryIO, form: Format, export: Export) -> tuple[str, int]:
        written = 0
        with _progress_bar(shown=self.stderr.isatty()) as progress:
            task = progress.add_task("Exporting", total=None if progress.disable else export.count())

            def tell(rows: int) -> None:
                nonlocal written
                written = rows
                progress.update(task, completed=rows)

            digest = archive.write(file, encoded(form, export, tell))
        return digest, written


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        return
    try:
        with archive.new_file(path) as file:
            yield file
    except OSError as error:
        raise CommandError(f"file: {error}") from None


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
