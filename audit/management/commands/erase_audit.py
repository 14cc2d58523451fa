"""Erase a person's fields from the audit log."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError

from audit.access import NotRecorded
from audit.evidence import erasure
from audit.evidence.erasure import NotVerified, Resource


class Command(BaseCommand):
    """`erase_audit 42 --reason "request of 3 May"`, `erase_audit 42 --resource shop.customer:7 --reason …`."""

    help = (
        "Blank what the audit log holds of a person: names, addresses, sessions, and the data and changes of what they did and of their own "
        "user object. That something was done, "
        "when and to what, stays, and the seals stay valid. What is under a legal hold stays as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", nargs="?", default="", help="the person's user id")
        parser.add_argument(
            "--resource",
            action="append",
            default=[],
            type=_resource,
            metavar="TYPE:ID",
            help="erase the rows about this object too, such as the person's profile",
        )
        parser.add_argument("--reason", required=True, help="why, for the record; without the person's name")
        parser.add_argument("--dry-run", action="store_true", help="say how many rows there are, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        user, resources = options["user"], options["resource"]
        if not (user or resources):
            raise CommandError("user: say whose rows, or with --resource about what")
        if options["dry_run"]:
            self.stdout.write(f"{erasure.rows_of(user, resources).count()} rows would be erased.")
            return
        try:
            erased, unsealed, held = erasure.erase(user, options["reason"], resources)
        except (NotVerified, NotRecorded, IntegrityError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(self.style.SUCCESS(f"Erased {erased} rows."))
        if held:
            self.stdout.write(f"{held} rows stay: they are under a legal hold.")
        if unsealed:
            raise CommandError(f"{unsealed} rows have no seal yet: run it again in a moment.")


def _resource(text: str) -> Resource:
    kind, _, key = text.partition(":")
    if not (kind and key):
        raise argparse.ArgumentTypeError("is no TYPE:ID, such as shop.customer:7")
    return Resource(kind, key)
