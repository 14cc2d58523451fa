"""Ids are random UUIDs, and nobody gets one twice: not in threads, not in a process that was forked."""

from __future__ import annotations

import multiprocessing
import uuid
from concurrent.futures import ThreadPoolExecutor

from events.ids import STOCK, new_id


def test_an_id_is_a_random_uuid_as_python_writes_it() -> None:
    for _ in range(2 * STOCK):
        text = new_id()
        made = uuid.UUID(text)
        assert (made.version, made.variant, str(made)) == (4, uuid.RFC_4122, text)


def test_every_bit_that_may_differ_does() -> None:
    seen = [uuid.UUID(new_id()).int for _ in range(2 * STOCK)]
    ever, always = 0, ~0
    for number in seen:
        ever |= number
        always &= number
    fixed = uuid.UUID("00000000-0000-f000-c000-000000000000").int
    assert (ever ^ always) & ((1 << 128) - 1) == ((1 << 128) - 1) ^ fixed


def test_threads_never_get_the_same() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = [i for some in pool.map(lambda _: [new_id() for _ in range(2_000)], range(8)) for i in some]
    assert len(set(ids)) == len(ids)


def test_a_forked_process_gives_others_than_its_parent() -> None:
    new_id()  # there is a stock
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        children = pool.map(take, range(2), chunksize=1)
    ids = [i for some in (*children, take(0)) for i in some]
    assert len(set(ids)) == len(ids)


def take(_: int) -> list[str]:
    """Some ids of this process."""
    return [new_id() for _ in range(STOCK * 2)]
