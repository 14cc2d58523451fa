"""What a client costs while nothing happens, and whether memory grows with what happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.contestants import Contestants
from tests.bench.report import Bar, Row, say
from tests.bench.servers import Load, Program, Server, play

CLIENTS = 1_000
# Longer than the time between heartbeats, 30 s, so that each client has had one.
IDLE_SECONDS = 33.0
# What a server does without clients: it looks at the journal once a second.
ALONE_SECONDS = 5.0


@dataclass
class Idle:
    """A server whose clients hear nothing, and what that cost."""

    name: str
    server: Server
    kb: float = 0.0
    alone: float = 0.0
    us: float = 0.0


def run(contestants: Contestants, quick: bool) -> Iterator[Row]:
    """All rows of this part."""
    programs: tuple[Program, ...] = ("uvicorn",) if quick else ("uvicorn", "granian", "daphne")
    for program in programs[:2]:
        yield growth(contestants, program, events=200 if quick else 600)
    with ExitStack() as stack:
        idle = {program: start(contestants, program, stack) for program in programs}
        everyone = [one for group in idle.values() for one in group]
        settle(everyone, stack, IDLE_SECONDS / 3 if quick else IDLE_SECONDS)
        for program, group in idle.items():
            for floor, one in ((group[0], group[2]), (group[1], group[3])):
                what, above = f"memory a client, {one.name}, {program.title()}", one.kb - floor.kb
                beside = f"bare app: {floor.kb:.1f} KB"
                yield Row(what, f"{one.kb:.1f} KB", beside, one.kb / floor.kb, Bar(15, "≤ 15 KB above"), above)
                what = f"CPU of an idle client a second, {one.name}, {program.title()}"
                beside = f"bare app, no heartbeats: {floor.us:.1f} µs"
                yield Row(what, f"{one.us:.1f} µs", beside, bar=Bar(5, "< 5 µs"), value=one.us)


def growth(contestants: Contestants, program: Program, events: int) -> Row:
    """The same load twice; the clients leave after each."""
    say(f"  {program}: the same load twice")
    memory = []
    with contestants.ours(program) as server:
        for _ in range(2):
            with Load(server, CLIENTS // 2) as load:
                play([load], events, publishing(server, events))
            time.sleep(2)
            memory.append(server.memory_kb)
    grown = (memory[1] / memory[0] - 1) * 100
    deliveries = events * CLIENTS // 2
    what = f"memory after {deliveries:,} deliveries and again as many, {program.title()}"
    texts = [f"{kb / 1024:.1f} MB" for kb in memory]
    return Row(what, texts[1], f"after the first: {texts[0]}", memory[1] / memory[0], Bar(5, "< 5 % more"), grown)


def publishing(server: Server, events: int) -> Callable[[], None]:
    """What publishes so many events."""
    return lambda: server.publish(n=events)


def start(contestants: Contestants, program: Program, stack: ExitStack) -> list[Idle]:
    """The servers of a program, which have served before: what they need once is no client's."""
    idle = [
        Idle("bare app", stack.enter_context(contestants.peer(program, "floor"))),
        Idle("bare app", stack.enter_context(contestants.peer(program, "floor", websocket=True))),
        Idle("ours", stack.enter_context(contestants.ours(program))),
        Idle("ours, WebSocket", stack.enter_context(contestants.ours(program, websocket=True))),
    ]
    for one in idle:
        with Load(one.server, 50) as load:
            play([load], 20, publishing(one.server, 20))
    return idle


def settle(everyone: list[Idle], stack: ExitStack, seconds: float) -> None:
    """Measure all of them while they are idle: first alone, then with their clients."""
    say(f"  {CLIENTS:,} clients for each of {len(everyone)} servers, idle for {seconds:.0f} s")
    time.sleep(1)
    for one, spent in zip(everyone, cpu_during(everyone, ALONE_SECONDS), strict=True):
        one.alone = spent
    for one in everyone:
        before = one.server.memory_kb
        stack.enter_context(Load(one.server, CLIENTS))
        time.sleep(0.5)
        one.kb = (one.server.memory_kb - before) / CLIENTS
    for one, spent in zip(everyone, cpu_during(everyone, seconds), strict=True):
        one.us = (spent - one.alone) / CLIENTS * 1e6


def cpu_during(everyone: list[Idle], seconds: float) -> list[float]:
    """CPU seconds a second of each server, while the time passes."""
    before = [(one.server.cpu_seconds, time.monotonic()) for one in everyone]
    time.sleep(seconds)
    return [(one.server.cpu_seconds - cpu) / (time.monotonic() - at) for one, (cpu, at) in zip(everyone, before, strict=True)]
