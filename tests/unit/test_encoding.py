"""An event as JSON and back, and what JSON is not."""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils.translation import gettext_lazy
from hypothesis import given

from events.encoding import decode, encode
from events.exceptions import InvalidEvent
from events.types import EventCategory, EventPriority, UnifiedEvent
from tests.unit.test_types import events

LIMIT = 65_536


def body_of(data: Any = None, **fields: Any) -> dict[str, Any]:
    body, _ = encode(UnifiedEvent(EventCategory.REALTIME, "a.b", data=data or {}, **fields), LIMIT, keep_private=False)
    return json.loads(body)


def refused(data: Any = None, limit: int = LIMIT, **fields: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        encode(UnifiedEvent(EventCategory.REALTIME, "a.b", data=data or {}, **fields), limit, keep_private=False)
    return caught.value


def holds_nul(value: Any) -> bool:
    return "\\u0000" in json.dumps(value)


@given(events.filter(lambda e: not holds_nul([e.data, e.metadata])))
def test_decode_gives_back_what_encode_took(event: UnifiedEvent) -> None:
    assert decode(*encode(event, 10**6, keep_private=True)) == event
    assert decode(*encode(event, 10**6, keep_private=False)) == event


@given(events.filter(lambda e: not holds_nul([e.data, e.metadata])))
def test_any_json_parser_reads_the_body(event: UnifiedEvent) -> None:
    body, _ = encode(event, 10**6, keep_private=True)
    expected = event.to_dict()
    expected["type"] = expected.pop("event_type")
    assert json.loads(body) == expected


def test_the_body_has_the_keys_of_the_wire_in_their_order() -> None:
    assert list(body_of()) == [
        "id", "type", "category", "priority", "data", "metadata", "user_id", "session_id", "correlation_id",
        "source_system", "timestamp",
    ]  # fmt: skip


def test_the_body_is_one_line() -> None:
    body, _ = encode(UnifiedEvent(EventCategory.REALTIME, "a.b", data={"text": "a\nb\r\n\u2028"}), LIMIT, keep_private=False)
    assert "\n" not in body
    assert "\r" not in body


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "wrap",
    [lambda n: n, lambda n: [n], lambda n: (1, {"deep": [n]}), lambda n: {"x": {"y": n}, "z": None}],
    ids=["bare", "list", "tuple", "dictionaries"],
)
@pytest.mark.parametrize("field", ["data", "metadata"])
def test_nan_and_infinity_are_refused_however_deep(number: float, wrap: Any, field: str) -> None:
    error = refused(**{field: {"value": wrap(number)}})
    assert error.field == field
    assert "NaN" in error.reason


def test_null_is_fine() -> None:
    assert body_of({"value": None, "text": "null"})["data"] == {"value": None, "text": "null"}


@pytest.mark.parametrize("data", [{"k": "a\0b"}, {"k\0": 1}, {"k": [{"deep": "\0"}]}, {"k": ("\0",)}])
@pytest.mark.parametrize("field", ["data", "metadata"])
def test_nul_is_refused_because_databases_cannot_store_it(data: dict, field: str) -> None:
    error = refused(**{field: data})
    assert error.field == field
    assert "NUL" in error.reason


def test_text_that_only_looks_like_an_escaped_nul_is_fine() -> None:
    assert body_of({"k": "\\u0000"})["data"] == {"k": "\\u0000"}


NO_JSON = {
    "a lone surrogate": "\ud800",
    "a lone surrogate as a key": {"\udfff": 1},
    "a set": {1, 2},
    "a frozenset": frozenset(),
    "an object": object(),
    "bytes": b"bytes",
    "an integer over 64 bits": 2**64,
    "a negative integer over 64 bits": -(2**63) - 1,
    "a complex number": 1j,
    "a duration": timedelta(1),
    "an integer as a key": {1: "integer key"},
    "none as a key": {None: 1},
    "a function": lambda: None,
    "an exception": Exception("x"),
    "a range": range(3),
    "an iterator": iter([]),
}


@pytest.mark.parametrize("value", list(NO_JSON.values()), ids=list(NO_JSON))
@pytest.mark.parametrize("field", ["data", "metadata"])
def test_what_has_no_json_form_is_refused_and_the_field_is_named(value: Any, field: str) -> None:
    error = refused(**{field: {"value": value}})
    assert error.field == field
    assert "JSON" in error.reason


def test_data_that_holds_itself_is_refused() -> None:
    data: dict[str, Any] = {}
    data["self"] = data
    assert refused(data).field == "data"


def test_data_that_is_nested_too_deeply_is_refused() -> None:
    data: dict[str, Any] = {}
    for _ in range(5_000):
        data = {"d": data}
    assert refused(data).field == "data"


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, -(2**63), 2**53 + 1])
def test_integers_of_64_bits_keep_every_digit(number: int) -> None:
    event = UnifiedEvent(EventCategory.REALTIME, "a.b", data={"n": number})
    assert decode(*encode(event, LIMIT, keep_private=False)).data == {"n": number}


def test_dates_uuids_decimals_enums_and_lazy_texts_are_written_as_text() -> None:
    key = uuid.uuid4()
    data = {
        "at": datetime(2026, 1, 31, 12, tzinfo=UTC), "day": date(2026, 1, 31), "key": key, "price": Decimal("1.10"),
        "priority": EventPriority.HIGH, "label": gettext_lazy("Yes"),
    }  # fmt: skip
    assert body_of(data)["data"] == {
        "at": "2026-01-31T12:00:00+00:00", "day": "2026-01-31", "key": str(key), "price": "1.10",
        "priority": "high", "label": "Yes",
    }  # fmt: skip


def test_an_event_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    event = UnifiedEvent(EventCategory.REALTIME, "a.b", data={"text": "x" * 900})
    size = len(encode(event, LIMIT, keep_private=False)[0].encode())
    encode(event, size, keep_private=False)
    with pytest.raises(InvalidEvent) as caught:
        encode(event, size - 1, keep_private=False)
    assert caught.value.field == "data"
    assert str(size) in caught.value.reason


def test_the_limit_counts_bytes_and_names_what_is_large() -> None:
    assert refused({"text": "ä" * 600}, limit=1_024).field == "data"
    assert refused(metadata={"text": "x" * 1_024}, limit=1_024).field == "metadata"


PRIVATE = {"ip_address": "192.0.2.1", "user_agent": "Browser/1.0"}


def test_private_metadata_stays_out_of_the_body_unless_it_is_for_staff() -> None:
    event = UnifiedEvent(EventCategory.REALTIME, "a.b", metadata={"open": 1, **PRIVATE})
    body, private = encode(event, LIMIT, keep_private=False)
    assert json.loads(body)["metadata"] == {"open": 1}
    assert json.loads(private) == PRIVATE
    assert decode(body, private) == event

    body, private = encode(event, LIMIT, keep_private=True)
    assert json.loads(body)["metadata"] == event.metadata
    assert private == ""


@pytest.mark.parametrize("value", ["a\0b", math.nan, object()])
def test_what_cannot_be_stored_is_found_in_metadata_for_staff_only_too(value: Any) -> None:
    assert refused(metadata={"user_agent": value}).field == "metadata"
