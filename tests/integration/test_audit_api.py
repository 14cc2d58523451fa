"""The audit log over HTTP, and the command that exports it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory
from django.utils.dateparse import parse_datetime

from audit.models import AuditEntry
from audit.reading.formats import FORMATS
from audit.reading.streaming import export_response
from tests.support.auditing import account, entry, readings

pytestmark = pytest.mark.django_db

API = "/api/audit/"


@pytest.fixture
def client() -> Client:
    return account("auditor", "view_auditentry", "export_auditentry")


def types(client: Client, query: str = "") -> list[str]:
    response = client.get(f"{API}?{query}")
    assert response.status_code == 200, response.content
    return [item["event_type"] for item in response.json()["results"]]


def test_an_entry_has_all_its_columns(client: Client) -> None:
    made = entry(changes={"a": [1, 2]}, ip_address="203.0.113.9", data={"b": None})
    (item,) = client.get(API).json()["results"]
    assert item == client.get(f"{API}{made.pk}/").json()
    assert (item["id"], item["changes"], item["data"], item["ip_address"]) == (made.pk, {"a": [1, 2]}, {"b": None}, "203.0.113.9")
    assert parse_datetime(item["timestamp"]) == made.timestamp


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["c.c", "b.b", "a.a"]),
        ("category=security", ["a.a"]),
        ("action=share", ["b.b"]),
        ("outcome=denied", ["c.c"]),
        ("priority=high", ["a.a"]),
        ("actor=alice", ["b.b"]),
        ("user_id=7", ["a.a"]),
        ("resource_type=shop.order&resource_id=1", ["c.c"]),
        ("correlation=c-1", ["c.c", "b.b"]),
        ("address=203.0.113.9", ["a.a"]),
        ("since=2026-01-31T12:02:00Z", ["c.c", "b.b"]),
        ("until=2026-01-31T12:02:00Z", ["a.a"]),
        ("correlation=c-1&outcome=denied", ["c.c"]),
        ("action=never", []),
    ],
)
def test_the_list_is_filtered(client: Client, query: str, expected: list[str]) -> None:
    entry(1, event_type="a.a", source_category="security", priority="high", user_id="7", ip_address="203.0.113.9")
    entry(2, event_type="b.b", action="share", actor_label="alice", correlation_id="c-1")
    entry(3, event_type="c.c", outcome="denied", correlation_id="c-1", resource_type="shop.order", resource_id="1")
    assert types(client, query) == expected


def test_pages_follow_one_another_by_their_links(client: Client) -> None:
    for number in range(5):
        entry(number, event_type=f"n.e{number}", action="share")
    first = client.get(f"{API}?action=share&page_size=2").json()
    second = client.get(first["next"]).json()
    assert [item["event_type"] for item in second["results"]] == ["n.e2", "n.e1"]
    assert first["previous"] is None
    assert client.get(second["previous"]).json()["results"] == first["results"]
    assert client.get(second["next"]).json()["next"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("cursor=abc", "cursor"),
        ("cursor=before-1.a", "cursor"),
        ("cursor=after-1.99999999999999999999", "cursor"),
        ("page_size=0", "page_size"),
        ("page_size=501", "page_size"),
        ("category=nonsense", "category"),
        ("address=abc", "address"),
        ("since=yesterday", "since"),
        ("action=a%00", "action"),
        ("nonsense=1", "nonsense"),
        ("action=a&action=b", "action"),
    ],
)
def test_what_can_not_be_read_is_told_by_name(client: Client, query: str, field: str) -> None:
    response = client.get(f"{API}?{query}")
    assert (response.status_code, response.json()["field"]) == (400, field)
    assert client.get(f"{API}export/?as=csv&{query}").status_code == 400


def test_an_entry_that_is_not_there_is_404(client: Client) -> None:
    assert client.get(f"{API}999/").status_code == 404
    for address in ("99999999999999999999", "9" * 5_000, "-1", "abc", "%00"):
        assert client.get(f"{API}{address}/").status_code == 404


@pytest.mark.parametrize(
    ("form", "media_type"), [("jsonl", "application/x-ndjson"), ("csv", "text/csv"), ("ocsf", "application/x-ndjson")]
)
def test_an_export_is_streamed_in_its_format(client: Client, form: str, media_type: str) -> None:
    entry(action="share"), entry(action="delete")
    response = client.get(f"{API}export/?as={form}&action=share")
    assert response.streaming
    assert response["Content-Type"].startswith(media_type)
    assert len(b"".join(response).splitlines()) == {"jsonl": 3, "csv": 2, "ocsf": 1}[form]


@pytest.mark.parametrize("accept", ["text/csv", "application/x-ndjson", "application/json", "text/html", "*/*"])
def test_an_export_comes_whatever_its_client_says_to_accept(client: Client, accept: str) -> None:
    for form, media_type in (("csv", "text/csv; charset=utf-8"), ("jsonl", "application/x-ndjson")):
        response = client.get(f"{API}export/?as={form}", headers={"accept": accept})
        assert (response.status_code, response["Content-Type"]) == (200, media_type)
    refused = client.get(f"{API}export/?as=xml", headers={"accept": accept})
    assert (refused.status_code, refused.json()["field"]) == (400, "as")


@pytest.mark.parametrize("address", [f"{API}export/?as=csv", "/admin/audit/auditentry/export/?as=csv"])
def test_asking_for_the_head_of_an_export_is_none(client: Client, address: str) -> None:
    entry()
    response = client.head(address)
    assert (response.status_code, readings()) == (200, [])
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"].endswith('.csv"')


def test_the_head_of_an_export_holds_nothing_of_the_log() -> None:
    """Asked of the view's own answer: Django's client empties it."""
    response = export_response(RequestFactory().head("/"), FORMATS["csv"], AuditEntry.objects.all(), {})
    assert response is not None
    assert b"".join(response) == b""


def test_an_export_that_can_not_be_recorded_is_refused(client: Client, settings: Any) -> None:
    settings.EVENTS = {"UNIFIED_EVENTS_ENABLED": False}
    response = client.get(f"{API}export/?as=csv")
    assert (response.status_code, response.json()["error"], response["Retry-After"]) == (503, "unavailable", "1")


def test_the_description_is_true(client: Client) -> None:
    made = entry()
    accept = {"accept": "application/vnd.oai.openapi+json"}
    described = client.get("/api/schema/", headers=accept).json()
    columns = described["components"]["schemas"]["AuditItem"]
    item = client.get(f"{API}{made.pk}/").json()
    assert columns["properties"].keys() == item.keys() == set(columns["required"])
    nullable = {name for name, column in columns["properties"].items() if column.get("nullable")}
    assert nullable == {name for name in item if AuditEntry._meta.get_field(name).null}
    refused = {path: set(described["paths"][path]["get"]["responses"]) - {"200"} for path in described["paths"] if API in path}
    assert refused == {
        API: {"400", "401", "403", "406"},
        f"{API}{{entry_id}}/": {"401", "403", "404", "406"},
        f"{API}export/": {"400", "401", "403", "503"},
    }
    for address in (API, f"{API}{made.pk}/"):
        assert client.get(address, headers={"accept": "text/csv"}).status_code == 406


def test_an_export_must_say_its_format(client: Client) -> None:
    assert client.get(f"{API}export/").json()["field"] == "as"


def test_reading_over_the_api_is_recorded(client: Client) -> None:
    made = entry()
    for address in ("", "?action=share", f"{made.pk}/", "export/?as=csv&action=share"):
        client.get(API + address)
    assert [(kind, data.get("asked"), data.get("resource_id")) for kind, data in readings()] == [
        ("viewed", {}, None),
        ("searched", {"action": "share"}, None),
        ("viewed", None, str(made.pk)),
        ("exported", {"action": "share"}, None),
    ]


# The command


def exported(path: Path, **options: Any) -> list[str]:
    call_command("export_audit", path, **options)
    return path.read_text().splitlines()


def test_the_command_writes_what_is_selected_and_records_it(tmp_path: Path) -> None:
    entry(1, action="share", actor_label="=alice"), entry(2)
    path = tmp_path / "log.jsonl"
    _, line, end = exported(path, action="share")
    assert json.loads(line)["row"]["actor_label"] == "=alice"
    assert json.loads(end) == {"end": {"seals": 0, "rows": 1}}
    what = {"format": "jsonl", "asked": {"action": "share"}, "file": "log.jsonl"}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (before, asked), (after, written) = readings()
    assert (before, what.items() <= asked.items(), "sha256" in asked) == ("exported", True, False)
    assert (after, (what | {"rows": 1, "sha256": digest}).items() <= written.items()) == ("export_written", True)
    assert "'=alice" in exported(tmp_path / "log.csv", action="share", format="csv")[1]


def test_the_command_writes_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    entry(1)
    call_command("export_audit")
    out = capfdbinary.readouterr().out
    assert [next(iter(json.loads(line))) for line in out.splitlines()][:2] == ["audit_export", "row"]
    assert readings()[-1][1]["sha256"] == hashlib.sha256(out).hexdigest()


@pytest.mark.parametrize("options", [{"since": "never"}, {"since": "1h", "until": "2h"}, {"address": "abc"}], ids=str)
def test_the_command_says_which_option_is_wrong(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(CommandError, match=next(reversed(options))):
        exported(tmp_path / "log.jsonl", **options)


def test_the_command_overwrites_no_file(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("kept")
    with pytest.raises(CommandError, match="exists"):
        exported(path)
    assert path.read_text() == "kept"
    assert not AuditEntry.objects.exists()


def test_the_command_exports_nothing_that_can_not_be_recorded(tmp_path: Path, settings: Any) -> None:
    entry()
    settings.EVENTS = {"UNIFIED_EVENTS_ENABLED": False}
    with pytest.raises(CommandError, match="unrecorded"):
        exported(tmp_path / "log.jsonl")
    assert (tmp_path / "log.jsonl").read_bytes() == b""
