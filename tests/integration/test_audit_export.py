"""Every export verifies offline, whoever makes it and whatever it selects; and whatever is changed in one afterwards is found."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import AsyncClient, Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.conf import seal_keys
from audit.evidence import erasure, log, retention, rows
from audit.evidence.archive import BadExport
from audit.evidence.canonical import CURRENT_FORMAT, dumps, loads, row_digest
from audit.evidence.keys import Ed25519Key, parse_key, verifying_text
from audit.evidence.verifier import Verifier
from audit.evidence.verify import verify_export
from audit.models import AuditEntry
from audit.reading.export import Export
from audit.reading.formats import FORMATS, encoded
from audit.reading.streaming import _asynchronous
from events.types import utcnow
from tests.support.auditing import account, execute, found, seal, tamper, unprotected, write, write_old
from tests.support.paths import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

YEAR_AGO = timedelta(days=365)
PRIVATE = "auditor:ed25519:" + "11" * 32
SQLITE = pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's columns hold nothing of another kind")


def exported(form: str = "jsonl", export: Export | None = None) -> list[str]:
    return lines_of(b"".join(encoded(FORMATS[form], export or Export())))


def lines_of(export: bytes) -> list[str]:
    # Not those of a text, which a U+2028 ends too.
    return [line.decode() for line in export.splitlines()]


def verified(lines: list[str]) -> Verifier:
    return verify_export(lines, seal_keys())


def findings(lines: list[str]) -> list[tuple[str, int, int]]:
    return [finding[:3] for finding in verified(lines).findings]


def of(user_id: str) -> Export:
    return Export(AuditEntry.objects.filter(user_id=user_id))


def write_sealed(settings: Any) -> list[int]:
    """Five seals of two rows, the first and the last of a user 42; one row that has no seal yet, of theirs too."""
    settings.AUDIT = settings.AUDIT | {"SEAL_MAX_ROWS": 2}
    ids = [*write(2, user_id="42"), *write(6), *write(2, user_id="42")]
    seal()
    return [*ids, *write(1, user_id="42")]


# Offline


def offline(*arguments: str) -> subprocess.CompletedProcess[str]:
    # What it needs must be this package and cryptography: neither Django nor orjson, no settings, no database.
    hidden = "import sys, runpy; sys.modules['django'] = sys.modules['orjson'] = None"
    code = f"{hidden}; runpy.run_module('audit.evidence.verify', run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, env={}, capture_output=True, text=True, check=False)


def test_an_export_verifies_offline_with_the_public_key_alone(settings: Any, tmp_path: Path) -> None:
    settings.AUDIT = settings.AUDIT | {"SEAL_KEYS": [PRIVATE], "ANCHOR_FILE": str(tmp_path / "anchors")}
    write_old(utcnow() - 2 * YEAR_AGO, 2, metadata={"source_category": "security"})
    write(3, user_id="42")
    seal()
    write(2)
    seal()
    erasure.erase("42", "x")
    retention.prune(utcnow() - YEAR_AGO, tmp_path, "x", "security")
    path = tmp_path / "log.jsonl"
    call_command("export_audit", path)
    key = parse_key(PRIVATE)
    assert isinstance(key, Ed25519Key)
    public = ["--key", verifying_text(key), "--anchors", str(tmp_path / "anchors")]
    good = offline(str(path), *public)
    assert good.stdout.startswith("OK: 5 rows in seals 1 to 2, 2 removed, 3 erased, 3 not sealed yet, up to row "), good
    assert good.returncode == 0
    (tmp_path / "changed.jsonl").write_text(path.read_text().replace("Größe", "Grösse", 1))
    bad = offline(str(tmp_path / "changed.jsonl"), *public)
    assert (bad.returncode, "row changed" in bad.stdout) == (1, True), bad
    assert offline(str(path), "--key", "auditor:ed25519-public:" + "22" * 32).returncode == 1
    assert offline(str(tmp_path / "nowhere"), *public).returncode == 2
    with pytest.raises(CommandError, match="exists"):
        call_command("export_audit", path)


def by_the_command(tmp_path: Path, filtered: bool) -> bytes:
    path = tmp_path / "log.jsonl"
    call_command("export_audit", path, **({"user_id": "42"} if filtered else {}))
    return path.read_bytes()


def by_the_api(tmp_path: Path, filtered: bool) -> bytes:
    return download("/api/audit/export/?as=jsonl" + ("&user_id=42" if filtered else ""))


def by_the_admin(tmp_path: Path, filtered: bool) -> bytes:
    return download("/admin/audit/auditentry/export/?as=jsonl" + ("&q=42" if filtered else ""))


def download(address: str) -> bytes:
    client = Client()
    client.force_login(User.objects.get(username="auditor"))
    return b"".join(client.get(address))


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("export", [by_the_command, by_the_api, by_the_admin])
def test_whoever_exports_it_verifies(
    export: Callable[[Path, bool], bytes], filtered: bool, settings: Any, tmp_path: Path
) -> None:
    account("auditor", "view_auditentry", "export_auditentry")
    ids = write_sealed(settings)
    lines = lines_of(export(tmp_path, filtered))
    assert json.loads(lines[0])["audit_export"]["complete"] is not filtered
    verifier = verified(lines)
    assert verifier.findings == []
    assert (verifier.rows, verifier.seals) == ((4 if filtered else 10), 5)
    wanted = [*ids[:2], *ids[8:]] if filtered else ids
    assert [row["id"] for row in rows_in(lines)][: len(wanted)] == wanted
    seals = [seal["rows"] != "" for seal in records(lines, "seal")]
    assert seals == ([True, False, False, False, True] if filtered else [True] * 5)


async def test_an_export_is_streamed_where_an_event_loop_runs(settings: Any) -> None:
    await sync_to_async(account)("auditor", superuser=True)
    await sync_to_async(write_sealed)(settings)
    client = AsyncClient()
    await client.aforce_login(await User.objects.aget(username="auditor"))
    response = await client.get("/api/audit/export/?as=jsonl&user_id=42")
    assert response.is_async
    lines = lines_of(b"".join([chunk async for chunk in response]))
    assert await sync_to_async(findings)(lines) == []


async def test_a_stream_that_nobody_reads_on_lets_its_cursor_go_where_it_was_opened() -> None:
    def reading() -> Iterator[bytes]:
        threads.append(threading.get_ident())
        try:
            yield b"1"
            yield b"2"
        finally:
            threads.append(threading.get_ident())

    threads: list[int] = []
    async with ThreadSensitiveContext():
        async with aclosing(_asynchronous(reading())) as stream:
            assert await anext(stream) == b"1"
        assert len(threads) == 2
    assert threads[0] == threads[1] != threading.get_ident()


def records(lines: list[str], kind: str) -> Iterator[dict[str, Any]]:
    return (record[kind] for record in map(json.loads, lines) if kind in record)


def rows_in(lines: list[str]) -> Iterator[dict[str, Any]]:
    return records(lines, "row")


def test_some_seals_are_exported_and_verify(settings: Any) -> None:
    ids = write_sealed(settings)
    lines = exported(export=Export(first=2, last=3))
    assert [row["id"] for row in rows_in(lines)] == ids[2:6]
    assert (findings(lines), verified(lines).seals) == ([], 2)
    assert [row["id"] for row in rows_in(exported(export=Export(first=5)))] == ids[8:]
    assert [row["id"] for row in rows_in(exported(export=Export(AuditEntry.objects.filter(user_id="42"), 2)))] == ids[8:]


def test_what_is_sealed_while_it_is_exported_is_not_taken_for_deleted(settings: Any) -> None:
    write_sealed(settings)
    pieces = Export().pieces()
    first = next(pieces)
    write(3)
    seal()
    assert [piece.seal.number if piece.seal else None for piece in (first, *pieces)] == [1, 2, 3, 4, 5, None]


def test_a_selection_tells_of_no_erasure_but_its_rows(settings: Any) -> None:
    settings.AUDIT = settings.AUDIT | {"SEAL_MAX_ROWS": 10}
    mine = write(2, user_id="42") + write(1, user_id="43")
    seal()
    erasure.erase("42", "x")
    erasure.erase("43", "x")
    lines = exported(export=Export(AuditEntry.objects.filter(id__in=mine[:2])))
    assert [record["row_id"] for record in records(lines, "erasure")] == mine[:2]
    assert (findings(lines), verified(lines).erased) == ([], 2)


# What is changed in an export


CUTS = {
    "a row": lambda lines: lines.pop(1),
    "a row twice": lambda lines: lines.insert(1, lines[1]),
    "the last line": lambda lines: lines.pop(),
    "the half": lambda lines: lines.__delitem__(slice(len(lines) // 2, None)),
    "a seal": lambda lines: lines.remove(next(line for line in lines if line.startswith('{"seal"'))),
    "after the end": lambda lines: lines.append(lines[1]),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("is_selection", [False, True])
def test_an_export_that_is_not_whole_is_no_good_one(cut: str, is_selection: bool, settings: Any) -> None:
    write_sealed(settings)
    lines = exported(export=of("42") if is_selection else None)
    CUTS[cut](lines)
    with pytest.raises(BadExport):
        verified(lines)


def changed(lines: list[str], number: int, change: Callable[[dict[str, Any]], Any]) -> list[str]:
    record = json.loads(lines[number])
    ((_, values),) = record.items()
    change(values)
    return [*lines[:number], json.dumps(record), *lines[number + 1 :]]


@pytest.mark.parametrize("is_selection", [False, True])
def test_each_line_of_a_sealed_part_is_compared(is_selection: bool, settings: Any) -> None:
    write_sealed(settings)
    lines = exported(export=of("42") if is_selection else None)
    kinds = [next(iter(json.loads(line))) for line in lines]
    upto = len(kinds) - kinds[::-1].index("seal")
    for number, kind in enumerate(kinds[:upto]):
        if kind == "row":
            for name in rows.COLUMNS:
                if name != "id":
                    tampered = changed(lines, number, lambda row, name=name: row.update({name: "forged"}))
                    assert [found[0] for found in findings(tampered)] == ["row changed"], name
            assert findings(changed(lines, number, lambda row: row.update(note="added")))
            assert findings(changed(lines, number, lambda row: row.update(id=10**9)))
        elif kind == "seal":
            values = json.loads(lines[number])["seal"]
            for name, value in values.items():
                other = value + 1 if isinstance(value, int) else value[:-1] + ("1" if value.endswith("0") else "0")
                tampered = changed(lines, number, lambda seal, name=name, other=other: seal.update({name: other}))
                assert findings(tampered), name


def test_a_selection_that_calls_itself_complete_is_none(settings: Any) -> None:
    ids = write_sealed(settings)
    lines = changed(exported(export=of("42")), 0, lambda header: header.update(complete=True))
    assert {(kind, first) for kind, first, _ in findings(lines)} == {("seal changed", ids[n]) for n in (2, 4, 6)}


def test_a_seal_must_tell_of_its_rows_where_there_are_some(settings: Any) -> None:
    ids = write_sealed(settings)
    complete, selection = exported(), exported(export=of("42"))
    first = next(n for n, line in enumerate(selection) if line.startswith('{"seal"'))
    stripped = changed(selection, first, lambda seal: seal.update(rows=""))
    assert findings(stripped) == [("seal changed", 1, ids[1])]
    # Nor may a complete export leave them out, with or without the rows.
    number = next(n for n, line in enumerate(complete) if line.startswith('{"seal"'))
    assert findings(changed(complete, number, lambda seal: seal.update(rows=""))) == [("seal changed", 1, ids[1])]


@pytest.mark.parametrize("place", ["among what is not sealed yet", "in the part of another seal", "before all"])
def test_a_forged_row_finds_no_place_in_a_selection(place: str, settings: Any) -> None:
    ids = write_sealed(settings)
    lines = exported(export=of("42"))
    forged = json.loads(lines[1])
    forged["row"] |= {"id": ids[4], "outcome": "denied"}
    at = {"among what is not sealed yet": len(lines) - 1, "in the part of another seal": len(lines) - 3, "before all": 1}[place]
    lines.insert(at, json.dumps(forged))
    lines = changed(lines, len(lines) - 1, lambda end: end.update(rows=end["rows"] + 1))
    assert ("row inserted", ids[4], ids[4]) in findings(lines)


def test_rows_beside_the_seals_are_exported_and_named(settings: Any) -> None:
    ids = write_sealed(settings)
    tamper("UPDATE audit_log SET id = -5 WHERE id = %s", ids[0])
    tamper("DELETE FROM audit_seal WHERE number = 3")
    lines = exported()
    assert sorted(row["id"] for row in rows_in(lines)) == sorted([-5, *ids[1:]])
    assert findings(lines) == [
        ("row deleted", ids[0], ids[0]), ("row inserted", -5, -5), ("seal dropped", ids[4], ids[5])
    ]  # fmt: skip
    assert found() == findings(lines)


# Seal and digest in CSV and OCSF


def test_csv_and_ocsf_have_the_seal_of_each_row_and_its_digest(settings: Any) -> None:
    ids = write_sealed(settings)
    known = {row.id: (made.number, row.digest) for made in log.seals() for row in made.sealed_rows()}
    assert set(known) == set(ids[:-1])
    cells = list(csv.DictReader(io.StringIO("\r\n".join(exported("csv")))))
    assert {int(row["id"]): (int(row["seal"]), row["digest"]) for row in cells if row["seal"]} == known
    assert [(int(row["id"]), row["digest"]) for row in cells if not row["seal"]] == [(ids[-1], "")]
    events = [(event["metadata"]["sequence"], event["unmapped"]) for event in map(json.loads, exported("ocsf"))]
    assert {row_id: (more["seal"], more["digest"]) for row_id, more in events if "seal" in more} == known
    assert [row_id for row_id, more in events if "digest" not in more] == [ids[-1]]


def test_a_row_that_no_seal_knows_has_none(settings: Any) -> None:
    ids = write_sealed(settings)
    tamper("UPDATE audit_log SET id = -5 WHERE id = %s", ids[0])
    tamper("UPDATE audit_seal SET rows = 'xyz' WHERE number = 2")
    cells = list(csv.DictReader(io.StringIO("\r\n".join(exported("csv")))))
    assert [int(row["id"]) for row in cells if not row["seal"]] == [-5, ids[2], ids[3], ids[-1]]


# Whatever the database holds


@pytest.mark.parametrize("count", [10**9, pytest.param("many", marks=SQLITE)])
def test_a_seal_with_another_count_is_named_and_exported(count: object, settings: Any) -> None:
    write_sealed(settings)
    tamper("UPDATE audit_seal SET count = %s WHERE number = 2", count)
    assert {kind for kind, _, _ in found()} == {"signature wrong", "seal re-made", "seal changed"}
    assert [seal["count"] for seal in records(exported(), "seal")] == [2, count, 2, 2, 2]


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=12).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["1E+5", "-0.0", "1e-30", "1e300", "0.10", "1.0", "9007199254740993", "1" * 300]),
)
JSON_TEXTS = st.recursive(
    NUMBERS | TEXTS.map(json.dumps) | st.sampled_from(["null", "true", '"\\u00fc\\/"', '"\\ud83d\\ude00"']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[ " + ",\n".join(items) + "]"),
        st.dictionaries(TEXTS, inner, max_size=3).map(
            lambda items: "{" + " , ".join(f"{json.dumps(name)}:{value}" for name, value in items.items()) + "}"
        ),
    ),
    max_leaves=6,
)


@given(text=JSON_TEXTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_digest_of_an_exported_row_is_that_of_the_database(text: str) -> None:
    with unprotected():
        execute("DELETE FROM audit_log")
        write(1)
        execute("UPDATE audit_log SET data = %s", text)
    (stored,) = rows.read(log.LOWEST_ID)
    _, line, _ = exported()
    assert row_digest(loads(line)["row"], CURRENT_FORMAT) == row_digest(stored, CURRENT_FORMAT)
    assert dumps(loads(line)["row"]["data"]) == dumps(loads(text))
    assert json.loads(exported("ocsf")[0])["unmapped"].get("data") is not None or json.loads(text) is None


HOSTILE = {
    "a key twice": '{"a":1,"a":2}',
    "a long number": "1" * 5_000,
    "a long fraction": "0." + "1" * 500,
    "deeply nested": "[" * 800 + "]" * 800,
    "half a character": '"\\ud800"',
    "no JSON": '{"a":',
    "no number": "[NaN]",
    "bytes": b'{"a":1}',
    "two lines": '{"a":\n1,\r"b":2}',
}


@SQLITE
@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("column", ["data", "changes"])
def test_whatever_somebody_put_into_a_row_its_export_can_be_read_and_names_it(hostile: str, column: str) -> None:
    first, second, third = write(3)
    seal()
    with unprotected():
        execute("PRAGMA ignore_check_constraints = ON")
        execute(f"UPDATE audit_log SET {column} = %s WHERE id = %s", HOSTILE[hostile], second)
        execute("PRAGMA ignore_check_constraints = OFF")
    assert found() == [("row changed", second, second)]
    lines = exported()
    assert findings(lines) == [("row changed", second, second)]
    assert [row["id"] for row in rows_in(lines)] == [first, second, third]
    assert len(exported("csv")) >= 4
    assert len(list(map(json.loads, exported("ocsf")))) == 3


@pytest.mark.parametrize("hostile", ["a long number", "a long fraction", "deeply nested"])
def test_a_value_that_has_no_canonical_form_is_exported_as_text(hostile: str) -> None:
    (row_id,) = write()
    seal()
    tamper("UPDATE audit_log SET data = %s WHERE id = %s", HOSTILE[hostile], row_id)
    lines = exported()
    (row,) = rows_in(lines)
    assert (row["data"], row["malformed"]) == (HOSTILE[hostile], ["data"])
    assert findings(lines) == found() == [("row changed", row_id, row_id)]


@SQLITE
def test_a_text_that_is_no_utf_8_is_exported_and_named() -> None:
    first, second = write(2)
    seal()
    tamper("UPDATE audit_log SET actor_label = CAST(x'61ff' AS TEXT), data = CAST(x'22ff22' AS TEXT) WHERE id = %s", first)
    lines = exported()
    row, other = rows_in(lines)
    assert (row["actor_label"], row["data"], row["malformed"]) == ("b'a\\xff'", "b'\"\\xff\"'", ["actor_label", "data"])
    assert "malformed" not in other
    assert findings(lines) == found() == [("row changed", first, first)]
    assert AuditEntry.objects.get(id=second).actor_label == "7", "the connection is as it was"


@SQLITE
def test_a_column_of_another_kind_is_exported_and_named() -> None:
    (row_id,) = write()
    seal()
    tamper("UPDATE audit_log SET actor_label = x'00ff', timestamp = 5 WHERE id = %s", row_id)
    lines = exported()
    (row,) = rows_in(lines)
    assert (row["actor_label"], row["timestamp"]) == ("b'\\x00\\xff'", "5")
    assert row["malformed"] == ["timestamp", "actor_label"]
    assert findings(lines) == [("row changed", row_id, row_id)]
    assert found() == [("row changed", row_id, row_id), ("moment unreadable", row_id, row_id)]
    assert json.loads(exported("ocsf")[0])["time"] is None
