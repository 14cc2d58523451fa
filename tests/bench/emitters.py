"""What runs in a process of the project when emitting is measured. Called by tests.bench.emitting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from django.contrib.auth import get_user_model
from django.utils.timezone import now

from events import UnifiedEvent, aemit, emit, emit_realtime_event
from events.encoding import encode
from events.journal import read_head
from events.models import JournalEntry
from events.router import EventRouter
from events.types import create_realtime_event
from tests.support.seed import new_session

DATA = {"document_id": "123", "pad": "x" * 60}
# Positions that the journal does not reach, so that what stands beside it is no part of it.
FAR = 10**12


async def sustained(emitters: int, seconds: float) -> dict[str, float]:
    """Events a second that so many emitters get stored and published, each one waiting for its event before the next."""
    await emit_realtime_event("bench.warm", DATA)
    deadline = time.monotonic() + seconds
    stored = 0

    async def emit_until() -> None:
        nonlocal stored
        while time.monotonic() < deadline:
            was_stored = await emit_realtime_event("bench.event", DATA)
            stored += was_stored  # in one step: `stored += await` would forget what the others added meanwhile

    started, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(emit_until() for _ in range(emitters)))
    took = time.monotonic() - started
    return {"per_second": stored / took, "us": (time.process_time() - cpu) / stored * 1e6}


async def latency(number: int) -> dict[str, float]:
    """The median of an emit, and of `acreate()` of the same row, in milliseconds. They take turns, with pauses between."""
    row = JournalEntry(
        event_id="0" * 36, event_type="bench.event", category="realtime", priority="normal", audience="all", timestamp=now(),
        body=encode(create_realtime_event("bench.event", DATA), 65_536, keep_private=False)[0], private="",
    )  # fmt: skip
    fields = {f.attname: getattr(row, f.attname) for f in JournalEntry._meta.concrete_fields if not f.primary_key}

    async def create(turn: int) -> Any:
        return await JournalEntry.objects.acreate(**fields | {"position": FAR + turn})

    async def emit(turn: int) -> Any:
        return await emit_realtime_event("bench.event", DATA)

    times: dict[str, list[float]] = {"emit": [], "acreate": []}
    for turn in range(number + 20):
        for name, work in (("emit", emit), ("acreate", create)):
            took = await timed(work, turn)
            if turn >= 20:
                times[name].append(took)
    return {name: median(values) * 1000 for name, values in times.items()}


async def timed(work: Callable[[int], Awaitable[Any]], turn: int) -> float:
    """Seconds that it took, after a pause."""
    await asyncio.sleep(0.002)
    started = time.perf_counter()
    await work(turn)
    return time.perf_counter() - started


def emit_times(number: int) -> list[float]:
    """Milliseconds of each of so many `emit`, with pauses between. Raises RuntimeError if an event was not stored."""
    return [timed_emit() for _ in range(number)]


def timed_emit() -> float:
    """Milliseconds of an `emit`, after a pause."""
    time.sleep(0.005)
    started = time.perf_counter()
    if not emit("bench.event", DATA):
        raise RuntimeError("an event was not stored")
    return (time.perf_counter() - started) * 1000


async def aemit_times(number: int) -> list[float]:
    """As `emit_times`, of `await aemit`."""
    return [await timed(lambda _: aemit("bench.event", DATA), n) * 1000 for n in range(number)]


def cursor() -> str:
    """Where the journal ends."""
    head = read_head()
    return f"{head.epoch}:{head.position}"


def sessions(number: int) -> list[str]:
    """Sessions of so many new users."""
    model = get_user_model()
    users = model.objects.bulk_create(model(username=f"user-{n}") for n in range(number))
    return [new_session(str(user.pk)) for user in users]


def routing(number: int) -> dict[str, float]:
    """Microseconds of routing an event to three handlers, and of the three calls alone; of the best of several runs."""
    router, event = EventRouter(), create_realtime_event("bench.event", DATA)
    called: list[UnifiedEvent] = []
    handlers: list[Callable[[UnifiedEvent], None]] = [called.append for _ in range(3)]
    router.add_global_handler(handlers[0])
    router.add_category_handler("realtime", handlers[1])
    router.add_type_handler("bench.*", handlers[2])

    def route() -> None:
        router.handle([event])

    def call() -> None:
        for handler in handlers:
            handler(event)

    return {"route": best(route, number, called), "calls": best(call, number, called)}


async def arouting(number: int) -> dict[str, float]:
    """As `routing`, with handlers that are coroutine functions."""
    router, event = EventRouter(), create_realtime_event("bench.event", DATA)
    called: list[UnifiedEvent] = []

    async def handler(e: UnifiedEvent) -> None:
        called.append(e)

    router.add_global_handler(handler)
    router.add_category_handler("realtime", handler)
    router.add_type_handler("bench.*", handler)
    results = {"route": 1e9, "calls": 1e9}
    for _ in range(7):
        started = time.perf_counter()
        for _ in range(number):
            await router.ahandle([event])
        routed = time.perf_counter()
        for _ in range(number):
            for _ in range(3):
                await handler(event)
        called.clear()
        results["calls"] = min(results["calls"], (time.perf_counter() - routed) / number * 1e6)
        results["route"] = min(results["route"], (routed - started) / number * 1e6)
    return results


def best(work: Callable[[], None], number: int, called: list[UnifiedEvent]) -> float:
    """Microseconds a call, of the run that was disturbed least."""
    results = []
    for _ in range(7):
        started = time.perf_counter()
        for _ in range(number):
            work()
        results.append((time.perf_counter() - started) / number * 1e6)
        called.clear()
    return min(results)
