"""Simulates the fan-out tree: journal → doorbell (Redis) → hubs → browsers, each a queue with one server, from measured costs.

python -m tests.bench.tree --browsers 1000000 --rate 200 --share 0.001
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Microseconds, from docs/benchmarks.md and docs/scale.md.
DELIVERY = 6.8
EVENT_IN_HUB = 90.0
DOORBELL = 1.5
DOORBELL_A_HUB = 0.35
BYTES_FOR_ONE = 4_000  # a message of so many bytes costs a hub's share twice
EVENT_BYTES = 400
COMMIT = 1_000.0
EVENT_IN_JOURNAL = 85.0
NETWORK = 200.0
CLIENTS_A_HUB = 10_000
KB_A_CLIENT = 19


@dataclass(frozen=True)
class Tree:
    """What is simulated. `share` is the part of all browsers that one event is for; `redis` hosts each carry some of `groups`."""

    browsers: int
    rate: float
    share: float
    hubs: int
    groups: int
    redis: int
    partitions: int


@dataclass
class Outcome:
    """How busy each stage was (1 is all of a core), and milliseconds from emit to the last browser of an event."""

    journal: float
    redis: float
    hub: float
    delays: list[float]

    def line(self) -> str:
        """A row of the table."""
        if max(self.journal, self.redis, self.hub) >= 1:
            return f"{self.journal:.0%} | {self.redis:.0%} | {self.hub:.0%} | grows without bound |"
        cuts = statistics.quantiles(self.delays, n=100)
        return f"{self.journal:.0%} | {self.redis:.0%} | {self.hub:.0%} | {cuts[49]:.1f} ms, {cuts[98]:.1f} ms |"


def simulate(tree: Tree, events: int = 4_000, seed: int = 1) -> Outcome:
    """Let so many events arrive at random moments at the rate, and follow each through the queues.

    An event goes to the hubs of one group. Where it is for so few browsers that not every hub has one, those hubs get it all the same
    (the doorbell tells a whole group), and pay for looking at it.
    """
    chance = random.Random(seed)
    hubs = [0.0] * tree.hubs
    redis, journals = [0.0] * tree.redis, [0.0] * tree.partitions
    busy_hub = busy_redis = busy_journal = 0.0
    hubs_a_group = max(1, tree.hubs // tree.groups)
    matches = tree.browsers * tree.share / hubs_a_group
    now, delays = 0.0, []
    for _ in range(events):
        now += chance.expovariate(tree.rate) * 1e6
        partition, group = chance.randrange(tree.partitions), chance.randrange(tree.groups)
        # Group commit: one who waits shares the next commit, so a busy journal pays for the row alone.
        committed = max(now + COMMIT, journals[partition] + EVENT_IN_JOURNAL)
        journals[partition] = max(now, journals[partition]) + EVENT_IN_JOURNAL
        busy_journal += EVENT_IN_JOURNAL
        host = group % tree.redis
        cost = DOORBELL + hubs_a_group * DOORBELL_A_HUB * (1 + EVENT_BYTES / BYTES_FOR_ONE)
        redis[host] = rung = max(committed, redis[host]) + cost
        busy_redis += cost
        last = 0.0
        for number in range(hubs_a_group):
            hub = (group * hubs_a_group + number) % tree.hubs
            work = EVENT_IN_HUB + matches * DELIVERY * chance.uniform(0.8, 1.2)
            hubs[hub] = max(rung + NETWORK, hubs[hub]) + work
            busy_hub += work
            last = max(last, hubs[hub])
        delays.append((last + NETWORK - now) / 1_000)
    return Outcome(busy_journal / now / tree.partitions, busy_redis / now / tree.redis, busy_hub / now / tree.hubs, delays)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the outcome of one tree, or of those of docs/scale.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tree", description=__doc__)
    parser.add_argument("--browsers", type=int)
    parser.add_argument("--rate", type=float, default=100.0, help="events a second")
    parser.add_argument("--share", type=float, default=1.0, help="the part of all browsers that an event is for")
    parser.add_argument("--groups", type=int, default=1, help="doorbell groups: audiences are split among them")
    parser.add_argument("--redis", type=int, default=1, help="channel-layer hosts")
    parser.add_argument("--partitions", type=int, default=1, help="journals")
    parser.add_argument("--hubs", type=int, help=f"server processes; {CLIENTS_A_HUB:,} browsers each unless given")
    given = parser.parse_args(arguments)
    trees = [of(given)] if given.browsers else EXAMPLES
    print(
        "| browsers | events a second | for | processes | memory | groups | Redis hosts | journals | journal | Redis | hub | p50, p99 |"
    )
    print("| --- " * 12 + "|")
    for tree in trees:
        outcome = simulate(tree, events=max(200, 2_000_000 // tree.hubs) if tree.hubs > 500 else 4_000)
        memory = tree.browsers * KB_A_CLIENT / 1024**2
        print(
            f"| {tree.browsers:,} | {tree.rate:,.0f} | {tree.browsers * tree.share:,.0f} | {tree.hubs:,} | {memory:,.1f} GB |"
            f" {tree.groups} | {tree.redis} | {tree.partitions} | {outcome.line()}"
        )


def of(given: argparse.Namespace) -> Tree:
    """The tree that the arguments describe."""
    hubs = given.hubs or max(1, given.browsers // CLIENTS_A_HUB)
    return Tree(given.browsers, given.rate, given.share, hubs, given.groups, given.redis, given.partitions)


EXAMPLES = [
    Tree(10_000, 10, 1.0, 1, 1, 1, 1),
    Tree(10_000, 1_000, 0.0001, 1, 1, 1, 1),
    Tree(1_000_000, 5, 1.0, 100, 1, 1, 1),
    Tree(1_000_000, 5_000, 0.000001, 100, 1, 1, 1),
    Tree(1_000_000, 5_000, 0.000001, 100, 20, 1, 1),
    Tree(10_000_000, 5, 1.0, 1_000, 1, 1, 1),
    Tree(10_000_000, 5_000, 0.0000001, 1_000, 50, 1, 1),
    Tree(10_000_000, 50_000, 0.0000001, 1_000, 100, 8, 8),
]


if __name__ == "__main__":
    main()
