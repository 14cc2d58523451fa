"""Delete old events from the journal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from events import retention
from events.types import utcnow


class Command(BaseCommand):
    """`prune_events --older-than 30`. Run it daily."""

    help = (
        "Delete the beginning of the journal: events that are older than so many days, except the last so many. "
        "What is not published yet stays; so do audit entries."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--older-than", type=float, metavar="DAYS", help="delete events that are older (0.5 is 12 hours)")
        parser.add_argument("--keep", type=int, metavar="N", help="keep the last N events, however old they are")
        parser.add_argument("--dry-run", action="store_true", help="say what would be deleted, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        days, keep = options["older_than"], options["keep"]
        if days is None and keep is None:
            raise CommandError("Say what to delete: --older-than DAYS, --keep N, or both.")
        if keep is not None and keep < 0:
            raise CommandError("keep: must not be negative")
        try:
            moment = None if days is None else utcnow() - timedelta(days=days)
        except (OverflowError, ValueError):
            raise CommandError("older-than: is not a number of days") from None
        if days is not None and days < 0:
            raise CommandError("older-than: must not be negative")
        upto = retention.prunable(moment, keep or 0)
        if options["dry_run"]:
            self.stdout.write(f"{retention.count(upto)} events up to position {upto} would be deleted.")
        else:
            self.stdout.write(self.style.SUCCESS(f"Deleted {sum(retention.prune(upto))} events, up to position {upto}."))
