"""For tests: lets a test database be emptied. It refuses any other: see `unprotected`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core import mail
from django.db import connections, transaction

from audit.evidence import triggers


class NotATestDatabase(Exception):
    """The database was not made by a test runner."""


@contextmanager
def unprotected(alias: str = "default") -> Iterator[None]:
    """Within the block, one transaction, the audit log of this test database can be changed and emptied.

    Raises NotATestDatabase unless Django's test environment is set up and the database is the one that it made. There is no setting,
    no variable and no SQL that does this; what it does elsewhere anybody can do who may drop triggers.
    """
    connection = connections[alias]
    name = str(connection.settings_dict["NAME"])
    is_test_database = name == str(connection.settings_dict["TEST"]["NAME"]) or Path(name).name.startswith(
        ("test_", "file:memorydb")
    )
    if not is_test_database or not hasattr(mail, "outbox"):
        raise NotATestDatabase(name)
    with transaction.atomic(using=alias):
        triggers.uninstall(connection)
        yield  # what is raised rolls the dropping back
        triggers.install(connection)
