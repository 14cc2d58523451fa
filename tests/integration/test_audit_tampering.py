"""Whatever is changed in a sealed log is named: the row, the range, the seal or the key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.conf import seal_keys
from audit.evidence import log, rows
from audit.evidence.anchors import Anchor, read_anchors
from audit.evidence.keys import parse_key
from audit.evidence.sealer import _store
from audit.evidence.seals import Seal, make_seal
from audit.models import AuditEntry, AuditSeal
from tests.support.auditing import execute, found, seal, tamper, unprotected, verify, write

pytestmark = pytest.mark.django_db(transaction=True)

OTHER_KEY = parse_key("other:hmac-sha256:" + "ab" * 32)


def test_a_changed_byte_a_deleted_and_an_inserted_row_are_named() -> None:
    first, second, third = write(3)
    seal()
    tamper("UPDATE audit_log SET outcome = 'successs' WHERE id = %s", second)
    assert found() == [("row changed", second, second)]
    tamper("UPDATE audit_log SET id = id + 100 WHERE id = %s", third)
    assert found() == [("row deleted", third, third), ("row changed", second, second)]
    assert verify().unsealed == 1
    tamper("DELETE FROM audit_log WHERE id > %s", first)
    assert found() == [("row deleted", second, third)]


def test_an_inserted_row_is_named() -> None:
    write(4)
    seal()
    third = sorted(AuditEntry.objects.values_list("id", flat=True))[2]
    with unprotected():
        entry = AuditEntry.objects.get(id=third)
        execute("UPDATE audit_log SET id = -5 WHERE id = %s", third)
        entry.id = third
        entry.event_type = "model.created"
        entry.save(force_insert=True)
    assert found() == [("row inserted", -5, -5), ("row changed", third, third)]


def test_a_row_that_was_slipped_into_a_gap_is_named() -> None:
    with transaction.atomic():
        write()
        transaction.set_rollback(True)
    (row_id,) = write()
    seal()
    if connection.vendor == "postgresql":  # SQLite gives the id again
        entry = AuditEntry.objects.get(id=row_id)
        entry.id = row_id - 1
        entry.save(force_insert=True)
        assert found() == [("row inserted", row_id - 1, row_id - 1)]


def test_rows_that_changed_places_are_named_both() -> None:
    first, second, third = write(3)
    seal()
    with unprotected():
        for before, after in ((first, 1000), (third, first), (1000, third)):
            execute("UPDATE audit_log SET id = %s WHERE id = %s", after, before)
    assert found() == [("rows reordered", first, first), ("rows reordered", third, third)]
    assert f"row {first} holds what was sealed as row {third}" in verify().findings[0].message
    assert second


def test_a_dropped_tail_is_found_by_the_anchors(settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    anchors = tmp_path / "anchors"
    settings.AUDIT = settings.AUDIT | {"ANCHOR_FILE": str(anchors), "ANCHOR_LOGGER": "audit.anchor"}
    caplog.set_level("INFO", "audit.anchor")
    write(2)
    seal()
    (last,) = write()
    seal()
    noted = read_anchors(anchors.read_text().splitlines())
    assert [json.loads(record.message)["number"] for record in caplog.records if record.name == "audit.anchor"] == [1, 2]
    assert found(noted) == []
    with unprotected():
        execute("DELETE FROM audit_log WHERE id = %s", last)
        execute("DELETE FROM audit_seal WHERE number = 2")
    assert found() == [], "the database alone does not know"
    assert found(noted) == [("tail dropped", last, last)]
    write(2)
    seal()
    assert [kind for kind, _, _ in found(noted)] == ["seal re-made"]
    assert read_anchors([*anchors.read_text().splitlines(), '{"number": 3, "dig'])[2] == noted[2], (
        "the first that was noted counts"
    )


def test_a_dropped_seal_a_changed_seal_and_one_of_another_key_are_named(settings: Any) -> None:
    settings.AUDIT = settings.AUDIT | {"SEAL_MAX_ROWS": 1}
    first, second, third = write(3)
    seal()
    kept = AuditSeal.objects.values().get(number=2)
    tamper("DELETE FROM audit_seal WHERE number = 2")
    assert found() == [("seal dropped", second, second)]
    one = Seal(**AuditSeal.objects.values(*Seal.columns()).get(number=1))
    forged = make_seal(list(rows.read(second, second)), second, one, OTHER_KEY)
    AuditSeal.objects.bulk_create([AuditSeal(**{name: getattr(forged, name) for name in Seal.columns()})])
    assert found() == [("key unknown", second, second), ("seal re-made", second, second)]
    tamper("UPDATE audit_seal SET key_id = %s WHERE number = 2", seal_keys()[0].id)
    assert ("signature wrong", second, second) in found()
    tamper("DELETE FROM audit_seal WHERE number = 2")
    AuditSeal.objects.bulk_create([AuditSeal(**kept)])
    assert found() == []
    tamper("UPDATE audit_seal SET rows = replace(rows, 'a', 'b') WHERE number = 3")
    assert found() == [("seal changed", third, third)]
    assert first


def test_the_wrong_key_verifies_nothing(settings: Any) -> None:
    write()
    seal()
    settings.AUDIT, settings.SECRET_KEY = settings.AUDIT | {"SEAL_KEYS": ["mine:hmac-sha256:" + "00" * 32]}, "another"
    assert [kind for kind, _, _ in found()] == ["key unknown"]
    settings.AUDIT = settings.AUDIT | {"SEAL_KEYS": [f"{next(iter(log.seals())).key_id}:hmac-sha256:" + "00" * 32]}
    assert [kind for kind, _, _ in found()] == ["signature wrong"]


def test_an_old_secret_key_still_verifies(settings: Any) -> None:
    write()
    seal()
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "a new one"
    write()
    seal()
    assert len({made.key_id for made in log.seals()}) == 2
    assert found() == []


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=10)
COLUMNS = st.sampled_from(
    ["event_id", "event_type", "action", "outcome", "priority", "user_id", "actor_label", "resource_id", "user_agent"]
)
TAMPERINGS = st.one_of(
    st.tuples(st.just("change"), st.integers(0, 11), COLUMNS, TEXT),
    st.tuples(st.just("json"), st.integers(0, 11), st.sampled_from(["data", "metadata"]), TEXT),
    st.tuples(st.just("delete"), st.integers(0, 11)),
    st.tuples(st.just("insert"), st.integers(0, 11)),
    st.tuples(st.just("reorder"), st.integers(0, 11), st.integers(0, 11)),
    st.tuples(st.just("truncate"), st.integers(0, 11)),
    st.tuples(st.just("re-seal"), st.integers(1, 3)),
)


@given(tampering=TAMPERINGS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_tampered_with_is_found_where_it_is(tampering: tuple[Any, ...]) -> None:
    with unprotected():
        for table in ("audit_log", "audit_seal", "audit_sealer"):
            execute(f"DELETE FROM {table}")
    if connection.vendor == "sqlite":
        execute("DELETE FROM sqlite_sequence WHERE name = 'audit_log'")
    ids = write(12)
    previous, keep = None, []
    for start in (0, 4, 8):
        made = make_seal(list(rows.read(ids[start], ids[start + 3])), ids[start + 3], previous, seal_keys()[0], first_id=ids[0])
        assert _store(made)
        keep.append(made)
        previous = made
    anchors = {made.number: Anchor.of(made) for made in keep}
    assert found(anchors) == []
    expected = apply(tampering, ids, keep)
    located = {row_id for _, first, last in found(anchors) for row_id in range(first, last + 1)}
    assert located == expected


def apply(tampering: tuple[Any, ...], ids: list[int], seals: list[Seal]) -> set[int]:
    """Do it, as who may do everything. The rows that it is about."""
    kind, at, *more = tampering
    row_id = ids[at] if kind != "re-seal" else 0
    if kind == "change":
        column, text = more
        before = AuditEntry.objects.values_list(column, flat=True).get(id=row_id)
        tamper(f"UPDATE audit_log SET {column} = %s WHERE id = %s", text, row_id)
        return {row_id} if text != before else set()
    if kind == "json":
        column, text = more
        tamper(f"UPDATE audit_log SET {column} = %s WHERE id = %s", json.dumps({"x": text}), row_id)
        return {row_id}
    if kind == "delete":
        tamper("DELETE FROM audit_log WHERE id = %s", row_id)
        return {row_id}
    if kind == "insert":
        with unprotected():
            entry = AuditEntry.objects.get(id=row_id)
            entry.delete()
            entry.id, entry.event_id = row_id, "forged"
            entry.save(force_insert=True)
        return {row_id}
    if kind == "reorder":
        (other,) = (ids[n] for n in more)
        if other == row_id:
            return set()
        with unprotected():
            for before, after in ((row_id, -1), (other, row_id), (-1, other)):
                execute("UPDATE audit_log SET id = %s WHERE id = %s", after, before)
        return {row_id, other}
    if kind == "truncate":
        with unprotected():
            execute("DELETE FROM audit_log WHERE id >= %s", row_id)
            execute("DELETE FROM audit_seal WHERE last_id >= %s", row_id)
        left = [made for made in seals if made.last_id < row_id]
        first = left[-1].last_id + 1 if left else 1
        waiting = [one for one in ids if first <= one < row_id]
        return set(range(first, max(waiting, default=first) + 1))
    changed = seals[at - 1]
    tamper("UPDATE audit_log SET outcome = 'denied' WHERE id = %s", changed.last_id)
    again = make_seal(
        list(rows.read(changed.first_id, changed.last_id)),
        changed.last_id,
        seals[at - 2] if at > 1 else None,
        seal_keys()[0],
        ids[0],
    )
    tamper("DELETE FROM audit_seal WHERE number = %s", at)
    assert _store(again)
    return set(range(changed.first_id, changed.last_id + 1))
