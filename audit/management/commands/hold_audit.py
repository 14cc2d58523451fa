"""Legal holds on the audit log."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.evidence import holds


class Command(BaseCommand):
    """`hold_audit --user 42 --reason "case 7"`, `hold_audit --release 3 --reason "case closed"`, `hold_audit` to list."""

    help = "Place a legal hold on rows of the audit log, release one, or list those in force. What is held is neither pruned nor erased."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", help="why, for the record: places a hold, or releases one")
        parser.add_argument("--release", type=int, metavar="ID", help="release this hold")
        parser.add_argument("--category", default="", help="hold rows of this category")
        parser.add_argument("--user", default="", help="hold rows of this user id")
        parser.add_argument("--resource-type", default="", help="hold rows of this type of resource")
        parser.add_argument("--resource-id", default="", help="hold rows of this resource")

    def handle(self, *args: Any, **options: Any) -> None:
        which = {name: options[name] for name in ("category", "resource_type", "resource_id")} | {"user_id": options["user"]}
        if options["reason"] is None:
            if options["release"] is not None or any(which.values()):
                raise CommandError("reason: say why")
            for hold in holds.in_force():
                columns = " ".join(f"{name}={getattr(hold, name)}" for name in holds.COLUMNS if getattr(hold, name)) or "all rows"
                self.stdout.write(f"{hold.id}  {hold.placed_at:%Y-%m-%d %H:%M}  {columns}  {hold.reason}")
        elif options["release"] is None:
            self.stdout.write(self.style.SUCCESS(f"Placed hold {holds.place(options['reason'], **which).id}."))
        elif holds.release(options["release"], options["reason"]):
            self.stdout.write(self.style.SUCCESS(f"Released hold {options['release']}."))
        else:
            raise CommandError(f"release: no hold {options['release']} is in force")
