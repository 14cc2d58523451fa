"""Erase a person's fields from the audit log."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError

from audit.evidence import erasure
from audit.evidence.retention import NotVerified


class Command(BaseCommand):
    """`erase_audit 42 --reason "request of 3 May"`."""

    help = (
        "Blank what the audit log holds of a person: names, addresses, sessions and the data of their events. That something was done, "
        "when and to what, stays, and the seals stay valid. What is under a legal hold stays as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the person's user id")
        parser.add_argument("--reason", required=True, help="why, for the record; without the person's name")
        parser.add_argument("--dry-run", action="store_true", help="say how many rows there are, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            self.stdout.write(f"{erasure.rows_of(options['user']).count()} rows would be erased.")
            return
        try:
            erased, unsealed, held = erasure.erase(options["user"], options["reason"])
        except (NotVerified, IntegrityError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(self.style.SUCCESS(f"Erased {erased} rows."))
        if held:
            self.stdout.write(f"{held} rows stay: they are under a legal hold.")
        if unsealed:
            raise CommandError(f"{unsealed} rows have no seal yet: run it again in a moment.")
