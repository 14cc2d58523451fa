"""Counting in one statement, for hits without members, each of another key: what signing in waits for.

It locks the rows of its keys in their order, as `security.counters.database` does: two can't wait for each other.
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
ADD: Final = {
    "sqlite": """
        INSERT INTO security_counter (key, hits, expires_at)
        SELECT value->>'key', value->'hits', value->>'expires_at' FROM json_each(%s) WHERE true
        ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, hits = (
            SELECT json_group_array(json(hit)) FROM (
                SELECT hit FROM (
                    SELECT hit, row_number() OVER (ORDER BY hit->>0 DESC) AS rank FROM (
                        SELECT value AS hit FROM json_each(security_counter.hits) UNION ALL SELECT value FROM json_each(excluded.hits)
                    ) WHERE hit->>0 > (SELECT value->>0 FROM json_each(%s) WHERE json_each.key = excluded.key)
                ) WHERE rank <= (SELECT value->>1 FROM json_each(%s) WHERE json_each.key = excluded.key) ORDER BY hit->>0))
        RETURNING key, hits""",
    "postgresql": """
        INSERT INTO security_counter (key, hits, expires_at)
        SELECT value->>'key', value->'hits', (value->>'expires_at')::timestamptz
        FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS new (value, place) ORDER BY place
        ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, hits = (
            SELECT coalesce(jsonb_agg(hit ORDER BY (hit->>0)::float8), '[]') FROM (
                SELECT hit, row_number() OVER (ORDER BY (hit->>0)::float8 DESC) AS rank
                FROM jsonb_array_elements(security_counter.hits || excluded.hits) AS hit
                WHERE (hit->>0)::float8 > (%s::jsonb->excluded.key->>0)::float8
            ) AS kept WHERE rank <= (%s::jsonb->excluded.key->>1)::int)
        RETURNING key, hits""",
}
# Of the happenings of that moment, one goes.
REMOVE: Final = {
    "sqlite": """
        UPDATE security_counter SET hits = (
            SELECT json_group_array(json(value)) FROM (
                SELECT value FROM json_each(security_counter.hits) AS hit WHERE hit.key IS NOT (
                    SELECT max(own.key) FROM json_each(security_counter.hits) AS own WHERE own.value->>0 = %s AND own.value->>1 = '')))
        WHERE key IN (SELECT value FROM json_each(%s))""",
    "postgresql": """
        WITH locked AS (
            SELECT key FROM security_counter WHERE key IN (SELECT jsonb_array_elements_text(%s::jsonb)) ORDER BY key FOR UPDATE)
        UPDATE security_counter SET hits = hits - coalesce((
            SELECT max(place)::int - 1 FROM jsonb_array_elements(hits) WITH ORDINALITY AS own (hit, place)
            WHERE (hit->>0)::float8 = %s AND hit->>1 = ''), jsonb_array_length(hits))
        FROM locked WHERE security_counter.key = locked.key""",
}


def suits(hits: Sequence[Hit]) -> bool:
    """Whether these can be counted so."""
    return bool(hits) and not any(hit.member or hit.only_look for hit in hits) and len({hit.key for hit in hits}) == len(hits)


def add(hits: Sequence[Hit], moment: float, now: datetime, times: int) -> tuple[dict[str, list[Moment]], bool]:
    """What is remembered of the keys then, and whether one of them may be new."""
    with connections[settings().DATABASE].cursor() as cursor:
        adapt = cursor.db.ops.adapt_datetimefield_value
        new = [
            {"key": hit.key, "hits": [[moment, ""]] * min(times, hit.limit), "expires_at": str(adapt(now + hit.window))}
            for hit in sorted(hits)
        ]
        kept = json.dumps({hit.key: [moment - hit.window.total_seconds(), hit.limit] for hit in hits})
        cursor.execute(ADD[cursor.db.vendor], [json.dumps(new), kept, kept])
        found = {key: _moments(value) for key, value in cursor.fetchall()}
    return found, any(len(moments) <= times for moments in found.values())


def take_back(hits: Sequence[Hit], moment: float) -> None:
    """One happening at the moment did not count."""
    keys = json.dumps([hit.key for hit in hits])
    with connections[settings().DATABASE].cursor() as cursor:
        is_sqlite = cursor.db.vendor == "sqlite"
        cursor.execute(REMOVE[cursor.db.vendor], [moment, keys] if is_sqlite else [keys, moment])


def _moments(stored: Any) -> list[Moment]:
    return [(moment, member) for moment, member in (json.loads(stored) if isinstance(stored, str) else stored)]
