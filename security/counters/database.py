"""Counters in the database. Each call is one statement, which locks the rows of its keys in their order: two can't wait for each other."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connections

from events.conf import settings
from events.types import utcnow
from security.detection import Count, Hit
from security.models import Counter

# Longer than any window: a row in which nothing was counted since then holds nothing.
KEPT: Final = timedelta(days=1)
CLEANED_AT_ONCE: Final = 1_000
CLEANED_EVERY: Final = 60.0  # seconds, in each process

# One row a key; the hits that were there and the new ones, as far as they are in the window, the newest up to the limit.
ADD: Final = {
    "sqlite": """
        INSERT INTO security_counter (key, hits, counted_at)
        SELECT value->>'key', value->'hits', %s FROM json_each(%s) WHERE true
        ON CONFLICT (key) DO UPDATE SET counted_at = excluded.counted_at, hits = (
            SELECT json_group_array(json(hit)) FROM (
                SELECT hit, row_number() OVER (ORDER BY hit->>0 DESC) AS rank FROM (
                    SELECT value AS hit FROM json_each(security_counter.hits) UNION ALL SELECT value FROM json_each(excluded.hits)
                ) WHERE hit->>0 > (SELECT value->>0 FROM json_each(%s) WHERE json_each.key = excluded.key)
            ) WHERE rank <= (SELECT value->>1 FROM json_each(%s) WHERE json_each.key = excluded.key))
        RETURNING key, hits""",
    "postgresql": """
        INSERT INTO security_counter (key, hits, counted_at)
        SELECT value->>'key', value->'hits', %s FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS new (value, place) ORDER BY place
        ON CONFLICT (key) DO UPDATE SET counted_at = excluded.counted_at, hits = (
            SELECT coalesce(jsonb_agg(hit), '[]') FROM (
                SELECT hit, row_number() OVER (ORDER BY (hit->>0)::float8 DESC) AS rank
                FROM jsonb_array_elements(security_counter.hits || excluded.hits) AS hit
                WHERE (hit->>0)::float8 > (%s::jsonb->excluded.key->>0)::float8
            ) AS kept WHERE rank <= (%s::jsonb->excluded.key->>1)::int)
        RETURNING key, hits""",
}
# Of the hits of that moment and member, one goes.
REMOVE: Final = {
    "sqlite": """
        UPDATE security_counter SET hits = (
            SELECT json_group_array(json(value)) FROM json_each(security_counter.hits) AS hit WHERE hit.key IS NOT (
                SELECT max(own.key) FROM json_each(security_counter.hits) AS own
                WHERE own.value->>0 = %s AND own.value->>1 = (SELECT value FROM json_each(%s) WHERE json_each.key = security_counter.key)))
        WHERE key IN (SELECT key FROM json_each(%s))""",
    "postgresql": """
        WITH locked AS (
            SELECT key FROM security_counter WHERE key IN (SELECT jsonb_object_keys(%s::jsonb)) ORDER BY key FOR UPDATE)
        UPDATE security_counter SET hits = hits - coalesce((
            SELECT max(place)::int - 1 FROM jsonb_array_elements(hits) WITH ORDINALITY AS own (hit, place)
            WHERE (hit->>0)::float8 = %s AND hit->>1 = %s::jsonb->>security_counter.key), jsonb_array_length(hits))
        FROM locked WHERE security_counter.key = locked.key""",
}


class DatabaseCounters:
    """`security.detection.Counters` on the journal's database."""

    def __init__(self) -> None:
        self._cleaned_at = 0.0

    def count(self, hits: Sequence[Hit], at: datetime, times: int = 1) -> list[Count]:
        """See the protocol. One statement; one more where some are only looked at."""
        moment = min(at, utcnow()).timestamp()
        new = sorted((hit for hit in hits if not hit.only_look), key=lambda hit: hit.key)
        found = self._add(new, moment, times) if new else {}
        if looked_at := [hit.key for hit in hits if hit.only_look]:
            rows = Counter.objects.using(settings().DATABASE).filter(key__in=looked_at)
            found |= dict(rows.values_list("key", "hits"))
        return [_count(hit, found.get(hit.key, []), moment) for hit in hits]

    def take_back(self, hits: Sequence[Hit], at: datetime) -> None:
        """See the protocol. One statement."""
        moment, members = at.timestamp(), json.dumps({hit.key: hit.member for hit in hits})
        with connections[settings().DATABASE].cursor() as cursor:
            sqlite = cursor.db.vendor == "sqlite"
            cursor.execute(REMOVE[cursor.db.vendor], [moment, members, members] if sqlite else [members, moment, members])

    def forget(self, keys: Sequence[str]) -> None:
        """See the protocol."""
        Counter.objects.using(settings().DATABASE).filter(key__in=keys).delete()

    def _add(self, hits: Sequence[Hit], moment: float, times: int) -> dict[str, list[Any]]:
        new = [{"key": hit.key, "hits": [[moment, hit.member]] * min(times, hit.limit)} for hit in hits]
        kept = json.dumps({hit.key: [moment - hit.window.total_seconds(), hit.limit] for hit in hits})
        with connections[settings().DATABASE].cursor() as cursor:
            now = cursor.db.ops.adapt_datetimefield_value(utcnow())
            cursor.execute(ADD[cursor.db.vendor], [now, json.dumps(new), kept, kept])
            found = {key: json.loads(value) if isinstance(value, str) else value for key, value in cursor.fetchall()}
        if any(len(found[hit.key]) <= times for hit in hits):  # only then does the table grow
            self._clean()
        return found

    def _clean(self) -> None:
        if time.monotonic() - self._cleaned_at > CLEANED_EVERY:
            self._cleaned_at = time.monotonic()
            forget_before(utcnow() - KEPT)


def forget_before(moment: datetime) -> None:
    """Delete rows in which nothing was counted since then, some at a time."""
    rows = Counter.objects.using(settings().DATABASE)
    stale = rows.filter(counted_at__lt=moment).order_by("counted_at").values_list("key", flat=True)[:CLEANED_AT_ONCE]
    if keys := list(stale):
        rows.filter(key__in=keys, counted_at__lt=moment).delete()


def _count(hit: Hit, hits: Sequence[Any], moment: float) -> Count:
    since = moment - hit.window.total_seconds()
    recent = sorted((found for found in hits if found[0] > since), key=lambda found: found[0])[-hit.limit :]
    return Count(len(recent), len({member for _, member in recent}))
