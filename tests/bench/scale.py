"""How the cost grows with the number of clients, and when the last one is reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.contestants import Contestants
from tests.bench.prepare import most_clients
from tests.bench.report import Bar, Row, compare, middle, say
from tests.bench.servers import Load, Program, Round, Server, play

# One user's clients are the few that match; everybody's are these numbers, those included.
MATCHING = 30
SMALL, MIDDLE, LARGE = 1_000, 4_000, 8_000
EVENTS_TO_FEW = 200


def run(contestants: Contestants, quick: bool) -> Iterator[Row]:
    """All rows of this part."""
    large = min(LARGE, most_clients())
    rounds = 5 if quick else 15
    eventstream = last_of_eventstream(contestants, rounds)
    programs: tuple[Program, ...] = ("uvicorn",) if quick else ("uvicorn", "granian")
    for program in programs:
        with ExitStack() as stack:
            server = stack.enter_context(contestants.ours(program))
            yield from grow(contestants, server, stack, program, large, rounds, eventstream)


def last_of_eventstream(contestants: Contestants, rounds: int) -> float:
    """When django-eventstream reaches the last of the clients, in milliseconds."""
    with contestants.peer("uvicorn", "eventstream") as server, Load(server, MIDDLE) as load:
        say(f"  uvicorn: django-eventstream, {MIDDLE:,} clients")
        return last_ms(one_by_one([load], rounds, None))


def grow(
    contestants: Contestants, server: Server, stack: ExitStack, program: Program, large: int, rounds: int, eventstream: float
) -> Iterator[Row]:
    """More and more clients of one server. Only the first load's clients are of the user that some events are for."""
    few, name = contestants.user_id("bob"), program.title()
    path = ("Accept: text/event-stream", contestants.signed_in("bob", server.env))
    loads = [stack.enter_context(Load(server, MATCHING, headers=path))]
    alone = few_us(loads[0], few)
    total, cost = MATCHING, {}
    for number in (SMALL, MIDDLE, large):
        say(f"  {program}: ours, {number:,} clients")
        loads.append(stack.enter_context(Load(server, number - total)))
        total = number
        played = one_by_one(loads, rounds, None)
        cost[number] = middle(r.cpu_seconds for r in played) * 1e3
        if number == MIDDLE:
            last = last_ms(played)
            beside = f"django-eventstream, Uvicorn: {eventstream:.0f} ms"
            yield Row(
                f"last of {number:,} clients, {name}", f"{last:.0f} ms", beside, last / eventstream, Bar(150, "≤ 150 ms"), last
            )
    what = f"CPU an event, {large:,} clients, {name}"
    bar = Bar(9 * large / LARGE, f"≤ {9 * large / LARGE:.0f}")
    yield compare(what, cost[large], f"{SMALL:,} clients", cost[SMALL], "ms", bar)
    among = few_us(loads[0], few)
    yield compare(
        f"CPU an event for {MATCHING} of {large:,}, {name}", among, f"{MATCHING} of {MATCHING}", alone, "µs", Bar(3, "≤ 3")
    )


def one_by_one(loads: list[Load], rounds: int, user: str | None) -> list[Round]:
    """Rounds of one event each. The first is not counted."""
    query = {"user": user} if user else {}
    return [play(loads, 1, lambda: loads[0].server.publish(n=1, **query)) for _ in range(rounds + 1)][1:]


def few_us(load: Load, user: str) -> float:
    """Microseconds of CPU an event that only this load's clients get. The clients of other loads count nothing."""
    played = [play([load], EVENTS_TO_FEW, lambda: load.server.publish(n=EVENTS_TO_FEW, user=user)) for _ in range(6)][1:]
    return middle(r.cpu_seconds for r in played) / EVENTS_TO_FEW * 1e6


def last_ms(rounds: list[Round]) -> float:
    """When the last client had the event, after it was handed in; with nothing missing."""
    assert not any(r.missing for r in rounds)
    return middle(r.last_ms for r in rounds)
