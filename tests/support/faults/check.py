"""Compares what was committed with what a client received: nothing lost, nothing twice, in order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tests.support.faults.clients import FaultClient, Span


class Row(NamedTuple):
    """A published event of the journal."""

    position: int
    event_id: str
    event_type: str
    audience: str


def expected(client: FaultClient, span: Span, rows: Sequence[Row]) -> list[tuple[int, str]]:
    """What the client was to get in that history, of these rows."""
    return [
        (row.position, row.event_id)
        for row in rows
        if row.position > span.start and row.audience in client.audiences and client.types in (None, row.event_type)
    ]


def check_client(client: FaultClient, histories: dict[str, Sequence[Row]]) -> None:
    """The last history must have come whole, those before it up to where they broke off. Raises AssertionError."""
    assert not client.problems, f"{client.name}: {client.problems}"
    for span in client.spans:
        wanted = expected(client, span, histories[span.epoch])
        is_last = span is client.spans[-1]
        got = span.events
        if got == (wanted if is_last else wanted[: len(got)]):
            continue
        missing = sorted(set(wanted if is_last else wanted[: len(got)]) - set(got))
        strange = sorted(set(got) - set(wanted))
        twice = len(got) - len(set(got))
        raise AssertionError(
            f"{client.name} ({span.outcome} after {span.start}): of {len(wanted)} events it got {len(got)}, {twice} of them twice;"
            f" lost {missing[:5]}, strange {strange[:5]}, in order: {got == sorted(got)}"
        )


def check_journal(rows: Sequence[Row], emitted: Sequence[dict[str, Any]]) -> None:
    """What was committed is in the journal once, in each emitter's order; what was rolled back is not. Raises AssertionError."""
    places = {row.event_id: row.position for row in rows}
    assert len(places) == len(rows), "an event is in the journal twice"
    gaps = [(before.position, after.position) for before, after in pairwise(rows) if after.position != before.position + 1]
    assert not gaps, f"positions have gaps: {gaps}"
    for emitter in emitted:
        lost = [event_id for event_id in emitter["committed"] if event_id not in places]
        assert not lost, f"{len(lost)} events that were committed are not in the journal"
        assert not places.keys() & set(emitter["rolled_back"]), "an event that was rolled back is in the journal"
        order = [places[event_id] for event_id in emitter["committed"]]
        assert order == sorted(order), "an emitter's events are not in its order"
