"""Seal the audit log."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from audit.evidence.sealer import sealer
from events.management.commands._options import until_signalled


class Command(BaseCommand):
    """`seal_audit` once, `seal_audit --forever` beside servers that do not."""

    help = "Seal the rows of the audit log that have no seal yet. Servers do it by themselves, unless AUDIT['SEAL_IN_BACKGROUND'] is off."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--forever", action="store_true", help="go on until Ctrl-C or SIGTERM")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["forever"]:
            sealer.run(until_signalled())
            return
        made = list(sealer.seal())
        sealer.release()
        number = sum(seal.count for seal in made)
        self.stdout.write(self.style.SUCCESS(f"Sealed {number} rows with {len(made)} seals."))
