"""What must not be kept: passwords, tokens, keys, session ids. Known by the name that a value has, and by what it looks like.

Events of AUDIT and SECURITY lose it before anybody sees them: handlers, the journal, the audit log, browsers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson
from django.utils.crypto import salted_hmac

from events.conf import settings
from events.types import EventCategory, UnifiedEvent

REDACTED = "[redacted]"
# The categories whose events are kept for long, for others to read.
KEPT = frozenset({EventCategory.AUDIT, EventCategory.SECURITY})

# A name is compared in lower case with _ between its words. These words make it a secret wherever they stand in it ...
ANYWHERE = (
    "password|passw|passwd|passphrase|passcode|passkey|pwd|pwhash|secret|credential|authorization|cookie|csrf|csrfmiddlewaretoken|otp|totp|hotp|"
    "cvv|cvc|private_key|key_material|seed_phrase|recovery_phrase|magic_link|(?:recovery|backup|scratch|verification|reset|security|auth)_?code"
)
# ... these at its end, a word of their own or the end of one (`accesstoken`) ...
AT_THE_END = (
    "password|passwd|passkey|secret|token|sess(?:ion)?_?id|"
    "(?:api|secret|private|priv|access|session|ssh|signing|encryption|enc|master|auth|license)key"
)
# ... and these only as its last word: `primarykey` is none, `monkey` neither; nor is a `boarding_pass` or a `compass`.
LAST_WORD = "key|jwt|bearer|sid|pin|pw|signature|(?:db|user|admin|root|smtp|mail|email|ftp|ldap|proxy|login)_?pass"
# What may follow these at the end: a hash of a secret can be searched for, too.
SUFFIX = r"s?\d*(?:_(?:value|hash|digest|hex|text|raw|plain|encrypted|enc|v?\d+))?\Z"
SECRET_NAME = re.compile(
    rf"\Apass\Z|(?:\A|_)(?:{ANYWHERE})s?\d*(?:_|\Z)|(?:{AT_THE_END}){SUFFIX}|(?:\A|_)(?:{LAST_WORD}){SUFFIX}"
)
CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
BETWEEN_WORDS = re.compile(r"[\W_]+")

# What gives itself away wherever it stands. The part before a secret is kept: it says what it was.
SECRET_TEXT = re.compile(
    r"(?P<kept>\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@]*:)[^\s/?#]+(?=@)"
    r"|(?P<header>\b(?:set-)?cookie[\"']?\s*:\s*[\"']?)[^\r\n\"']+"
    r"|(?P<basic>\bbasic\s+)(?P<credentials>[\w+/-]{4,}={0,2})"
    r"|(?P<named>"
    r"\b(?:bearer|token)\s+(?=[\w.+/=~-]{16})"
    r"|\bauthorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|token|digest|apikey)\s+)?(?!basic\s)(?=\S)"
    r"|(?:\A|[?&;,\s{(\[\"'])(?:[\w-]*(?:token|password|passwd|secret|api_?key|sessionid|signature|key))=[\"']?"
    r"|(?:\A|[?&;,\s{(\[\"'])[\w-]*(?:token|password|passwd|passphrase|pwd|secret|api[_-]?key|session_?id)[\"']?\s*[:=]\s*[\"']?(?!\Z)"
    r")(?:(?<=[\"'])(?:\\.|[^\"'\\])+|[^\s&;,\"']+)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\b(?:pbkdf2_\w+|argon2\w*|bcrypt\w*|scrypt|md5|sha1)\$\S+"
    r"|\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{10,}|npm_\w{20,}|sk-[\w-]{20,}|[sr]k_(?:live|test)_\w{8,}|whsec_\w{10,}"
    r"|AKIA[A-Z0-9]{16}|AIza[\w-]{20,}|SG\.[\w-]{10,}\.[\w-]{10,}|xox[abprs]-[\w-]{10,})",
    re.IGNORECASE | re.DOTALL,
)
# Shorter texts hold a secret only with one of these: each of the patterns above takes one of them, or so many characters.
SHORTEST = 15
MARK = re.compile(r"[=$:]|basic\s", re.IGNORECASE)
# Without one of these, in lower case, there is nothing of the kind, but for a password in a URL: most longer text is passed by this alone.
SUSPICIOUS = (
    "-----", "eyj", "cookie", "basic", "bearer", "token", "authorization", "passw", "passphrase", "pwd", "secret", "key", "session",
    "signature", "pbkdf2_", "argon2", "crypt", "md5$", "sha1$", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "npm_", "sk-",
    "sk_", "rk_", "whsec_", "akia", "aiza", "sg.", "xox",
)  # fmt: skip
# Where a value's name stands beside it: `{"name": "password", "value": "…"}`.
NAMES_BESIDE = ("name", "key", "field", "header")


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    words = BETWEEN_WORDS.sub("_", CAMEL_CASE.sub("_", name)).strip("_").lower()
    return SECRET_NAME.search(words) is not None


def is_secret(name: str) -> bool:
    """Whether a value of that name is one that must not be kept, by the rules above and `EVENTS["SECRET_NAMES"]`.

    `EVENTS["OPEN_NAMES"]` goes before both.
    """
    configured = settings()
    return name not in configured.OPEN_NAMES and (_is_secret(name) or name in configured.SECRET_NAMES)


def redacted_text(text: str) -> str:
    """The text without what looks like a secret: tokens, passwords in URLs, private keys, password hashes; of JSON, without its secrets."""
    if len(text) < SHORTEST and MARK.search(text) is None:
        return text
    if text.lstrip()[:1] in ("{", "["):
        try:
            parsed = orjson.loads(text)
            clean = redacted(parsed)
        except (ValueError, RecursionError):
            pass  # a text like any other
        else:
            return text if clean == parsed else orjson.dumps(clean).decode()
    lowered = text.lower()
    if not any(mark in lowered for mark in SUSPICIOUS) and not ("://" in text and "@" in text):
        return text
    return SECRET_TEXT.sub(_cut, text)


def _cut(found: re.Match[str]) -> str:
    if found["credentials"] is not None and not _are_credentials(found["credentials"]):
        return found[0]  # "basic training"
    return next(filter(None, found.group("kept", "header", "basic", "named")), "") + REDACTED


def _are_credentials(text: str) -> bool:
    """Whether it may be what the scheme Basic takes: a name and a password, with a colon between, in base64."""
    if len(text) >= 16:
        return True
    try:
        return b":" in base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_")
    except ValueError:
        return False


def redacted(value: Any) -> Any:
    """A copy of a JSON value, however deep, without secrets. An empty secret (None, "", false) stays: that there was none is no secret."""
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        clean = {name: _redacted_item(name, item) for name, item in value.items()}
        if "value" in clean and any(isinstance(name := value.get(key), str) and is_secret(name) for key in NAMES_BESIDE):
            clean["value"] = masked(value["value"])
        return clean
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    return value


def without_secrets(event: UnifiedEvent) -> UnifiedEvent:
    """The event, of AUDIT and SECURITY a copy that has no secrets in its data and metadata."""
    if event.category not in KEPT:
        return event
    try:
        return replace(event, data=redacted(event.data), metadata=redacted(event.metadata))
    except RecursionError:
        return event  # so deep that it is refused when it is encoded


def masked(value: Any) -> Any:
    """What stands for a value that must not be kept."""
    return REDACTED if value or (value == 0 and not isinstance(value, bool)) else value


def hashed(value: Any) -> Any:
    """A keyed hash of a value: the same value has the same one, and nobody without the site's key can try values out."""
    if value is None:
        return None
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if isinstance(value, (dict, list)) else str(value)
    return f"hmac:{salted_hmac('events.redaction', text).hexdigest()[:32]}"


def _redacted_item(name: Any, item: Any) -> Any:
    if name in ("key", "keys") and isinstance(item, Mapping):  # what is counted by, as in a security alert: the parts have names
        return redacted(item)
    return masked(item) if isinstance(name, str) and is_secret(name) else redacted(item)
