"""The journal's SQL: rows in, positions given, rows out. Everything here runs on the caller's connection and transaction."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db import connections, models

from events.access import audience_of, is_staff_audience
from events.batch import Published
from events.conf import settings
from events.encoding import decode, encode
from events.models import JournalEntry, JournalHead
from events.tables import insert_rows
from events.types import UnifiedEvent

COLUMNS = (
    "position", "event_id", "event_type", "category", "priority", "audience", "user_id", "correlation_id", "timestamp", "body", "private",
)  # fmt: skip


class Record(NamedTuple):
    """A row of the journal: an event with its audience, encoded. Fields as the columns of `JournalEntry`."""

    position: int | None
    event_id: str
    event_type: str
    category: str
    priority: str
    audience: str
    user_id: str | None
    correlation_id: str | None
    timestamp: Any
    body: str
    private: str

    @property
    def event(self) -> UnifiedEvent:
        """The event as it was emitted."""
        return decode(self.body, self.private)


class Head(NamedTuple):
    """The state of the journal: its epoch, the last position given, the last one no longer kept."""

    epoch: str
    position: int
    pruned: int


def record_of(event: UnifiedEvent) -> Record:
    """The event as a row without a position. Raises InvalidEvent for what can't be encoded."""
    audience = audience_of(event)
    body, private = encode(event, settings().MAX_EVENT_BYTES, keep_private=is_staff_audience(audience))
    return Record(
        None, event.id, event.event_type, str(event.category), str(event.priority), audience,
        event.user_id, event.correlation_id, event.timestamp, body, private,
    )  # fmt: skip


def insert(records: Iterable[Record]) -> None:
    """Write rows as they are: with their positions, or without one, into the outbox. Raises DatabaseError."""
    connection = connections[settings().DATABASE]
    adapt = connection.ops.adapt_datetimefield_value
    insert_rows(connection, JournalEntry._meta.db_table, COLUMNS, [(*r[:8], adapt(r.timestamp), *r[9:]) for r in records])


def reserve(number: int) -> tuple[Head, bool]:
    """Take the next `number` positions: the head as it was before, and whether rows wait in the outbox. Holds the one lock until
    the transaction ends, so that positions become visible in their order. Call it inside a transaction."""
    with connections[settings().DATABASE].cursor() as cursor:
        while True:
            cursor.execute(
                f'UPDATE "{JournalHead._meta.db_table}" SET "position" = "position" + %s WHERE "id" = 1'
                f' RETURNING "epoch", "position", "pruned",'
                f' EXISTS (SELECT 1 FROM "{JournalEntry._meta.db_table}" WHERE "position" IS NULL)',
                [number],
            )
            row = cursor.fetchone()
            if row:
                return Head(row[0], row[1] - number, row[2]), bool(row[3])
            _begin_epoch()


def _begin_epoch() -> None:
    """Write the head where there is none: a new journal, or one that was lost. Its rows, if any, keep their positions."""
    last = JournalEntry.objects.using(settings().DATABASE).aggregate(last=models.Max("position"))["last"] or 0
    head = JournalHead(id=1, epoch=secrets.token_hex(6), position=last, pruned=0)
    JournalHead.objects.using(settings().DATABASE).bulk_create([head], ignore_conflicts=True)


def replace_epoch(epoch: str) -> None:
    """Begin a new epoch after this one, where it is still the journal's. Positions go on."""
    JournalHead.objects.using(settings().DATABASE).filter(id=1, epoch=epoch).update(epoch=secrets.token_hex(6))


def sequence(records: Sequence[Record]) -> tuple[Head, list[Record], bool]:
    """Give the records positions: the head as it was before, the records with them, and whether rows wait in the outbox. Call it
    inside a transaction."""
    head, outbox_waits = reserve(len(records))
    return head, [r._replace(position=head.position + n) for n, r in enumerate(records, 1)], outbox_waits


def sequence_outbox(limit: int) -> tuple[Head, list[Published]]:
    """Give positions to the oldest rows of the outbox. Call it inside a transaction."""
    head, _ = reserve(0)
    waiting = list(_rows().filter(position=None).order_by("id").values_list("id", *Published._fields)[:limit])
    if not waiting:
        return head, []
    reserve(len(waiting))
    published = [Published(head.position + n, *row[2:]) for n, row in enumerate(waiting, 1)]
    with connections[settings().DATABASE].cursor() as cursor:
        cursor.executemany(
            f'UPDATE "{JournalEntry._meta.db_table}" SET "position" = %s WHERE "id" = %s',
            [(event.position, row[0]) for event, row in zip(published, waiting, strict=True)],
        )
    return head, published


def outbox_waits() -> bool:
    """Whether a row waits for its position."""
    return _rows().filter(position=None).exists()


def read_head() -> Head:
    """The state of the journal; begins an epoch where there is none."""
    heads = JournalHead.objects.using(settings().DATABASE)
    while True:
        row = heads.filter(id=1).values_list("epoch", "position", "pruned").first()
        if row:
            return Head(*row)
        _begin_epoch()


def read(after: int, limit: int, until: int | None = None, audiences: Iterable[str] | None = None) -> list[Published]:
    """The published events after a position (and up to another), in order, at most `limit`, of all audiences or the given ones."""
    rows = _rows().filter(position__gt=after).order_by("position")
    if until is not None:
        rows = rows.filter(position__lte=until)
    if audiences is not None:
        rows = rows.filter(audience__in=sorted(audiences))
    return [Published(*row) for row in rows.values_list(*Published._fields)[:limit]]


def holds(record: Record) -> bool:
    """Whether this very event is at its position."""
    return _rows().filter(position=record.position, event_id=record.event_id).exists()


def read_bodies(positions: Iterable[int]) -> dict[int, str]:
    """The bodies of the published events at these positions, as far as they are there."""
    rows = _rows().filter(position__in=list(positions)).values_list("position", "body")
    return {position: body for position, body in rows if position is not None}


def _rows() -> models.QuerySet[JournalEntry]:
    return JournalEntry.objects.using(settings().DATABASE)
