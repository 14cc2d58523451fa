"""The attack scripts, run in a process of each contestant: `python -m tests.bench.sign_in.scripts` prints one JSON object."""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import django

django.setup()

# ruff: noqa: E402
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.bench.sign_in.counting import checked

PASSWORD = "right"
HOME, OFFICE, ATTACKER = "203.0.113.9", "198.51.100.10", "192.0.2.66"
# What the contestants count, keep and recognise: emptied before each script.
STATE = {
    "axes": ("AccessAttempt", "AccessAttemptExpiration", "AccessFailureLog", "AccessLog"),
    "security": ("Counter", "CoolOff", "KnownNetwork", "Incident"),
    "events": ("JournalEntry",),
}
# Fewer than are told one by one (`SECURITY["FLOOD_AFTER_SITE"]`): what is folded costs less.
ROUNDS = 150


def attempt(username: str, address: str, password: str = "wrong") -> bool:
    """Whether it signed in."""
    form = {"username": username, "password": password}
    return Client(raise_request_exception=False).post("/login/", form, REMOTE_ADDR=address).status_code == 200


def brute_force() -> dict[str, Any]:
    """40 passwords, one address, one account."""
    for _ in range(40):
        attempt("alice", ATTACKER)
    return {}


def parallel() -> dict[str, Any]:
    """100 passwords at the same moment, one address, one account."""
    start = threading.Barrier(100)

    def one() -> None:
        start.wait(30)
        attempt("alice", ATTACKER)
        connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return {}


def targeted_lock_out() -> dict[str, Any]:
    """20 wrong passwords for an account; then its owner, at home."""
    for _ in range(20):
        attempt("alice", ATTACKER)
    return {"owner": attempt("alice", HOME, PASSWORD)}


def lock_out_by_many() -> dict[str, Any]:
    """100 addresses, a wrong password each, for an account whose owner signed in at home before; then the owner."""
    attempt("alice", HOME, PASSWORD)
    for n in range(100):
        attempt("alice", f"10.0.0.{n}")
    return {"owner": attempt("alice", HOME, PASSWORD)}


def office() -> dict[str, Any]:
    """30 colleagues behind one address: each mistypes once, then signs in."""
    for n in range(30):
        attempt(f"user{n}", OFFICE)
    return {"kept out of 30": sum(not attempt(f"user{n}", OFFICE, PASSWORD) for n in range(30))}


def attacker_in_the_office() -> dict[str, Any]:
    """30 colleagues sign in; one address with them, somebody tries 20 passwords for an account; then they sign in again."""
    for n in range(30):
        attempt(f"user{n}", OFFICE, PASSWORD)
    for _ in range(20):
        attempt("alice", OFFICE)
    return {"kept out of 30": sum(not attempt(f"user{n}", OFFICE, PASSWORD) for n in range(30))}


def stuffing() -> dict[str, Any]:
    """One address, 60 accounts, a password each."""
    for n in range(60):
        attempt(f"user{n}", ATTACKER)
    return {}


def spraying() -> dict[str, Any]:
    """200 addresses, 200 accounts, a password each."""
    for n in range(200):
        attempt(f"user{n}", f"10.1.{n}.1")
    return {}


def guessing_by_many() -> dict[str, Any]:
    """30 addresses, one account, a password each."""
    for n in range(30):
        attempt("alice", f"10.2.{n}.1")
    return {}


SCRIPTS: tuple[Callable[[], dict[str, Any]], ...] = (
    brute_force, parallel, targeted_lock_out, lock_out_by_many, office, attacker_in_the_office, stuffing, spraying, guessing_by_many,
)  # fmt: skip


def settle() -> None:
    """Wait until what happens afterwards has happened."""
    if apps.is_installed("security"):
        from events import unified_event_manager
        from security.sources.floods import floods

        unified_event_manager.writer.drain()
        floods.flush()
        unified_event_manager.writer.drain()


def reset() -> None:
    """As if nothing had happened."""
    settle()
    checked.clear()
    for label, names in STATE.items():
        if apps.is_installed(label):
            for name in names:
                if name.lower() in apps.all_models[label]:
                    apps.get_model(label, name).objects.all().delete()
    if apps.is_installed("security"):
        from security.enforcement import known_networks
        from security.sources.floods import floods

        known_networks.forget_written()
        floods.forget()


def seen() -> list[str]:
    """What was recognised, as the contestant names it."""
    settle()
    if apps.is_installed("security"):
        return sorted(set(apps.get_model("security", "Incident").objects.values_list("kind", flat=True)))
    return []


def rows() -> int:
    """Rows in all tables but sessions and users."""
    settle()
    return sum(
        model._default_manager.count()
        for model in apps.get_models()
        if model._meta.app_label not in ("sessions", "auth", "contenttypes")
    )


def one_login(password: str) -> dict[str, float]:
    """Milliseconds of an attempt, the middle one of ROUNDS, each for another account, when what the one before left to be done is done; and
    its queries."""
    users = [f"user{n}" for n in range(ROUNDS)]
    for username in users:
        attempt(username, HOME, PASSWORD)  # warm
    times = []
    for n, username in enumerate(users):
        settle()
        before = time.perf_counter()
        attempt(username, f"10.3.{n % 250}.{n // 250}" if password != PASSWORD else HOME, password)
        times.append((time.perf_counter() - before) * 1000)
    with CaptureQueriesContext(connection) as captured:
        attempt("user7", HOME, password)
    queries = [query["sql"] for query in captured if query["sql"] not in ("BEGIN", "BEGIN IMMEDIATE", "COMMIT")]
    before_rows = rows()
    for n in range(10):
        attempt(f"user{n + 150}", f"10.4.{n}.1", password)
    return {"ms": statistics.median(times), "queries": len(queries), "rows of 10": rows() - before_rows}


def main() -> None:
    """Run all."""
    call_command("migrate", verbosity=0)
    if not User.objects.exists():
        template = User(username="alice")
        template.set_password(PASSWORD)
        names = ["alice", *(f"user{n}" for n in range(200))]
        User.objects.bulk_create(User(username=name, password=template.password) for name in names)
    found: dict[str, Any] = {}
    for script in SCRIPTS:
        reset()
        outcome = script()
        found[script.__name__] = outcome | {"checked": len(checked), "seen": seen()}
    for name, password in (("right password", PASSWORD), ("wrong password", "wrong")):
        reset()
        found[name] = one_login(password)
    json.dump({"contestant": settings.SETTINGS_MODULE, "found": found}, sys.stdout)


if __name__ == "__main__":
    main()
