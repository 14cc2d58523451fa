"""Verify the audit log."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.conf import seal_keys
from audit.evidence import log, verification
from audit.evidence.keys import BadKey, parse_keys
from audit.evidence.verify import summary


class Command(BaseCommand):
    """`verify_audit`. Exits with 1 where something is not as it was sealed, with 2 where a key or the anchors can't be used. An export is verified by `python -m audit.evidence.verify`."""

    help = "Compare the audit log with its seals and its anchors, and name the rows that are not as they were sealed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--key", action="append", metavar="ID:ALGORITHM:HEX", help="verify with this key (default: those of the settings)"
        )
        parser.add_argument(
            "--anchors", metavar="FILE", help="the file that heads were anchored to (default: AUDIT['ANCHOR_FILE'])"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            keys = parse_keys(options["key"]) if options["key"] else seal_keys()
            anchors = verification.configured_anchors(options["anchors"] or "")
        except BadKey as error:
            raise CommandError(str(error), returncode=2) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}", returncode=2) from None
        verifier = log.verify(keys, anchors)
        verification.record(verifier, len(anchors))
        for finding in verifier.findings:
            self.stdout.write(self.style.ERROR(str(finding)))
        if verifier.findings:
            raise CommandError(f"{len(verifier.findings)} findings in {summary(verifier)}")
        self.stdout.write(self.style.SUCCESS(f"OK: {summary(verifier)}"))
