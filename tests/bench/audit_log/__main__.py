"""`make audit-bench`: fill a log with two million entries, on SQLite and PostgreSQL, and write docs/audit-benchmarks.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson
import psycopg
from psycopg import sql

from tests.support import services
from tests.support.paths import ROOT

PLACE = ROOT / "var" / "bench"
PAGE = ROOT / "docs" / "audit-benchmarks.md"
PROGRAM = "import django; django.setup(); from tests.bench.audit_log.measure import main; main()"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
TEXT = """# What the audit log costs to read

`make audit-bench` fills a log with {rows:,} entries of a year (`tests/bench/audit_log/data.py`), asks for each page, and writes this page. Each
is to take at most 200 ms and 15 queries. The time is that of the whole request, the template and the record of the reading too; the median
of five, on one core that another process may have disturbed. The first page after a start takes longer: templates are compiled once.

| page | {headings} |
|---|{rules}|
{lines}

Exports with their seals, in rows a second:

| format | {names} |
|---|{export_rules}|
{exports}

How: pages go by key (moment, id), so that none is counted or skipped. What has many values has an index that ends with the moment. What
has few shares one (`audit_time`), which is read from its newest end and compared without the rows: a value that is nowhere costs one
reading of that index.
"""


def main() -> int:
    """Measure on each database that is asked for, then write the page (all databases), or print the figures."""
    parser = argparse.ArgumentParser(prog="make audit-bench")
    parser.add_argument("--only", choices=NAMES, help="one database, and print the figures (default: both, written to docs)")
    parser.add_argument("--rows", type=int, default=2_000_000, help="how many entries (default: two million)")
    options = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    results = []
    for name in [options.only] if options.only else NAMES:
        with (sqlite if name == "sqlite" else postgresql)(options.rows) as url:
            results.append(measured(url, options.rows))
    text = page(results)
    if options.only:
        print(text)
    else:
        PAGE.write_text(text)
    return 0


def measured(url: str, rows: int) -> dict[str, Any]:
    """The figures of the database of that URL."""
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "chatter_site.settings", "VAR_DIR": str(PLACE), "DATABASE_URL": url}
    program = [sys.executable, "-c", PROGRAM, str(rows)]
    subprocess.run([sys.executable, "-m", "scripts.prepare", "static"], env=env, cwd=ROOT, check=True)
    done = subprocess.run(program, env=env, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return result


@contextmanager
def sqlite(rows: int) -> Iterator[str]:
    """A file that is kept for the next run; `make clean` leaves it, rm var/bench/audit-*.sqlite3 does not."""
    yield f"sqlite:///{PLACE / f'audit-{rows}.sqlite3'}"


@contextmanager
def postgresql(rows: int) -> Iterator[str]:
    """A database of its own, dropped at the end."""
    server = services.running_postgresql()
    if server is None:
        sys.exit('There is no PostgreSQL to measure on: `make audit-bench ARGS="--only sqlite"` takes none.')
    name = f"audit_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def page(results: list[dict[str, Any]]) -> str:
    """The figures as Markdown."""
    names = [NAMES[result["vendor"]] for result in results]
    lines = []
    for figures in zip(*(result["pages"] for result in results), strict=True):
        cells = [f"{median:.0f} ms ({longest:.0f}) | {queries}" for _, median, longest, queries in figures]
        lines.append(f"| {figures[0][0]} | {' | '.join(cells)} |")
    exports = [
        f"| {name} | {' | '.join(format(result['exports'][name], ',.0f') for result in results)} |"
        for name in results[0]["exports"]
    ]
    return TEXT.format(
        rows=results[0]["rows"],
        headings=" | ".join(f"{name}, median (longest) | queries" for name in names),
        rules="|".join(["---|---"] * len(names)),
        lines="\n".join(lines),
        names=" | ".join(names),
        export_rules="|".join(["---"] * len(names)),
        exports="\n".join(exports),
    )


if __name__ == "__main__":
    sys.exit(main())
