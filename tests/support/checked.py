"""An authentication backend that says which passwords were checked, and the attempts of one process among several."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.db import connections
from django.test import RequestFactory, override_settings

checked: list[str] = []
# A PostgreSQL of the tests takes 100 connections from all of them together.
connected = threading.BoundedSemaphore(8)
BACKENDS = ["security.backends.GuardBackend", "tests.support.checked.Checked"]


class Checked:
    """Knows nobody, except by the password `right`."""

    def authenticate(self, request: Any, username: str, password: str) -> User | None:
        """As Django asks."""
        checked.append(password)
        return User.objects.filter(username=username).first() if password == "right" else None


@contextmanager
def closing() -> Iterator[None]:
    """Close the thread's connections at the end."""
    try:
        yield
    finally:
        connections.close_all()


def attempt_together(number: int, username: str, addresses: list[str]) -> int:
    """Try so many passwords at the same moment, from the addresses in turn. How many were checked. Called in a DjangoProcess."""
    start = threading.Barrier(number)

    def attempt(n: int) -> None:
        request = RequestFactory().post("/", REMOTE_ADDR=addresses[n % len(addresses)])
        start.wait(30)
        with connected, closing():
            authenticate(request, username=username, password=f"wrong {n}")

    checked.clear()
    with override_settings(AUTHENTICATION_BACKENDS=BACKENDS):
        threads = [threading.Thread(target=attempt, args=(n,)) for n in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    return len(checked)
