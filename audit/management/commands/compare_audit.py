"""Find what went around the ORM."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.tracking.comparison import compare, record_findings
from audit.tracking.registry import plans


class Command(BaseCommand):
    """`manage.py compare_audit`."""

    help = "Compare the rows of tracked models with what the audit log says of them. Ends with 1 if they differ."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("models", nargs="*", metavar="MODEL", help="As app.Model; all that are tracked unless given.")
        parser.add_argument(
            "--record",
            action="store_true",
            help="Record what is found as `observed`, so that the next comparison starts from there; and end with 0.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        known = {model._meta.label_lower: model for model in plans if not model._meta.proxy}
        chosen = [name.lower() for name in options["models"]] or sorted(known)
        for name in chosen:
            if name not in known:
                raise CommandError(f"{name} is not tracked. Tracked are: {', '.join(sorted(known)) or 'none'}.")
        number = 0
        for name in chosen:
            findings = list(compare(known[name]))
            for finding in findings:
                self.stdout.write(str(finding))
            if options["record"]:
                record_findings(known[name], findings)
            number += len(findings)
        differences = f"{number} difference{'' if number == 1 else 's'}" if number else "no differences"
        self.stderr.write(f"{len(chosen)} tracked model{'' if len(chosen) == 1 else 's'}, {differences}")
        if number and not options["record"]:
            sys.exit(1)
