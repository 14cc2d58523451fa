"""Export the audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit import access, export


class Command(BaseCommand):
    """`export_sealed_audit log.jsonl`; then, anywhere: `python -m audit.verify log.jsonl --key …`."""

    help = "Write the audit log with its seals into a new file of JSON Lines, which verifies offline."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the file, which must not be there yet")
        parser.add_argument("--from-seal", type=int, default=0, metavar="NUMBER", help="only this seal and those after it")
        parser.add_argument("--to-seal", type=int, metavar="NUMBER", help="only this seal and those before it")

    def handle(self, *args: Any, **options: Any) -> None:
        first, last = options["from_seal"], options["to_seal"]
        try:
            digest = export.write(options["file"], export.lines(first, last))
        except OSError as error:
            raise CommandError(str(error)) from None
        access.record("exported", {"file": options["file"].name, "sha256": digest, "from_seal": first, "to_seal": last})
        self.stdout.write(self.style.SUCCESS(f"Exported to {options['file']}, SHA-256 {digest}"))
