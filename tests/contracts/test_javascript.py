"""The tests of the browser's client, in their own language: `make js-test` runs them alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import services
from tests.support.paths import ROOT, locked

JS = ROOT / "tests" / "js"


@pytest.fixture(scope="module")
def npm(shared_directory: Path) -> str:
    """npm, with the packages of tests/js installed."""
    try:
        services.find_program("node")
        program = services.find_program("npm")
    except services.Unavailable as reason:
        services.unavailable(reason)
    installed, wanted = JS / "node_modules" / ".package-lock.json", JS / "package-lock.json"
    with locked(shared_directory / "npm.lock"):
        if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
            done = subprocess.run([program, "ci", "--no-audit", "--no-fund"], cwd=JS, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    return program


def test_the_tests_of_the_browser_client_pass(npm: str) -> None:
    done = subprocess.run([npm, "test"], cwd=JS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
