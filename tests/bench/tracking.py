"""What a tracked save costs against a bare one, beside other packages that record changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench.contestants import Contestants
from tests.bench.prepare import PEERS_PYTHON
from tests.bench.report import Bar, Row, middle, say
from tests.support.paths import ROOT

PEERS = ("django-auditlog", "django-easy-audit", "django-simple-history")
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
BARS = {
    ("sqlite", "transaction"): 1.6,
    ("postgresql", "transaction"): 1.3,
    ("sqlite", "autocommit"): 2.2,
    ("postgresql", "autocommit"): 1.6,
}
# As the demo's settings have it.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}


def run(contestants: Contestants, quick: bool) -> Iterator[Row]:
    """All rows of this part: contestants take turns, each in processes and databases of its own."""
    turns = 1 if quick else 3
    for database in contestants.databases:
        runs: dict[str, list[dict[str, float]]] = {}
        for turn in range(turns):
            for by in ("ours", *PEERS):
                say(f"  tracked saves on {database}, {by}, {turn + 1} of {turns}")
                runs.setdefault(by, []).append(_measure(contestants, database, by, quick))
        for mode in ("transaction", "autocommit"):
            yield _row(runs, database, mode)


def _row(runs: dict[str, list[dict[str, float]]], database: str, mode: str) -> Row:
    def ratio(by: str) -> float:
        return middle(run[f"tracked, {mode}"] / run[f"bare, {mode}"] for run in runs[by])

    ours, limit = ratio("ours"), BARS[database, mode]
    took, bare = (middle(run[f"{name}, {mode}"] for run in runs["ours"]) for name in ("tracked", "bare"))
    others = ", ".join(f"{by.removeprefix('django-')} {ratio(by):.2f}" for by in PEERS)
    what = f"a tracked save, {'in a transaction' if mode == 'transaction' else 'in autocommit'}, {NAMES[database]}"
    beside = f"bare: {bare:.0f} µs. Ratios of others: {others}"
    return Row(what, f"{took:.0f} µs", beside, ours, Bar(limit, f"≤ {limit} times a bare one"))


def _measure(contestants: Contestants, database: str, by: str, quick: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory, contestants.empty_database(database) as url:
        order = {
            "by": by,
            "database": _settings(url, Path(directory)),
            "rounds": 3 if quick else 7,
            "saves": 150 if quick else 300,
        }
        python = sys.executable if by == "ours" else str(PEERS_PYTHON)
        env = {"PATH": os.environ["PATH"], "TRACKED_BY": by}
        command = [python, "-m", "tests.bench.tracked_saves", json.dumps(order)]
        done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _settings(url: str, directory: Path) -> dict[str, Any]:
    """Django's settings for a database; "" is a new SQLite file."""
    if not url:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(directory / "db.sqlite3"), "OPTIONS": SQLITE_OPTIONS}
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
    }
