"""Counters in Redis: a key a key, which expires. While Redis is away the database counts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import redis

from events.stats import stats
from events.types import utcnow
from security.detection import Count, Counters, Hit

logger = logging.getLogger("security.counters")

TIMEOUT: Final = 1.0
# So long nobody asks a Redis that did not answer: each question may cost TIMEOUT.
PAUSE: Final = 5.0

# What security.counters.windows does. Of Redis's own formats MessagePack keeps a double as it is.
COUNT: Final = """
local at, rows, hits, answer = tonumber(ARGV[1]), {}, {}, {}
for place, key in ipairs(KEYS) do
    local stored = redis.call('GET', key)
    rows[place] = {key = key, moments = stored and cmsgpack.unpack(stored) or {}, window = 0, limit = 0}
end
for n = 2, #ARGV, 5 do  -- the key's place, window, limit, member, how many: 0 to look only
    local hit = {row = rows[tonumber(ARGV[n])], window = tonumber(ARGV[n + 1]), limit = tonumber(ARGV[n + 2])}
    local row, member, times = hit.row, ARGV[n + 3], tonumber(ARGV[n + 4])
    hits[#hits + 1] = hit
    if times > 0 then
        local place = #row.moments + 1
        while place > 1 and row.moments[place - 1][1] > at do place = place - 1 end
        for more = 0, math.min(times, hit.limit) - 1 do table.insert(row.moments, place + more, {at, member}) end
        row.window, row.limit = math.max(row.window, hit.window), math.max(row.limit, hit.limit)
    end
end
local function newest(moments, window, limit)
    local kept, seen, members, number, first, start = {}, {}, 0, 0, nil, at - window
    if #moments > 0 then start = math.max(at, moments[#moments][1]) - window end
    for place = #moments, 1, -1 do
        local moment = moments[place]
        if moment[1] <= start then break end
        local new = not seen[moment[2]] and members < limit
        if number < limit or new then kept[#kept + 1] = moment end
        if new then seen[moment[2]] = true; members = members + 1 end
        if number < limit then number = number + 1; first = moment[1] end
    end
    for place = 1, math.floor(#kept / 2) do kept[place], kept[#kept + 1 - place] = kept[#kept + 1 - place], kept[place] end
    return kept, number, members, first
end
for _, row in ipairs(rows) do
    if row.limit > 0 then
        row.moments = newest(row.moments, row.window, row.limit)
        local left = redis.call('PTTL', row.key)
        redis.call('SET', row.key, cmsgpack.pack(row.moments), 'PX', math.max(left, math.ceil(row.window * 1000)))
    end
end
for place, hit in ipairs(hits) do
    local name = hit.window .. '/' .. hit.limit
    if not hit.row[name] then
        local kept, number, members, first = newest(hit.row.moments, hit.window, hit.limit)
        hit.row[name] = number == 0 and {0, 0, '', ''}
            or {number, members, string.format('%.6f', first), string.format('%.6f', kept[#kept][1])}
    end
    answer[place] = hit.row[name]
end
return answer
"""
TAKE_BACK: Final = """
local at = tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
    local stored = redis.call('GET', key)
    local moments = stored and cmsgpack.unpack(stored) or {}
    for place, moment in ipairs(moments) do
        if moment[1] == at and moment[2] == ARGV[i + 1] then
            table.remove(moments, place)
            redis.call('SET', key, cmsgpack.pack(moments), 'KEEPTTL')
            break
        end
    end
end
"""

Result = TypeVar("Result")


class RedisCounters:
    """One script for all hits of a call (`security.detection.Counters`). `fallback` counts while Redis does not answer."""

    def __init__(self, url: str, prefix: str, fallback: Counters) -> None:
        client = redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        self._client, self._fallback = client, fallback
        self._count, self._take_back = client.register_script(COUNT), client.register_script(TAKE_BACK)
        self._prefix = f"{{{prefix}}}:"  # in braces: a cluster keeps them in one place
        self._away_until: float | None = None

    def count(self, hits: Sequence[Hit], at: datetime) -> list[Count]:
        """See `Counters.count`."""
        if not hits:
            return []
        places = {key: place for place, key in enumerate(dict.fromkeys(hit.key for hit in hits), 1)}
        parts: list[Any] = [part for hit in hits for part in (places[hit.key], *_parts(hit))]

        def ask() -> list[Count]:
            answer = self._count(keys=self._keys(places), args=[_seconds(at), *parts])
            return [Count(number, members, _datetime(first), _datetime(last)) for number, members, first, last in answer]

        return self._ask(ask, lambda: self._fallback.count(hits, at))

    def take_back(self, hits: Sequence[Hit], at: datetime) -> None:
        """See `Counters.take_back`."""
        counted = [hit for hit in hits if not hit.only_look]
        if counted:
            args = [_seconds(at), *(hit.member for hit in counted)]
            keys = self._keys(hit.key for hit in counted)
            self._ask(lambda: self._take_back(keys=keys, args=args), lambda: self._fallback.take_back(counted, at))

    def forget(self, keys: Sequence[str]) -> None:
        """See `Counters.forget`. What was counted while Redis was away goes as well."""
        self._fallback.forget(keys)
        if keys:
            self._ask(lambda: self._client.delete(*self._keys(keys)), lambda: None)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _keys(self, keys: Any) -> list[str]:
        return [self._prefix + key for key in keys]

    def _ask(self, redis_does: Callable[[], Result], database_does: Callable[[], Result]) -> Result:
        if self._away_until is None or time.monotonic() >= self._away_until:
            try:
                result = redis_does()
            except redis.RedisError as error:
                self._is_away(error)
            else:
                self._is_back()
                return result
        return database_does()

    def _is_away(self, error: redis.RedisError) -> None:
        stats.count("counter_errors")
        if self._away_until is None:
            logger.error("Redis does not count, so the database does until it is back: %s", error)
        self._away_until = time.monotonic() + PAUSE

    def _is_back(self) -> None:
        if self._away_until is not None:
            logger.warning("Redis counts again")
            self._away_until = None


def _parts(hit: Hit) -> tuple[str, int, str, int]:
    return repr(hit.window.total_seconds()), hit.limit, hit.member, 0 if hit.only_look else hit.times


def _seconds(at: datetime) -> str:
    return repr(min(at, utcnow()).timestamp())


def _datetime(seconds: bytes) -> datetime | None:
    return datetime.fromtimestamp(float(seconds), UTC) if seconds else None
