"""What an auditor is told of an export: which part of the log it is, what the anchors show of it, and what was cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from audit.evidence import erasure, retention, rows
from audit.evidence.keys import parse_key, verifying_text
from audit.evidence.seals import Removal, moment
from audit.evidence.verify import main
from audit.models import AuditRemoval
from events.types import utcnow
from tests.support.auditing import execute, seal, tamper, unprotected, write

pytestmark = pytest.mark.django_db(transaction=True)

PRIVATE = "2026:ed25519:" + "11" * 32
KEY = verifying_text(parse_key(PRIVATE))
HOUR = timedelta(hours=1)


@pytest.fixture
def anchors(settings: Any, tmp_path: Path) -> Path:
    """The file of the anchors of five seals of two rows each."""
    path = tmp_path / "anchors"
    settings.AUDIT = settings.AUDIT | {
        "SEAL_KEYS": [PRIVATE], "SEAL_MAX_ROWS": 2, "ANCHOR_FILE": str(path), "RECORD_READING": False
    }  # fmt: skip
    write(10)
    seal()
    return path


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Verify a file: the exit status, and what is said."""

    def verify(path: Path, *arguments: object) -> tuple[int, str]:
        status = main([str(path), "--key", KEY, *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out + said.err

    return verify


Told = Callable[..., tuple[int, str]]


def export(tmp_path: Path, **options: Any) -> Path:
    path = tmp_path / "log.jsonl"
    path.unlink(missing_ok=True)
    call_command("export_audit", path, **options, stderr=StringIO())
    return path


def change(path: Path, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], **header: Any) -> Path:
    """Edit the lines between the first and the last, and make those two fit."""
    first, *lines, _ = map(json.loads, path.read_bytes().splitlines())
    first["audit_export"] |= header
    lines = edit(lines)
    counts = {kind: sum(kind[:-1] in line for line in lines) for kind in ("seals", "rows")}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in (first, *lines, {"end": counts})))
    return path


def after_seal(number: int, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    at = next(n for n, line in enumerate(lines) if line.get("seal", {}).get("number") == number)
    return lines[at + 1 :]


def upto_seal(number: int, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return lines[: len(lines) - len(after_seal(number, lines))]


# Which part of the log it is


def test_the_whole_log_is_told_with_its_anchors(anchors: Path, told: Told, tmp_path: Path) -> None:
    path = export(tmp_path)
    status, said = told(path, "--anchors", anchors)
    assert (status, said.startswith("OK: 10 rows in seals 1 to 5, up to row ")) == (0, True), said
    assert said.endswith(", 5 anchors, up to seal 5\n")
    assert told(path)[1].endswith(", no anchors\n")


def test_a_log_that_went_on_after_its_export_is_sound(anchors: Path, told: Told, tmp_path: Path) -> None:
    path = export(tmp_path)
    write(3)
    seal()
    status, said = told(path, "--anchors", anchors)
    assert (status, said.endswith("7 anchors, up to seal 7, the log has gone on to seal 7 since\n")) == (0, True), said


@pytest.mark.parametrize(
    ("asked", "is_told"),
    [
        ({"to_seal": 3}, "a part of the log: 6 rows in seals 1 to 3 of 5,"),
        ({"from_seal": 2, "to_seal": 3}, "a part of the log: 4 rows in seals 2 to 3 of 5,"),
        ({"from_seal": 4}, "a part of the log: 4 rows in seals 4 to 5,"),
        ({"from_seal": 9}, "a part of the log: 0 rows in no seal,"),
        ({"from_seal": 2, "user_id": "7"}, "a selection, a part of the log: 8 rows in seals 2 to 5,"),
    ],
)
def test_a_part_of_the_log_verifies_and_is_called_so(
    anchors: Path, told: Told, tmp_path: Path, asked: dict[str, Any], is_told: str
) -> None:
    status, said = told(export(tmp_path, **asked), "--anchors", anchors)
    assert (status, said.startswith(f"OK: {is_told}")) == (0, True), said


def test_an_archive_of_retention_verifies_with_the_anchors(anchors: Path, told: Told, tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    retention.prune(utcnow() + HOUR, tmp_path / "archives", "x")
    write(2)
    seal()
    (archive,) = (tmp_path / "archives").iterdir()
    status, said = told(archive, "--anchors", anchors)
    assert (status, "10 rows in seals 1 to 5," in said) == (0, True), said


# What was cut off


def test_a_log_whose_head_was_cut_off_is_not_whole(anchors: Path, told: Told, tmp_path: Path) -> None:
    path = change(export(tmp_path), lambda lines: after_seal(2, lines))
    status, said = told(path, "--anchors", anchors)
    assert (status, "seal dropped: it begins with seal 3, not with seal 1" in said) == (1, True), said
    assert told(path, "--from-seal", 3)[0] == 0
    # That it says so of itself is told, and not what was asked for.
    path = change(path, lambda lines: lines, from_seal=3)
    status, said = told(path, "--anchors", anchors)
    assert (status, said.startswith("OK: a part of the log: 6 rows in seals 3 to 5,")) == (0, True), said
    assert told(path, "--from-seal", 1)[0] == 1


def test_the_first_seal_of_a_part_follows_on_the_one_that_was_anchored(anchors: Path, told: Told, tmp_path: Path) -> None:
    path = export(tmp_path, from_seal=3)
    lines = anchors.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"digest": "0" * 64})
    anchors.write_text("\n".join(lines))
    assert "seal 3 was made after another seal 2 than the one that was anchored" in told(path, "--anchors", anchors)[1]


@pytest.mark.parametrize("selection", [{}, {"user_id": "7"}])
def test_a_log_whose_tail_was_cut_off_is_not_whole(anchors: Path, told: Told, tmp_path: Path, selection: dict[str, Any]) -> None:
    path = change(export(tmp_path, **selection), lambda lines: upto_seal(3, lines))
    status, said = told(path)
    assert (status, "tail dropped: seals 4 to 5 are gone" in said) == (1, True), said
    # It calls itself a part: that is told.
    status, said = told(change(path, lambda lines: lines, to_seal=3), "--anchors", anchors)
    assert (status, "a part of the log: 6 rows in seals 1 to 3 of 5," in said) == (0, True), said


def test_an_export_that_hides_seals_which_were_anchored_before_it_is_found_out(anchors: Path, told: Told, tmp_path: Path) -> None:
    later = moment(utcnow() + HOUR)
    older = json.loads(anchors.read_text().splitlines()[2])
    path = change(export(tmp_path), lambda lines: upto_seal(3, lines), to_seal=3, newest=older, exported_at=later)
    status, said = told(path, "--anchors", anchors)
    assert (status, f"they were anchored before it was exported at {later}" in said) == (1, True), said
    # One that says it is older as well is what an older export would be: the auditor knows when it was asked for.
    earlier = moment(utcnow() - HOUR)
    status, said = told(change(path, lambda lines: lines, exported_at=earlier), "--anchors", anchors)
    assert (status, f"exported {earlier}, 5 anchors, up to seal 5, the log has gone on to seal 5 since" in said) == (0, True)


def test_a_part_of_a_log_that_was_made_anew_after_it_is_found_out(anchors: Path, told: Told, tmp_path: Path) -> None:
    path = export(tmp_path, to_seal=3)
    lines = anchors.read_text().splitlines()
    lines[4] = json.dumps(json.loads(lines[4]) | {"digest": "0" * 64})
    anchors.write_text("\n".join(lines))
    status, said = told(path, "--anchors", anchors)
    assert (status, "seal re-made: seal 5, which was the newest" in said) == (1, True), said


BAD_HEADERS: dict[str, dict[str, Any]] = {
    "no moment": {"exported_at": "2026-13-40T25:00:00.000000Z"},
    "a control character": {"exported_at": "\r2026-11-24T12:00:00.000000Z"},
    "a seal that is no number": {"from_seal": "1"},
    "no first seal": {"from_seal": 0},
    "an end before the begin": {"to_seal": -1},
    "no newest seal": {"newest": {"number": "5"}},
    "complete in words": {"complete": "yes"},
    "another key": {"note": ""},
}


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_a_header_that_says_what_can_not_be_is_none(anchors: Path, told: Told, tmp_path: Path, header: str) -> None:
    status, said = told(change(export(tmp_path), lambda lines: lines, **BAD_HEADERS[header]), "--anchors", anchors)
    assert (status, "line 1: " in said) == (2, True), said


# What is no anchor, and no export


@pytest.mark.parametrize("text", ["", "root:x:0:0:root:/root:/bin/bash\n", '{"number": "x", "digest": 5}\n[1]\n{"number": 3}\n'])
def test_a_file_without_anchors_is_not_taken_for_one(anchors: Path, told: Told, tmp_path: Path, text: str) -> None:
    path = export(tmp_path)
    anchors.write_text(text)
    assert told(path, "--anchors", anchors) == (2, f"{anchors} has no anchors\n")
    with pytest.raises(CommandError, match="no seal is anchored there") as refused:
        call_command("verify_audit")
    assert refused.value.returncode == 2


def test_anchors_of_a_log_have_something_before_them(anchors: Path, told: Told, tmp_path: Path) -> None:
    path = export(tmp_path)
    lines = anchors.read_text().splitlines()
    before = "Nov 25 23:00:00 web audit.anchor: "
    anchors.write_text("".join(f"{before}{line}\n" for line in ("started", *lines, "{")))
    assert told(path, "--anchors", anchors)[1].endswith("5 anchors, up to seal 5\n")
    assert verified() == "5 anchors, up to seal 5"
    wrong = [json.loads(line) | {"digest": "0" * 64} for line in lines]
    anchors.write_text("".join(f"{before}{json.dumps(line)}\n" for line in wrong))
    assert told(path, "--anchors", anchors)[1].count("seal re-made") == 6
    with pytest.raises(CommandError, match="5 findings"):
        verified()


def verified() -> str:
    """The anchors as `verify_audit` tells of them."""
    out = StringIO()
    call_command("verify_audit", stdout=out, no_color=True)
    return ", ".join(out.getvalue().strip().split(", ")[-2:])


def test_before_the_first_seal_there_are_no_anchors_yet(settings: Any, tmp_path: Path) -> None:
    settings.AUDIT = settings.AUDIT | {"ANCHOR_FILE": str(tmp_path / "anchors")}
    assert verified().endswith("no anchors")
    with pytest.raises(CommandError, match="nowhere: No such file or directory"):
        call_command("verify_audit", anchors=str(tmp_path / "nowhere"))
    seal()
    assert verified() == "1 anchors, up to seal 1"


def test_where_the_anchors_are_gone_it_is_said(anchors: Path, admin_client: Client) -> None:
    anchors.unlink()
    with pytest.raises(CommandError, match="no seal is anchored there"):
        call_command("verify_audit")
    answer = admin_client.post("/admin/audit/auditentry/integrity/")
    assert (answer.status_code, b"no seal is anchored there" in answer.content) == (503, True)


# Rows without a seal


def test_a_log_without_a_seal_shows_nothing(settings: Any, told: Told, tmp_path: Path) -> None:
    settings.AUDIT = settings.AUDIT | {"RECORD_READING": False}
    status, said = told(export(tmp_path))
    assert (status, said.startswith("OK: 0 rows in no seal,")) == (0, True), said
    write(3)
    status, said = told(export(tmp_path))
    assert (
        status,
        "not sealed: none of the 3 rows has a seal" in said,
        "FAILED: 0 rows in no seal, 3 not sealed yet" in said,
    ) == (1, True, True), said


def test_seals_that_were_all_taken_away_are_missed(anchors: Path, told: Told, tmp_path: Path) -> None:
    path = change(export(tmp_path), lambda lines: [line for line in lines if "row" in line])
    status, said = told(path, "--anchors", anchors)
    assert (status, "tail dropped: seals 1 to 5 are gone" in said, "not sealed: none of the 10" in said) == (1, True, True)


def test_an_id_twice_among_the_rows_that_are_not_sealed_is_found(anchors: Path, told: Told, tmp_path: Path) -> None:
    (row_id,) = write()
    path = export(tmp_path)
    assert told(path)[0] == 0
    status, said = told(change(path, lambda lines: [*lines, lines[-1]]))
    assert (status, f"row inserted: row {row_id}: among those" in said) == (1, True), said


# Records of another log


def test_a_removal_of_another_log_with_the_same_key_explains_nothing(anchors: Path, told: Told, tmp_path: Path) -> None:
    here = change(export(tmp_path), lambda lines: lines).rename(tmp_path / "here.jsonl")
    with unprotected():
        for table in ("audit_log", "audit_seal", "audit_sealer"):
            execute(f"DELETE FROM {table}")
    first = write(4)[0]
    # The rows have other ids by now, those of the removal are made to fit: what is compared is the seal.
    seal()
    (tmp_path / "archives").mkdir()
    retention.prune(utcnow() + HOUR, tmp_path / "archives", "x")
    removal = AuditRemoval.objects.get(seal=1)
    ours = json.loads(here.read_bytes().splitlines()[1])["row"]["id"]
    assert ours < first
    signed = Removal(**{name: getattr(removal, name) for name in Removal.columns()})
    replayed = replace(signed, first_id=ours, last_id=ours + 1, rows=f"{ours}-{ours + 1}").signed_by(parse_key(PRIVATE))
    change(here, lambda lines: [{"removal": asdict(replayed)}, *lines[2:]])
    status, said = told(here, "--anchors", anchors)
    assert (status, f"removal of another seal: the removal of rows {ours} to {ours + 1}" in said) == (1, True), said
    assert f"row deleted: rows {ours} to {ours + 1}" in said


# Whatever somebody put into an export


SPOOFS = {
    "a line over the finding": "x)\r\x1b[2K\x1b[1A\x1b[2KOK: 10 rows in seals 1 to 5",
    "half a character": "\ud800",
    "right to left": "\u202e5202",
    "another line": "\nOK: all is well",
}


@pytest.mark.parametrize("spoof", SPOOFS)
@pytest.mark.parametrize("field", ["sealed_at", "key_id"])
def test_what_an_export_says_moves_no_cursor(anchors: Path, told: Told, tmp_path: Path, spoof: str, field: str) -> None:
    path = export(tmp_path)
    change(path, lambda lines: [*lines[:-1], {"seal": lines[-1]["seal"] | {field: SPOOFS[spoof]}}])
    status, said = told(path)
    assert status == 1
    assert said.replace("\n", "").isprintable(), said
    assert said.isascii()
    assert [line for line in said.splitlines() if line.startswith("OK")] == []
    tamper(f"UPDATE audit_seal SET {field} = %s WHERE number = 5", SPOOFS[spoof].replace("\ud800", "\x1b")[:27])
    out = StringIO()
    with pytest.raises(CommandError) as failed:
        call_command("verify_audit", stdout=out, no_color=True)
    assert (out.getvalue() + str(failed.value)).replace("\n", "").isprintable()


def test_a_column_that_an_erased_row_lacks_is_missed(anchors: Path, told: Told, tmp_path: Path) -> None:
    write(2, user_id="42")
    seal()
    erasure.erase("42", "x")
    path = export(tmp_path)
    assert told(path)[0] == 0
    erased = [line["row"]["id"] for line in map(json.loads, path.read_bytes().splitlines()) if "row" in line][-2]
    for name in rows.COLUMNS:
        if name != "id":
            without = change(export(tmp_path), lambda lines, name=name: [lacking(line, erased, name) for line in lines])
            status, said = told(without)
            assert (status, f"row changed: row {erased}:" in said) == (1, True), (name, said)


def lacking(line: dict[str, Any], row_id: int, name: str) -> dict[str, Any]:
    if line.get("row", {}).get("id") == row_id:
        del line["row"][name]
    return line


NO_EXPORTS = {
    "text": b"hello\n",
    "no UTF-8": b"\xff\xfe\x00",
    "nothing": b"",
    "another JSON": b"[1]\n",
    "compressed": b"\x1f\x8b\x08\x00",
}


@pytest.mark.parametrize("content", NO_EXPORTS)
def test_what_is_no_export_can_not_be_verified(told: Told, tmp_path: Path, content: str) -> None:
    path = tmp_path / "no-export"
    path.write_bytes(NO_EXPORTS[content])
    status, said = told(path)
    assert (status, said.startswith(f"{path}: ")) == (2, True), said
