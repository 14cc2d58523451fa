"""Measure the project beside its peers: `make bench`, `make bench ARGS="fanout --quick"`.

A run of all parts writes docs/benchmarks.md; one of some parts, or a quick one, only prints its table.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable, Iterator

from tests.bench import emitting, fanout, memory, routing, scale, storm, tracking
from tests.bench.contestants import Contestants
from tests.bench.prepare import prepare
from tests.bench.report import Row, say, table, write_page
from tests.bench.servers import taskset_is_missing

PARTS: dict[str, Callable[[Contestants, bool], Iterator[Row]]] = {
    "fanout": fanout.run,
    "scale": scale.run,
    "memory": memory.run,
    "emitting": emitting.run,
    "storm": storm.run,
    "routing": routing.run,
    "tracking": tracking.run,
}
# Whatever hangs: the run ends by itself.
LONGEST = 1_800


def main() -> int:
    """Run the parts that are asked for. The exit status: 0 however the numbers are."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; all unless given")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and clients: for a look")
    options = parser.parse_args()
    if taskset_is_missing():
        say("There is no taskset: server and load share the cores, and the numbers will be worse")
    signal.alarm(LONGEST)
    prepare()
    started = time.monotonic()
    rows: list[Row] = []
    with Contestants() as contestants:
        for name in options.parts or PARTS:
            say(f"{name}, at {time.monotonic() - started:.0f} s")
            for row in PARTS[name](contestants, options.quick):
                rows.append(row)
                say("    " + " | ".join(filter(None, row.cells)))
    print(table(rows))
    if not options.parts and not options.quick:
        write_page(rows, time.monotonic() - started)
    return 0
