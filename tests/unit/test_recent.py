"""What a hub remembers of what it delivered."""

from __future__ import annotations

from events.batch import Published
from events.delivery.recent import MAX_BYTES, MAX_EVENTS, Recent


def published(*positions: int, size: int = 2) -> list[Published]:
    return [Published(position, "document.uploaded", "realtime", "normal", "all", "x" * size) for position in positions]


def after(recent: Recent, position: int, number: int = 10) -> list[int] | None:
    known = recent.after(position, number)
    return None if known is None else [event.position for event in known]


def test_what_was_delivered_after_a_position_is_known_page_by_page() -> None:
    recent = Recent()
    recent.add(published(5, 6))
    recent.add(published(7, 8))
    assert after(recent, 4) == [5, 6, 7, 8]
    assert after(recent, 5, 2) == [6, 7]
    assert after(recent, 8) == []


def test_what_was_before_is_not_known() -> None:
    recent = Recent()
    assert after(recent, 0) is None
    recent.add(published(5))
    assert after(recent, 3) is None


def test_nothing_is_known_twice_and_nothing_over_a_gap() -> None:
    recent = Recent()
    recent.add(published(5, 6))
    recent.add(published(6, 7))
    assert after(recent, 4) == [5, 6, 7]
    recent.add(published(9))
    assert after(recent, 7) is None
    assert after(recent, 8) == [9]


def test_the_oldest_are_forgotten() -> None:
    recent = Recent()
    recent.add(published(*range(1, MAX_EVENTS + 11)))
    assert after(recent, 9) is None
    assert after(recent, 10, 1) == [11]
    recent.add(published(MAX_EVENTS + 11, MAX_EVENTS + 12, size=MAX_BYTES // 2))
    assert after(recent, MAX_EVENTS + 9) is None
    assert after(recent, MAX_EVENTS + 10) == [MAX_EVENTS + 11, MAX_EVENTS + 12]
