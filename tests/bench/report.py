"""What was measured, as rows of one Markdown table."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.bench.peers import SIZE
from tests.bench.prepare import PEERS_PYTHON
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
HEADER = ("measured", "ours", "beside it", "ratio", "bar", "met")
OUR_PACKAGES = ("django", "channels", "channels-redis", "uvicorn", "granian", "daphne", "uvloop", "orjson", "psycopg", "redis")
PEER_PACKAGES = (
    "django-eventstream", "sse-starlette", "channels", "channels-redis", "django-auditlog", "django-easy-audit", "django-simple-history",
)  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """What the project must reach: at most, or at least, `limit`."""

    limit: float
    text: str
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        """Whether the value reaches it."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True)
class Row:
    """A line of the table. `value` is what the bar is about: the ratio, or ours alone."""

    what: str
    ours: str
    beside: str = ""
    ratio: float | None = None
    bar: Bar | None = None
    value: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The text of the columns."""
        value = self.ratio if self.value is None else self.value
        met = "" if self.bar is None or value is None else ("yes" if self.bar.is_met(value) else "**no**")
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return self.what, self.ours, self.beside, ratio, self.bar.text if self.bar else "", met


def compare(what: str, ours: float, name: str, other: float, unit: str, bar: Bar | None = None) -> Row:
    """A row that sets ours beside another's, and has their ratio."""
    return Row(what, f"{ours:.3g} {unit}", f"{name}: {other:.3g} {unit}", ours / other if other else None, bar)


def middle(values: Iterable[float]) -> float:
    """The median."""
    return median(values)


def table(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    lines = [HEADER, tuple("---" for _ in HEADER), *(row.cells for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_page(rows: Sequence[Row], seconds: float) -> None:
    """Write docs/benchmarks.md."""
    text = (Path(__file__).parent / "page.md").read_text()
    for name, value in {
        "table": table(rows),
        "machine": machine(),
        "versions": versions(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "minutes": f"{seconds / 60:.0f}",
        "size": str(SIZE),
    }.items():
        text = text.replace("{" + name + "}", value)
    PAGE.write_text(text)


def machine() -> str:
    """What it was measured on."""
    cpu = next((line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[2]
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GB, Linux {platform.release()}, load average {load:.1f} (15 minutes)"


def versions() -> str:
    """The versions of what took part."""
    ours = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in OUR_PACKAGES)]
    code = f"from importlib.metadata import version; print(', '.join(f'{{n}} {{version(n)}}' for n in {PEER_PACKAGES}))"
    peers = subprocess.run([PEERS_PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return f"{', '.join(ours)}. Peers: {peers}"


def say(text: str) -> None:
    """A line for the person who waits."""
    print(text, file=sys.stderr, flush=True)
