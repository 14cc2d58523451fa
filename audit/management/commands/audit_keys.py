"""Show the keys of the seals."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Max, Min

from audit import access
from audit.conf import seal_keys
from audit.evidence.keys import HMAC, verifying_text
from audit.models import AuditSeal
from events.conf import settings


class Command(BaseCommand):
    """`audit_keys`: what an auditor's `python -m audit.evidence.verify` takes, a key a line; on standard error, what each has signed."""

    help = "Print the keys that verify the seals, as `python -m audit.evidence.verify --key` takes them, and which seals each has signed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--secret",
            action="store_true",
            help="print HMAC keys too: who has one can sign with it. That they were becomes an entry",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        signed = AuditSeal.objects.using(settings().DATABASE).values("key_id").annotate(first=Min("number"), last=Max("number"))
        seals = {of["key_id"]: f"seals {of['first']} to {of['last']}" for of in signed.order_by("key_id")}
        keys = seal_keys()
        secret = [key.id for key in keys if key.algorithm == HMAC]
        if options["secret"] and not access.record("keys_shown", {"ids": secret}, urgent=True):
            raise CommandError("That the keys are shown could not be recorded, and no secret leaves unrecorded.")
        for key in keys:
            about = "" if key.id not in secret else ", a secret" if options["secret"] else ", a secret: --secret prints it"
            self.stderr.write(f"{key.id} ({key.algorithm}): {seals.pop(key.id, 'no seal')}{about}")
            if options["secret"] or key.id not in secret:
                self.stdout.write(verifying_text(key))
        for key_id, which in seals.items():
            self.stderr.write(self.style.ERROR(f"{key_id!r}: {which}, and this key is not in the settings"))
