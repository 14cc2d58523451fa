"""What a delivery costs: the project and the peers side by side, in rounds that take turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.bench.contestants import Contestants
from tests.bench.report import Bar, Row, compare, middle, say
from tests.bench.servers import Load, Program, Round, Server, play

CLIENTS = 500
BURST = 1_000
PAUSE_MS = 10
MEASURED_IN_BURSTS = ("bare app", "bare app, WebSocket", "ours", "ours, WebSocket")


@dataclass
class Entry:
    """A server with its clients, and what its rounds gave."""

    name: str
    load: Load
    events: int
    rounds: list[Round] = field(default_factory=list)
    paced: list[Round] = field(default_factory=list)
    bursts: list[Round] = field(default_factory=list)
    gap_ms: int = 0
    missing: int = 0

    @property
    def us(self) -> float:
        """Microseconds of CPU a delivery, the median of the rounds."""
        return middle(r.us for r in self.rounds) if self.rounds else math.nan

    @property
    def paced_us(self) -> float:
        """The same with a pause after each event."""
        return middle(r.us for r in self.paced)

    @property
    def burst_us(self) -> float:
        """The same in bursts."""
        return middle(r.us for r in self.bursts)

    @property
    def burst_rate(self) -> float:
        """Deliveries a second in bursts."""
        return middle(r.per_second for r in self.bursts)


def run(contestants: Contestants, quick: bool) -> Iterator[Row]:
    """All rows of this part."""
    programs: tuple[Program, ...] = ("uvicorn", "granian") if quick else ("uvicorn", "granian", "daphne")
    for program in programs:
        with entries(contestants, program) as running:
            measure(running, rounds=2 if quick else 4, bursts=1 if quick else 2, paced=program == "granian")
            yield from rows(program, {entry.name: entry for entry in running})


@contextmanager
def entries(contestants: Contestants, program: Program) -> Iterator[list[Entry]]:
    """The servers of one program, each with its clients. How many events a round has, so that it takes about a second."""
    makers: dict[str, tuple[int, Callable[[], Server | None]]] = {
        "bare app": (200, lambda: contestants.peer(program, "floor")),
        "bare app, WebSocket": (200, lambda: contestants.peer(program, "floor", websocket=True)),
        "ours": (200, lambda: contestants.ours(program)),
        "ours, WebSocket": (200, lambda: contestants.ours(program, websocket=True)),
    }
    if program == "uvicorn":
        makers |= {
            "a queue a client": (100, lambda: contestants.peer(program, "queues")),
            "django-eventstream": (40, lambda: contestants.peer(program, "eventstream")),
            "Channels groups": (10, lambda: contestants.peer(program, "channels")),
            "sse-starlette": (60, lambda: contestants.peer(program, "starlette")),
        }
        if contestants.redis_url:
            makers["Channels groups, Redis"] = (20, lambda: contestants.peer(program, "channels", redis=True))
    if program == "granian":
        makers["nchan"] = (100, contestants.nchan)
    with ExitStack() as stack:
        running = []
        for name, (events, make) in makers.items():
            server = make()
            if server is not None:
                say(f"  {program}: {name}")
                load = stack.enter_context(Load(stack.enter_context(server), CLIENTS))
                # Granian's WebSocket takes nothing at once: without a pause the server would be offered ten times what it can do.
                gap_ms = PAUSE_MS if program == "granian" and "WebSocket" in name else 0
                running.append(Entry(name, load, events, gap_ms=gap_ms))
        yield running


def measure(running: list[Entry], rounds: int, bursts: int, paced: bool) -> None:
    """Rounds in turn: what disturbs the machine for a while then disturbs them all. The first one is not counted."""
    for number in range(rounds + 1):
        for entry in running:
            if entry.missing:
                continue
            result = play_events(entry, 10 if number == 0 else entry.events, gap_ms=entry.gap_ms)
            if number and not result.missing:
                entry.rounds.append(result)
            if number and paced and not entry.gap_ms:
                entry.paced.append(play_events(entry, 100, gap_ms=PAUSE_MS))
    for _ in range(bursts):
        for entry in running:
            if entry.name in MEASURED_IN_BURSTS and not entry.missing:
                entry.bursts.append(play_events(entry, BURST, burst=1))


def play_events(entry: Entry, events: int, **query: object) -> Round:
    """One round of an entry."""
    result = play([entry.load], events, lambda: entry.load.server.publish(n=events, **query), seconds=12)
    if result.missing:
        say(f"  {entry.name}: {result.missing:,} of {events * entry.load.clients:,} deliveries are missing")
        entry.missing += result.missing
    return result


def rows(program: Program, by_name: dict[str, Entry]) -> Iterator[Row]:
    """The rows of one server program."""
    floor, floor_websocket, ours, websocket = (by_name[name] for name in MEASURED_IN_BURSTS)
    title = f"CPU a delivery, {program.title()}"
    if ours.paced:
        for name in ("bare app", "nchan"):
            if name in by_name:
                limit = Bar(1.3, "≤ 1.3") if name == "bare app" else Bar(1.0, "≤ 1")
                yield compare(f"{title}, {PAUSE_MS} ms between events", ours.paced_us, name, by_name[name].paced_us, "µs", limit)
    bar = Bar(1.3, "≤ 1.3") if program != "daphne" else None
    yield compare(title, ours.us, "bare app", floor.us, "µs", bar)
    bars = {"django-eventstream": Bar(0.25, "≤ 0.25"), "nchan": Bar(1.0, "≤ 1")}
    for name in sorted(by_name.keys() - set(MEASURED_IN_BURSTS), key=lambda name: by_name[name].us):
        yield compare(title, ours.us, name, by_name[name].us, "µs", bars.get(name))
    yield compare(f"CPU a delivery over WebSocket, {program.title()}", websocket.us, "ours over SSE", ours.us, "µs", bar)
    yield compare(f"CPU a delivery over WebSocket, {program.title()}", websocket.us, "bare app", floor_websocket.us, "µs")
    rate = Bar(250_000, "≥ 250,000/s", at_least=True) if program == "granian" else None
    for entry, bare in ((ours, floor), (websocket, floor_websocket)):
        what = f"bursts of {BURST:,} events, {entry.name}, {program.title()}"
        beside = f"bare app: {bare.burst_rate:,.0f}/s, {bare.burst_us:.2f} µs"
        if entry.missing:
            yield Row(what, f"{entry.missing:,} deliveries missing: clients were disconnected", beside, bar=rate, value=0)
            continue
        text = f"{entry.burst_rate:,.0f}/s, {entry.burst_us:.2f} µs"
        yield Row(what, text, beside, entry.burst_rate / bare.burst_rate, rate, entry.burst_rate)
