"""Let everything fail that may, on SQLite and on PostgreSQL, while many events flow; then print how long each took to get over it.

Arguments are handed to pytest. FAULT_EVENTS is how many events each fault meets at least.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from scripts.run_tests import ROOT, install_missing, start
from tests.support import services

# Some are rolled back: with fifteen faults over 100,000 are committed on each database.
EVENTS = "12000"
COLUMNS = ("fault", "database", "events", "clients", "seconds")


def main() -> int:
    """Both runs, and the table. The exit status."""
    install_missing()
    os.environ.setdefault("FAULT_EVENTS", EVENTS)
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="events-faults-"))
        report = Path(directory) / "report"
        redis_url = services.running_redis() or start(stack, services.OwnRedis)
        postgresql_url = services.running_postgresql() or start(stack, services.OwnPostgreSQL)
        if not (redis_url and postgresql_url):
            print("Redis and PostgreSQL are needed", file=sys.stderr)
            return 1
        known = os.environ | {"TEST_REDIS_URL": redis_url, "TEST_POSTGRESQL_URL": postgresql_url, "FAULT_REPORT": str(report)}
        statuses = [run(known | {"DATABASE_URL": url}) for url in ("", postgresql_url)]
        print(table(report.read_text() if report.exists() else ""))
    return next(filter(None, statuses), 0)


def run(env: dict[str, str]) -> int:
    """The tests on one database, one after the other: what they measure is not to be each other. The exit status."""
    print(f"\nFaults on {'PostgreSQL' if env['DATABASE_URL'] else 'SQLite'}", flush=True)
    command = [sys.executable, "-m", "pytest", "tests/faults", "-q", *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def table(report: str) -> str:
    """The report, a JSON object a line, as a Markdown table with the sum of the events on each database."""
    lines = [json.loads(line) for line in report.splitlines()]
    rows = [COLUMNS, tuple("-" * len(name) for name in COLUMNS), *([str(line[name]) for name in COLUMNS] for line in lines)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(COLUMNS))]
    text = "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows)
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line["database"]] += line["events"]
    return f"\n{text}\n\n" + "\n".join(f"{database}: {number:,} events were committed." for database, number in sums.items())


if __name__ == "__main__":
    sys.exit(main())
