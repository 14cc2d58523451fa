"""Emits more than can be stored. Called in a DjangoProcess, in one event loop: `begin`, then `results`."""

from __future__ import annotations

import asyncio
import resource

from events import aemit, get_event_stats
from events.types import EventPriority

# Of 100 events.
SHARES = {EventPriority.CRITICAL: 1, EventPriority.HIGH: 3, EventPriority.NORMAL: 26, EventPriority.LOW: 70}
MIXED = [priority for priority, share in SHARES.items() for _ in range(share)]
PAD = "x" * 20_000

_emitting: list[tuple[EventPriority, asyncio.Task[bool]]] = []


async def begin(number: int) -> float:
    """Emit so many events of mixed priorities without waiting for any. By how many MB memory grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for n in range(number):
        priority = MIXED[n * 37 % len(MIXED)]
        task = asyncio.create_task(aemit("overload.event", {"n": n, "pad": f"{n}{PAD}"}, priority=priority))
        _emitting.append((priority, task))
        await asyncio.sleep(0)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def dropped() -> int:
    """How many events were shed."""
    number: int = get_event_stats()["dropped"]
    return number


async def results() -> dict[str, list[bool]]:
    """For each priority, whether the events were stored, in the order in which they were emitted. Waits for all."""
    answers: dict[str, list[bool]] = {priority: [] for priority in SHARES}
    for priority, task in _emitting:
        answers[priority].append(await task)
    return answers
