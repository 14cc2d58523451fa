"""Remove old rows of the audit log."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.access import NotRecorded
from audit.conf import settings
from audit.evidence import retention
from events.types import utcnow


class Command(BaseCommand):
    """`prune_audit --archives /srv/audit` with `AUDIT["RETENTION"]`, or `--category security --older-than 365`. Run it daily."""

    help = (
        "Remove rows of the audit log that are old enough: of whole sealed ranges, once they are in an archive that verifies. "
        "What is under a legal hold stays."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--archives", type=Path, metavar="DIRECTORY", help="where the archives are written (required, but for --dry-run)"
        )
        parser.add_argument("--older-than", type=float, metavar="DAYS", help="remove what is older (default: AUDIT['RETENTION'])")
        parser.add_argument("--category", default="", help="remove rows of this category only (with --older-than)")
        parser.add_argument("--reason", default="retention", help="why, for the record (default: retention)")
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["archives"] is None and not options["dry_run"]:
            raise CommandError("archives: say into which directory the rows are written before they are removed")
        failed: list[str] = []
        for category, until in _moments(options):
            name = category or "all categories"
            if options["dry_run"]:
                number = sum(len(found.ids) for found in retention.prunable(until, category) if not found.findings)
                self.stdout.write(f"{name}: {number} rows older than {until:%Y-%m-%d %H:%M} would be removed.")
                continue
            try:
                number, problems = retention.prune(until, options["archives"], options["reason"], category)
            except (NotRecorded, OSError) as error:
                raise CommandError(f"{name}: nothing further was removed: {error}") from None
            self.stdout.write(self.style.SUCCESS(f"{name}: removed {number} rows older than {until:%Y-%m-%d %H:%M}."))
            failed += [f"{name}: {problem}" for problem in problems]
        if failed:
            raise CommandError("\n".join(failed))


def _moments(options: dict[str, Any]) -> list[tuple[str, datetime]]:
    if options["older_than"] is not None:
        return [(options["category"], _before(options["older_than"]))]
    if options["category"]:
        raise CommandError("category: say with --older-than how old")
    if not settings().RETENTION:
        raise CommandError("older-than: say how old, here or in AUDIT['RETENTION']")
    return [(category, _before(days)) for category, days in sorted(settings().RETENTION.items())]


def _before(days: float) -> datetime:
    try:
        if days < 0:
            raise CommandError("older-than: must not be negative")
        return utcnow() - timedelta(days=days)
    except (OverflowError, ValueError):
        raise CommandError("older-than: is not a number of days") from None
