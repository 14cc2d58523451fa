"""The canonical form is that of docs/audit-format.md, on every database, and no other value has it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.evidence.canonical import CURRENT_FORMAT, FORMATS, Malformed, dumps, loads, row_digest
from audit.evidence.keys import BadKey, Ed25519Key, main, parse_key, verifying_text
from audit.evidence.seals import runs
from audit.models import AuditEntry

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{ "b" : 1, "a": [true, null] }', '{"a":[true,null],"b":1}'),
        ("1.0", "1"),
        ("1e22", "10000000000000000000000"),
        ("1e-7", "0.0000001"),
        ("-0.0", "0"),
        ("0.10", "0.1"),
        ("9007199254740993", "9007199254740993"),
        ('"\\u0041\\u00fc\\n\\u0007/"', '"A\u00fc\\n\\u0007/"'),
        ('{"\\u00fc": 1, "z": 2}', '{"z":2,"\u00fc":1}'),
    ],
)
def test_the_form_of_a_value(text: str, form: str) -> None:
    assert dumps(loads(text)) == form


@given(JSON)
def test_the_form_is_json_of_the_same_value_and_of_itself(value: Any) -> None:
    form = dumps(value)
    assert json.loads(form, parse_int=float) == json.loads(json.dumps(value), parse_int=float)
    assert dumps(loads(form)) == form


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "NaN", "Infinity", "1e999999999", "[" * 100_000, "", "{", "1" * 5_000])
def test_what_has_no_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        loads(text)


def test_what_is_malformed_has_the_form_of_no_value() -> None:
    with pytest.raises(ValueError):
        loads(dumps(Malformed("{")))


def test_every_column_enters_the_digest() -> None:
    columns = {field.column for field in AuditEntry._meta.concrete_fields}
    assert columns == set(FORMATS[CURRENT_FORMAT].columns), "a new column enters a new format, or it could be changed unnoticed"


def test_the_digest_of_a_row_as_another_program_would_make_it() -> None:
    row = dict.fromkeys(FORMATS[1].columns, "x") | {"id": 5, "data": {"n": 1.5}, "personal_salt": "00"}
    personal = {name: row[name] for name in (*FORMATS[1].personal, "personal_salt")}
    plain: Any = lambda value: json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)  # noqa: E731
    commitment = hashlib.sha256(f"audit-personal:1\n{plain(personal)}".encode()).hexdigest()
    public = {name: row[name] for name in FORMATS[1].public} | {"personal": commitment}
    assert row_digest(row, 1) == hashlib.sha256(f"audit-row:1\n{plain(public)}".encode()).hexdigest()
    assert row_digest(row | {"data": {}, "user_id": None}, 1, commitment) == row_digest(row, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a:b",
        "a b:ed25519:" + "00" * 32,
        "a:rot13:" + "00" * 32,
        "a:hmac-sha256:xyz",
        "a:hmac-sha256:00",
        "a:ed25519:" + "00" * 33,
    ],
)
def test_a_bad_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(BadKey) as refused:
        parse_key(text)
    assert "00" * 8 not in str(refused.value)


def test_a_new_key_signs_and_its_public_half_verifies_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ed25519", "2026"]) == 0
    private, public = map(parse_key, capsys.readouterr().out.split())
    assert isinstance(private, Ed25519Key)
    assert verifying_text(private) == verifying_text(public)
    signature = private.sign(b"x")
    assert (public.can_sign, public.verifies(b"x", signature), public.verifies(b"y", signature)) == (False, True, False)
    assert not public.verifies(b"x", "no hex")
    assert "11" not in repr(parse_key("k:hmac-sha256:" + "11" * 32))
    assert main(["rot13", "x"]) == 2


@pytest.mark.parametrize(("ids", "text"), [([1, 2, 3, 5], "1-3,5"), ([7], "7"), ([1, 3], "1,3")])
def test_ids_as_runs(ids: list[int], text: str) -> None:
    assert runs(ids) == text
