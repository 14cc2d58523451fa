"""Counting in one statement, for hits without members, each of another key: what signing in waits for.

It locks the rows of its keys in their order, as `security.counters.database` does, a gate before the others: two can't wait for each other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connections

from events.conf import settings
from security.counters.windows import Moment
from security.detection import Hit

# One row a key; the moments that were there and the new ones, as far as they are in the window, the newest up to the limit.
UPSERT: Final = {
    "sqlite": """
        INSERT INTO security_counter (key, hits, expires_at)
        SELECT value->>'key', value->'hits', value->>'expires_at' FROM json_each(%(new)s) WHERE {which}
        ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, hits = (
            SELECT json_group_array(json(hit)) FROM (
                SELECT hit FROM (
                    SELECT hit, row_number() OVER (ORDER BY hit->>0 DESC) AS rank FROM (
                        SELECT value AS hit FROM json_each(security_counter.hits) UNION ALL SELECT value FROM json_each(excluded.hits)
                    ) WHERE hit->>0 > (SELECT value->>0 FROM json_each(%(kept)s) WHERE json_each.key = excluded.key)
                ) WHERE rank <= (SELECT value->>1 FROM json_each(%(kept)s) WHERE json_each.key = excluded.key) ORDER BY hit->>0))
        RETURNING key, hits""",
    "postgresql": """
        INSERT INTO security_counter (key, hits, expires_at)
        SELECT value->>'key', value->'hits', (value->>'expires_at')::timestamptz
        FROM jsonb_array_elements(%(new)s::jsonb) WITH ORDINALITY AS new (value, place) WHERE {which} ORDER BY place
        ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, hits = (
            SELECT coalesce(jsonb_agg(hit ORDER BY (hit->>0)::float8), '[]') FROM (
                SELECT hit, row_number() OVER (ORDER BY (hit->>0)::float8 DESC) AS rank
                FROM jsonb_array_elements(security_counter.hits || excluded.hits) AS hit
                WHERE (hit->>0)::float8 > (%(kept)s::jsonb->excluded.key->>0)::float8
            ) AS kept WHERE rank <= (%(kept)s::jsonb->excluded.key->>1)::int)
        RETURNING key, hits""",
}
ADD: Final = {vendor: upsert.format(which="true") for vendor, upsert in UPSERT.items()}
# The others only where the gate, as it is then, is within its limit. PostgreSQL holds its row meanwhile, SQLite the database.
ADD_GATED: Final = {
    "sqlite": UPSERT["sqlite"].format(
        which="""value->>'key' = %(gate)s OR %(limit)s > (
            SELECT count(*) FROM security_counter AS gate, json_each(gate.hits) AS hit
            WHERE gate.key = %(gate)s AND hit.value->>0 > (SELECT value->>0 FROM json_each(%(kept)s) WHERE json_each.key = %(gate)s))"""
    ),
    "postgresql": "WITH gate AS ("  # noqa: S608 - of constants
    + UPSERT["postgresql"].format(which="value->>'key' = %(gate)s")
    + "), others AS ("
    + UPSERT["postgresql"].format(
        which="value->>'key' <> %(gate)s AND %(limit)s >= (SELECT jsonb_array_length(gate.hits) FROM gate)"
    )
    + ") SELECT key, hits FROM gate UNION ALL SELECT key, hits FROM others",
}
# Of the happenings of that moment, one goes.
REMOVE: Final = {
    "sqlite": """
        UPDATE security_counter SET hits = (
            SELECT json_group_array(json(value)) FROM (
                SELECT value FROM json_each(security_counter.hits) AS hit WHERE hit.key IS NOT (
                    SELECT max(own.key) FROM json_each(security_counter.hits) AS own WHERE own.value->>0 = %(moment)s AND own.value->>1 = '')))
        WHERE key IN (SELECT value FROM json_each(%(keys)s))""",
    "postgresql": """
        WITH locked AS (
            SELECT key FROM security_counter JOIN jsonb_array_elements_text(%(keys)s::jsonb) WITH ORDINALITY AS given (name, place)
            ON key = name ORDER BY place FOR UPDATE OF security_counter)
        UPDATE security_counter SET hits = hits - coalesce((
            SELECT max(place)::int - 1 FROM jsonb_array_elements(hits) WITH ORDINALITY AS own (hit, place)
            WHERE (hit->>0)::float8 = %(moment)s AND hit->>1 = ''), jsonb_array_length(hits))
        FROM locked WHERE security_counter.key = locked.key""",
}


def suits(hits: Sequence[Hit]) -> bool:
    """Whether these can be counted so."""
    return bool(hits) and not any(hit.member or hit.only_look for hit in hits) and len({hit.key for hit in hits}) == len(hits)


def add(hits: Sequence[Hit], moment: float, now: datetime, gate_limit: int | None = None) -> tuple[dict[str, list[Moment]], bool]:
    """What is remembered of the keys then, and whether one of them may be new. With `gate_limit` the first hit is a gate: the others are
    added, and in the answer, only where it has at most so many then."""
    with connections[settings().DATABASE].cursor() as cursor:
        adapt = cursor.db.ops.adapt_datetimefield_value
        new = [
            {"key": hit.key, "hits": [[moment, ""]] * min(hit.times, hit.limit), "expires_at": str(adapt(now + hit.window))}
            for hit in sorted(hits)
        ]
        kept = {hit.key: [moment - hit.window.total_seconds(), hit.limit] for hit in hits}
        statement = ADD if gate_limit is None else ADD_GATED
        parameters = {"new": json.dumps(new), "kept": json.dumps(kept), "gate": hits[0].key, "limit": gate_limit}
        cursor.execute(statement[cursor.db.vendor], parameters)
        found = {key: _moments(value) for key, value in cursor.fetchall()}
    return found, any(len(found[hit.key]) <= hit.times for hit in hits if hit.key in found)


def take_back(hits: Sequence[Hit], moment: float) -> None:
    """One happening at the moment did not count. Where there was a gate it is the first here too: rows are locked in one order."""
    keys = json.dumps([hit.key for hit in hits])
    with connections[settings().DATABASE].cursor() as cursor:
        cursor.execute(REMOVE[cursor.db.vendor], {"moment": moment, "keys": keys})


def _moments(stored: Any) -> list[Moment]:
    return [(moment, member) for moment, member in (json.loads(stored) if isinstance(stored, str) else stored)]
