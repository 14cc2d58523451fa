"""Close incidents that are quiet."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from events.types import utcnow
from security.counters.database import forget_expired
from security.incidents import close_quiet


class Command(BaseCommand):
    """`tend_incidents`, every few minutes where no server does it."""

    help = (
        "Close incidents without an event for SECURITY['INCIDENT_QUIET'] seconds, and delete counters that have expired. Servers do it by "
        "themselves, unless SECURITY['TEND_IN_BACKGROUND'] is off."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        closed = 0
        while number := close_quiet():
            closed += number
        while forget_expired(utcnow()):
            pass
        self.stdout.write(self.style.SUCCESS(f"Closed {closed} incidents."))
