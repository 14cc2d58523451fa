"""For the tests of your own project: with `pytest_plugins = ["events.testing", "security.testing"]` no test counts what another one did."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from security.memory import memory
from security.sources.floods import floods


@pytest.fixture(autouse=True)
def isolated_security() -> Iterator[None]:
    """Every test starts with no flood under way, and with nothing remembered in this process."""
    yield
    floods.forget()
    memory.forget_cached()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Before a test's database is rolled back or flushed, no summary is on its way to it."""
    floods.forget()
