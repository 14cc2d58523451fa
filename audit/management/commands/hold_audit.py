"""Legal holds on the audit log."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.access import NotRecorded
from audit.evidence import holds


class Command(BaseCommand):
    """`hold_audit --user 42 --reason "case 7"`, `hold_audit --release 3 --reason "case closed"`, `hold_audit` to list."""

    help = "Place a legal hold on rows of the audit log, release one, or list those in force. What is held is neither pruned nor erased."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", help="why, for the record: places a hold, or releases one")
        parser.add_argument("--release", type=int, metavar="ID", help="release this hold")
        parser.add_argument("--category", default="", help="hold rows of this category")
        parser.add_argument("--user", default="", help="hold what erase_audit would erase of this user id")
        parser.add_argument("--resource-type", default="", help="hold rows of this type of resource")
        parser.add_argument("--resource-id", default="", help="hold rows of this resource")
        parser.add_argument("--all", action="store_true", help="hold all rows, those that are still to come too")

    def handle(self, *args: Any, **options: Any) -> None:
        which = {name: options[name] for name in ("category", "resource_type", "resource_id")} | {"user_id": options["user"]}
        which = {name: value for name, value in which.items() if value}
        if options["reason"] is None:
            if options["release"] is not None or which or options["all"]:
                raise CommandError("reason: say why")
            self._list()
            return
        try:
            if options["release"] is None:
                self._place(options["reason"], which, options["all"])
            else:
                self._release(options["release"], options["reason"])
        except NotRecorded as error:
            raise CommandError(str(error)) from None

    def _list(self) -> None:
        for hold in holds.in_force():
            columns = " ".join(f"{name}={getattr(hold, name)}" for name in holds.COLUMNS if getattr(hold, name)) or "all rows"
            self.stdout.write(f"{hold.id}  {hold.placed_at[:16].replace('T', ' ')}  {columns}  {hold.reason}")

    def _place(self, reason: str, which: dict[str, str], all_rows: bool) -> None:
        if bool(which) == all_rows:
            raise CommandError("all: say which rows are held, or that all are")
        self.stdout.write(self.style.SUCCESS(f"Placed hold {holds.place(reason, **which).id}."))

    def _release(self, hold_id: int, reason: str) -> None:
        if not holds.release(hold_id, reason):
            raise CommandError(f"release: no hold {hold_id} is in force")
        self.stdout.write(self.style.SUCCESS(f"Released hold {hold_id}."))
