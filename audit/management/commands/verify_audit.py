"""Verify the audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit import access, log
from audit.conf import seal_keys, settings
from audit.keys import BadKey, parse_key
from audit.models import Outcome
from audit.verify import read_anchors, summary


class Command(BaseCommand):
    """`verify_audit`. Exits with 1 where something is not as it was sealed. An export is verified by `python -m audit.verify`."""

    help = "Compare the audit log with its seals and its anchors, and name the rows that are not as they were sealed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--key", action="append", metavar="ID:ALGORITHM:HEX", help="verify with this key (default: those of the settings)"
        )
        parser.add_argument(
            "--anchors", metavar="FILE", help="the file that heads were anchored to (default: AUDIT['ANCHOR_FILE'])"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["anchors"] or settings().ANCHOR_FILE
        try:
            keys = [parse_key(text) for text in options["key"]] if options["key"] else seal_keys()
            anchors = read_anchors(Path(name).read_text("utf-8", "replace").splitlines()) if name else {}
        except (BadKey, OSError) as error:
            raise CommandError(str(error)) from None
        verifier = log.verify(keys, anchors)
        outcome = Outcome.FAILURE if verifier.findings else Outcome.SUCCESS
        found = [str(finding) for finding in verifier.findings[:20]]
        head = verifier.last.number if verifier.last else 0
        details = {
            "rows": verifier.rows,
            "seal": head,
            "anchors": len(anchors),
            "findings": len(verifier.findings),
            "first_findings": found,
        }
        access.record("verified", details, outcome=outcome, urgent=bool(found))
        for finding in verifier.findings:
            self.stdout.write(self.style.ERROR(str(finding)))
        if verifier.findings:
            raise CommandError(f"{len(verifier.findings)} findings in {summary(verifier)}")
        self.stdout.write(self.style.SUCCESS(f"OK: {summary(verifier)}, {len(anchors)} anchors"))
