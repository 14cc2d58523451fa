"""Ids: random UUIDs (version 4, RFC 9562) as text, made in stocks.

`uuid.uuid4()` asks the operating system for each, and lets go of Python's one lock meanwhile: where many coroutines emit and a
thread writes, that was a quarter of all time.
"""

from __future__ import annotations

import os

STOCK = 256

_ids: list[str] = []
# A process that is forked must not give the ids that its parent gives.
os.register_at_fork(after_in_child=_ids.clear)


def new_id() -> str:
    """An id that nobody else has. For threads and event loops alike."""
    try:
        return _ids.pop()
    except IndexError:
        _ids.extend(_formatted(os.urandom(16 * STOCK).hex()))
        return new_id()


def _formatted(digits: str) -> list[str]:
    """Each 32 hexadecimal digits as a UUID; version and variant take the place of six bits."""
    parts = (digits[start : start + 32] for start in range(0, len(digits), 32))
    return [f"{d[:8]}-{d[8:12]}-4{d[13:16]}-{'89ab'[int(d[16], 16) & 3]}{d[17:20]}-{d[20:]}" for d in parts]
