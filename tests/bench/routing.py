"""What the router costs above the handlers that it calls."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.contestants import Contestants
from tests.bench.processes import pin
from tests.bench.report import Bar, Row

NUMBER = 20_000


def run(contestants: Contestants, quick: bool) -> Iterator[Row]:
    """All rows of this part."""
    number = NUMBER // 10 if quick else NUMBER
    with contestants.process(contestants.environment()) as process:
        pin(process.pid)
        for kind, name in (("functions", "routing"), ("coroutine functions", "arouting")):
            took = process.call(f"tests.bench.emitters.{name}", number)
            above = took["route"] - took["calls"]
            beside = f"three calls: {took['calls']:.2f} µs"
            what = f"routing to three handlers, {kind}"
            yield Row(what, f"{took['route']:.2f} µs", beside, bar=Bar(1, "≤ 1 µs above"), value=above)
