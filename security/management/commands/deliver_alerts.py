"""Deliver alerts."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from events.management.commands._options import until_signalled
from security.alerts.deliveries import courier


class Command(BaseCommand):
    """`deliver_alerts` once, `deliver_alerts --forever` beside servers that do not."""

    help = "Send the mails and webhooks of alerts that are due. Servers do it by themselves, unless SECURITY['DELIVER_IN_BACKGROUND'] is off."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--forever", action="store_true", help="go on until Ctrl-C or SIGTERM")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["forever"]:
            courier.run(until_signalled())
            return
        states = Counter(delivery.state for delivery in courier.deliver())
        self.stdout.write(f"{states['sent']} sent, {states['pending']} to be tried again, {states['failed']} given up.")
