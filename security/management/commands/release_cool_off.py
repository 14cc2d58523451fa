"""Cool-offs: list them, and end them before their time."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q, QuerySet

from security.accounts import find_account
from security.enforcement import cool_offs
from security.models import CoolOff
from security.networks import network_of


class Command(BaseCommand):
    """`release_cool_off alice`, `release_cool_off 203.0.113.9`, `release_cool_off --all`, `release_cool_off` to list."""

    help = (
        "List the cool-offs that are in force, or release some: attempts to sign in are let through again. Releases are audited."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("subject", nargs="?", help="release those of this username, user id, address or subject as listed")
        parser.add_argument("--all", action="store_true", help="release all")
        parser.add_argument("--list", action="store_true", help="only list (as without any argument)")

    def handle(self, *args: Any, **options: Any) -> None:
        subject = options["subject"]
        if options["list"] + options["all"] + bool(subject) > 1:
            raise CommandError("Give one of a subject, --all and --list.")
        if not subject and not options["all"]:
            rows = list(cool_offs.in_force())
            if not rows:
                self.stdout.write("No cool-off is in force.")
            for row in rows:
                self.stdout.write(
                    f"{row.subject}  until {row.until:%Y-%m-%d %H:%M:%S}  {row.times}×  {_account_name(row)}".rstrip()
                )
            return
        rows = list(cool_offs.in_force() if options["all"] else _of(subject))
        if not rows and options["all"]:
            self.stdout.write("No cool-off is in force.")
        elif not rows:
            raise CommandError(f"No cool-off of {subject!r:.100} is in force.")
        released = [row.subject for row in rows if cool_offs.release(row.subject, author=_author())]
        for subject in released:
            self.stdout.write(self.style.SUCCESS(f"Released {subject}."))


def _of(subject: str) -> QuerySet[CoolOff]:
    """Those of the username; only if it is nobody's, of the user id."""
    account = find_account(subject)
    named = subject if account is None else str(account.pk)
    return cool_offs.in_force().filter(Q(subject=subject) | Q(address=network_of(subject) or subject) | Q(account=named))


def _account_name(row: CoolOff) -> str:
    user = get_user_model()._default_manager.filter(pk=row.account).first() if row.account else None
    return "" if user is None else str(user.get_username())


def _author() -> str:
    """Who runs the command, as the system names them."""
    try:
        return f"{getpass.getuser()} (command)"
    except (KeyError, OSError):  # the system has no name for this user id
        return "command"
