"""How fast events are stored and published, and how long one takes to a client's socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from tests.bench.contestants import Contestants
from tests.bench.processes import pin
from tests.bench.report import Bar, Row, compare, middle, say
from tests.bench.servers import Load, Program, Server, play

EMITTERS = 100
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
SUSTAINED = {"sqlite": 20_000, "postgresql": 15_000}


def run(contestants: Contestants, quick: bool) -> Iterator[Row]:
    """All rows of this part."""
    for database in contestants.databases:
        yield from alone(contestants, database, seconds=2 if quick else 5, number=150 if quick else 400)
    programs: tuple[Program, ...] = ("uvicorn",) if quick else ("uvicorn", "granian")
    for program in programs:
        for database in contestants.databases:
            yield in_one_process(contestants, program, database)
    for trouble, listening in (("refuses", False), ("answers nothing", True)):
        for database in contestants.databases:
            yield from without_redis(contestants, database, trouble, listening, number=100 if quick else 400)
    if contestants.redis_url:
        yield through_redis(contestants, "uvicorn", contestants.databases[-1])


def alone(contestants: Contestants, database: str, seconds: float, number: int) -> Iterator[Row]:
    """A process that only emits."""
    say(f"  {EMITTERS} emitters on {database}")
    with contestants.process(contestants.environment(database)) as process:
        pin(process.pid)
        latency = process.call("tests.bench.emitters.latency", number)
        runs = [process.call("tests.bench.emitters.sustained", EMITTERS, seconds) for _ in range(3)]
    rate, us = middle(r["per_second"] for r in runs), middle(r["us"] for r in runs)
    bar = Bar(SUSTAINED[database], f"≥ {SUSTAINED[database]:,}/s", at_least=True)
    what = f"{EMITTERS} emitters in one process, {NAMES[database]}"
    yield Row(what, f"{rate:,.0f} events/s, {us:.0f} µs of its CPU an event", bar=bar, value=rate)
    yield compare(f"await emit, p50, {NAMES[database]}", latency["emit"], "acreate()", latency["acreate"], "ms", Bar(3, "≤ 3"))


def in_one_process(contestants: Contestants, program: Program, database: str) -> Row:
    """The server that has the client emits."""
    say(f"  emit → frame, {program}, {database}")
    with contestants.ours(program, env=contestants.environment(database)) as server, Load(server, 10) as load:
        ms = emit_to_frame(load, server)
    what = f"emit → frame on a socket, p50, in one process, {program.title()}, {NAMES[database]}"
    return Row(what, f"{ms:.2f} ms", bar=Bar(10, "< 10 ms"), value=ms)


def through_redis(contestants: Contestants, program: Program, database: str) -> Row:
    """One server emits, another has the client."""
    say(f"  emit → frame through Redis, {program}, {database}")
    env = contestants.environment(database, redis=True)
    with contestants.ours(program, env=env) as emitter, contestants.ours(program, env=env) as server, Load(server, 10) as load:
        ms = emit_to_frame(load, emitter)
    what = f"emit → frame on a socket, p50, through Redis, {program.title()}, {NAMES[database]}"
    return Row(what, f"{ms:.2f} ms", bar=Bar(20, "< 20 ms"), value=ms)


def without_redis(contestants: Contestants, database: str, trouble: str, listening: bool, number: int) -> Iterator[Row]:
    """A process that emits while Redis takes no connections, or takes them and never answers."""
    say(f"  emit while Redis {trouble}, {database}")
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        if listening:
            there.listen(100)
        url = f"redis://127.0.0.1:{there.getsockname()[1]}/0"
        with contestants.process(contestants.environment(database) | {"REDIS_URL": url}) as process:
            for name, function in (("emit", "emit_times"), ("await aemit", "aemit_times")):
                rounds = [sorted(process.call(f"tests.bench.emitters.{function}", number)) for _ in range(3)]
                longest, p99 = middle(r[-1] for r in rounds), middle(r[int(number * 0.99)] for r in rounds)
                what = f"{name} while Redis {trouble}, the longest of {number}, {NAMES[database]}"
                yield Row(what, f"{longest:.1f} ms, p99 {p99:.1f} ms", bar=Bar(50, "≤ 50 ms"), value=longest)


def emit_to_frame(load: Load, emitter: Server) -> float:
    """Milliseconds from the emit to the client, with pauses between the events; the first round is not counted."""
    rounds = [play([load], 100, lambda: emitter.publish(n=100, gap_ms=5)) for _ in range(4)][1:]
    assert not any(r.missing for r in rounds)
    return middle(r.p50_ms for r in rounds)
