"""`manage.py setup_demo`: the demo's two accounts."""

from __future__ import annotations

import os
import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction

# Name, what it is, staff and superuser.
ACCOUNTS = (("admin", "staff, superuser", True), ("alice", "ordinary user", False))


class Command(BaseCommand):
    help = (
        "Create the accounts admin and alice. Their password is DEMO_PASSWORD, else a random one that is printed. Safe to repeat."
    )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        given = os.environ.get("DEMO_PASSWORD", "")
        password = given or secrets.token_urlsafe(12)
        outcomes = {name: self._prepare(name, is_admin, password, bool(given)) for name, _, is_admin in ACCOUNTS}
        self.stdout.write(self.style.MIGRATE_HEADING("Demo accounts"))
        for name, description, _ in ACCOUNTS:
            self.stdout.write(f"  {self.style.SUCCESS(f'{name:<8}')}  {description:<18}  {outcomes[name]}")
        if given:
            self.stdout.write("  password  the one in DEMO_PASSWORD")
        elif "created" in outcomes.values():
            new = " and ".join(name for name, outcome in outcomes.items() if outcome == "created")
            self.stdout.write(f"  password  {self.style.WARNING(password)}  (for {new}; it is not shown again)")
        else:
            self.stdout.write("  password  as before; to set a new one: DEMO_PASSWORD=… make run")

    def _prepare(self, name: str, is_admin: bool, password: str, overwrite: bool) -> str:
        """Create the account, or give it the password where it may be overwritten. What was done, in a word."""
        users = get_user_model().objects
        user = users.filter(username=name).first()
        if user is None:
            users.create_user(name, f"{name}@example.com", password, is_staff=is_admin, is_superuser=is_admin)
            return "created"
        # Setting the same password again would sign the user out.
        if not overwrite or user.check_password(password):
            return "unchanged"
        user.set_password(password)
        user.save(update_fields=["password"])
        return "password set"
