"""What must not be kept is found by its name and by what it looks like, and the rest stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.redaction import REDACTED, hashed, is_secret, masked, redacted, redacted_text

SECRETS = [
    "password", "Password", "new_password1", "passwordConfirmation", "password_hash", "db_passwd", "dbpassword", "pwd", "passphrase",
    "secret", "client_secret", "clientSecret", "SECRET_KEY", "secretKey", "token", "access_token", "accessToken", "accesstoken",
    "refresh-token", "token_hash", "tokens", "api_key", "apiKey", "apikey", "API key", "x-api-key", "key", "keys", "private_key", "ssh_key_2",
    "session_id", "sessionid", "sessionKey", "session_key", "Authorization", "cookie", "Set-Cookie", "csrftoken", "csrfmiddlewaretoken",
    "otp", "pin", "cvv", "jwt", "credentials", "aws_credentials_file", "signature",
    "PHPSESSID", "JSESSIONID", "sessid", "sess_id", "passkey", "passkeys", "recovery_codes", "backupCodes", "verification_code", "totp", "totp_seed",
    "api_key_v2", "APIKeyV2", "sshkey", "ssh_keys", "signingkey", "key_material", "pass", "PASS", "db_pass", "userPass", "pw", "pwhash", "passw",
    "user[password]", "password[]", "users[0].password", "seed_phrase", "token_encrypted", "privkey", "magic_link",
]  # fmt: skip
OPEN = [
    "name", "username", "keyboard", "monkey", "secretary", "token_count", "max_tokens_used", "key_id", "token_id", "session_count",
    "session", "pinned", "spin", "author", "authors", "description", "user_id", "resource_id", "passenger", "keyword",
    "compass", "bypass", "boarding_pass", "passed", "pass_count", "passport", "postcode", "country_code", "status_code", "code", "codes", "hotkey",
    "turnkey", "recovery_date", "seed", "phrase", "sessions", "session_kind", "pwm", "masterkeyboard", "assessment_id", "keys_count",
]  # fmt: skip
TEXTS = [
    "Authorization: Bearer abcdefghijklmnop1234",
    "Token 9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b",
    "postgres://app:abcdefghijklmnop1234@db/prod",
    "GET /reset?uid=5&token=abcdefghijklmnop1234",
    "connect: host=db password=abcdefghijklmnop1234",
    "password=abcdefghijklmnop1234",
    "user=root,passwd=abcdefghijklmnop1234",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.abcdefghijklmnop1234",
    "pbkdf2_sha256$870000$abcdefghijklmnop1234$x=",
    "-----BEGIN RSA PRIVATE KEY-----\nabcdefghijklmnop1234\n-----END RSA PRIVATE KEY-----",
    "ghp_abcdefghijklmnop1234wxyz",
    "sk-abcdefghijklmnop1234wxyz",
    "sk_live_abcdefghijklmnop1234",
    "AIzaabcdefghijklmnop1234",
    "glpat-abcdefghijklmnop1234",
    "npm_abcdefghijklmnop1234",
    "github_pat_abcdefghijklmnop1234",
    "SG.abcdefghijklmnop1234.abcdefghijklmnop1234",
    "password: abcdefghijklmnop1234",
    "password = abcdefghijklmnop1234",
    '{"password": "abcdefghijklmnop1234"}',
    "{'db_password': 'abcdefghijklmnop1234'}",
    '"api_key" : "a \\" b abcdefghijklmnop1234"',
    'password="abcdefghijklmnop1234 and more"',
    "Authorization: abcdefghijklmnop1234",
    "Set-Cookie: theme=dark; abcdefghijklmnop1234=1",
    "postgres://app:p@abcdefghijklmnop1234@db/prod",
    "redis://:abcdefghijklmnop1234@h",
]
# As short as they come.
SHORT = [
    "password: x",
    "Basic dTpw",
    "pw=x token=y",
    "BASIC dXNlcjpwYXNz",
    "a://:x@h",
    '{"pin":1}',
    "secret:x",
    "Cookie: a",
    "md5$a$b",
]


@pytest.mark.parametrize("name", SECRETS)
def test_a_name_of_a_secret_is_known(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", OPEN)
def test_a_name_that_only_sounds_like_one_is_none(name: str) -> None:
    assert not is_secret(name)


def test_a_project_names_its_own_secrets_and_what_is_none(settings: Any) -> None:
    settings.EVENTS = {"SECRET_NAMES": ["iban"], "OPEN_NAMES": ["sort_key"]}
    assert is_secret("iban")
    assert not is_secret("sort_key")


def test_secrets_are_found_at_any_depth() -> None:
    value = {"a": [{"b": {"password": "hunter2"}}, ("x", {"apiKey": {"id": 1, "value": "k"}})], "n": 5}
    assert redacted(value) == {"a": [{"b": {"password": REDACTED}}, ["x", {"apiKey": REDACTED}]], "n": 5}


def test_a_key_of_several_parts_is_redacted_by_its_parts() -> None:
    assert redacted({"key": {"address": "203.0.113.9", "token": "x"}}) == {"key": {"address": "203.0.113.9", "token": REDACTED}}
    assert redacted({"key": "x"}) == {"key": REDACTED}


@pytest.mark.parametrize("text", TEXTS)
def test_a_secret_that_gives_itself_away_is_cut_out_of_any_text(text: str) -> None:
    assert "abcdefghijklmnop1234" not in redacted_text(f"it said: {text} and more")
    assert REDACTED in redacted({"note": [text]})["note"][0]


@pytest.mark.parametrize("text", SHORT)
def test_a_short_text_is_no_hiding_place(text: str) -> None:
    assert REDACTED in redacted_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "a plain sentence", "basic training", "Basic Training 2", "1 + 1 = 2", "https://example.org/a?b=c", "token ring", "$5", "12:30",
        "the key: take it slowly", "keyboard: German", "https://example.org:8000/a?mail=a@b.org", "cookies are baked", "password=''", "monkey business",
        '{"pins": [], "name": "a", "n": 1.0}', "[INFO] all is well", "{not json}", "mailto:a@b.org", "compass: north by northwest",
    ],
)  # fmt: skip
def test_other_text_stays_as_it_is(text: str) -> None:
    assert redacted_text(text) == text


def test_json_in_a_text_loses_its_secrets_and_stays_json() -> None:
    text = json.dumps({"a": [{"pin": 4321, "note": "x"}], "inner": json.dumps({"otp": "123456"})})
    assert json.loads(redacted_text(text)) == {"a": [{"pin": REDACTED, "note": "x"}], "inner": '{"otp":"[redacted]"}'}


def test_json_that_is_nested_too_deep_is_a_text_like_any_other() -> None:
    text = "[" * 1_000 + '{"password": "hunter2"}' + "]" * 1_000
    assert "hunter2" not in redacted_text(text)


@pytest.mark.parametrize("named", ["name", "key", "field", "header"])
def test_a_value_beside_its_name_is_known(named: str) -> None:
    assert redacted([{named: "password", "value": "hunter2"}])[0]["value"] == REDACTED
    assert redacted({named: "colour", "value": "red"})["value"] == "red"


@pytest.mark.parametrize("empty", [None, "", False, [], {}])
def test_that_there_is_no_secret_is_no_secret(empty: Any) -> None:
    assert redacted({"password": empty}) == {"password": empty}


@pytest.mark.parametrize("value", [0, 1234, True, "x", ["x"], {"a": 1}])
def test_a_secret_is_hidden_whatever_its_type(value: Any) -> None:
    assert masked(value) == REDACTED


def test_a_hash_tells_only_whether_values_are_the_same(settings: Any) -> None:
    assert hashed("a") == hashed("a") != hashed("b")
    assert hashed(None) is None
    assert hashed({"a": 1, "b": [2]}) == hashed({"b": [2], "a": 1}) != hashed({"a": 1, "b": [3]})
    with_one_key = hashed("a")
    settings.SECRET_KEY = "another"
    assert hashed("a") != with_one_key


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.sampled_from(SECRETS), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(SECRETS))
def test_no_secret_survives_wherever_it_is_put(value: Any, name: str) -> None:
    text = json.dumps(redacted({"outer": [value, {name: "S3CR3T-VALUE"}], name: ["S3CR3T-VALUE"]}))
    assert "S3CR3T-VALUE" not in text


@given(JSON)
def test_what_is_redacted_once_stays_so(value: Any) -> None:
    assert redacted(redacted(value)) == redacted(value)
