"""Exports: what a line holds in each format, and that an export of any length takes the same memory. Their seals: test_audit_export."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from typing import Any

import pytest

from audit.evidence.rows import COLUMNS, PAGE
from audit.models import AuditEntry
from audit.reading.export import Export
from audit.reading.formats import FIELDS, FORMATS, defused, encoded
from tests.support.auditing import START, entry, seal

pytestmark = pytest.mark.django_db


def exported(form: str) -> list[str]:
    return b"".join(encoded(FORMATS[form], Export())).decode().splitlines()


def exported_rows() -> list[dict[str, Any]]:
    return [record["row"] for record in map(json.loads, exported("jsonl")) if "row" in record]


def test_a_json_line_holds_all_columns_as_they_are() -> None:
    made = entry(changes={"name": ["old", None]}, data={"größe": [1, 2.5, None]}, correlation_id="c-1", ip_address="203.0.113.9")
    (row,) = exported_rows()
    assert list(row) == list(COLUMNS)
    assert row["id"] == made.pk
    assert row["timestamp"] == "2026-01-31T12:00:00.000000Z"
    assert (row["changes"], row["data"], row["metadata"]) == ({"name": ["old", None]}, {"größe": [1, 2.5, None]}, {})
    assert (row["correlation_id"], row["ip_address"], row["user_id"]) == ("c-1", "203.0.113.9", None)


def test_lines_come_in_the_order_of_recording() -> None:
    entry(2), entry(1)
    assert [row["timestamp"][11:16] for row in exported_rows()] == ["12:02", "12:01"]


def test_csv_has_a_header_and_a_line_for_each_entry_whatever_is_in_it() -> None:
    made = entry(actor_label='a "quoted", name\nof two lines', changes={"a": [1, 2]})
    header, line = csv.reader(io.StringIO("\r\n".join(exported("csv"))))
    cells = dict(zip(header, line, strict=True))
    assert header == [*FIELDS, "seal", "digest"]
    assert (cells["id"], cells["timestamp"], cells["user_id"]) == (str(made.pk), "2026-01-31T12:00:00.000000Z", "")
    assert cells["actor_label"].splitlines() == ['a "quoted", name', "of two lines"]
    assert json.loads(cells["changes"]) == {"a": [1, 2]}


@pytest.mark.parametrize("text", ["a;=1+1;b", "a\t=1+1", "a|=1+1"])
def test_a_cell_stays_one_whatever_a_spreadsheet_takes_for_a_separator(text: str) -> None:
    entry(actor_label=text)
    header, line = exported("csv")
    assert f',"{text}",' in line
    assert [cell[0] + cell[-1] for cell in [header, line]] == ['""', '""']
    assert "personal_salt" not in header


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", " =1", "\n \t\u00a0@A1"])
def test_what_a_spreadsheet_would_compute_begins_with_an_apostrophe(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize("value", [None, "", "a=1", " a", 7])
def test_other_values_stay_as_they_are(value: Any) -> None:
    assert defused(value) is value


@pytest.mark.parametrize(
    ("fields", "class_uid", "activity_id", "status_id", "severity_id"),
    [
        ({"event_type": "auth.login_failure", "action": "login_failure", "outcome": "failure"}, 3002, 1, 2, 1),
        ({"event_type": "auth.logout", "action": "logout"}, 3002, 2, 1, 1),
        ({"action": "created", "resource_type": "shop.order", "resource_id": "7"}, 3004, 1, 1, 1),
        ({"action": "updated", "resource_type": "shop.order", "resource_id": "7", "priority": "high"}, 3004, 3, 1, 4),
        ({"action": "deleted", "resource_type": "shop.order", "resource_id": "7", "priority": "critical"}, 3004, 4, 1, 5),
        ({"action": "share", "resource_type": "shop.order", "resource_id": "7", "outcome": "denied"}, 3004, 99, 2, 1),
        ({"event_type": "report.run", "action": "run", "outcome": "unknown"}, 6003, 99, 0, 1),
    ],
)
def test_an_entry_is_an_ocsf_event_of_its_class(
    fields: dict[str, Any], class_uid: int, activity_id: int, status_id: int, severity_id: int
) -> None:
    made = entry(actor_label="alice", user_id="2", correlation_id="c-1", changes={"a": [1, 2]}, **fields)
    (event,) = map(json.loads, exported("ocsf"))
    assert (event["class_uid"], event["activity_id"], event["type_uid"]) == (
        class_uid,
        activity_id,
        class_uid * 100 + activity_id,
    )
    assert (event["category_uid"], event["status_id"], event["severity_id"]) == (class_uid // 1000, status_id, severity_id)
    assert event["time"] == START.timestamp() * 1000
    assert (event["metadata"]["uid"], event["metadata"]["correlation_uid"]) == (made.event_id, "c-1")
    assert event["actor"]["user"] == {"name": "alice", "uid": "2"}
    assert event["unmapped"]["changes"] == {"a": [1, 2]}
    assert {3002: "user", 3004: "entity", 6003: "api"}[class_uid] in event


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("is_selection", [False, True])
def test_a_long_export_takes_as_much_memory_as_a_short_one(form: str, is_selection: bool) -> None:
    export = Export(AuditEntry.objects.filter(action="delete") if is_selection else None)

    def peak(count: int) -> int:
        sample = entry(data={"text": "x" * 1_000})
        sample.pk = None
        AuditEntry.objects.bulk_create([AuditEntry(**{n: getattr(sample, n) for n in FIELDS if n != "id"}) for _ in range(count)])
        seal()
        tracemalloc.start()
        for _ in encoded(FORMATS[form], export):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    short = peak(2 * PAGE)
    assert peak(8 * PAGE) < 1.5 * short
