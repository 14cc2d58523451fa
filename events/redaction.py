"""What must not be kept: passwords, tokens, keys, session ids. Known by the name that a value has, and by what it looks like.

Events of AUDIT and SECURITY lose it before anybody sees them: handlers, the journal, the audit log, browsers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from django.utils.crypto import salted_hmac

from events.conf import settings
from events.types import EventCategory, UnifiedEvent

REDACTED = "[redacted]"
# The categories whose events are kept for long, for others to read.
KEPT = frozenset({EventCategory.AUDIT, EventCategory.SECURITY})

# A name is compared in lower case with _ between its words. These words make it a secret wherever they stand in it ...
ANYWHERE = "password|passwd|passphrase|passcode|pwd|secret|credential|authorization|cookie|csrf|csrfmiddlewaretoken|otp|cvv|cvc|private_key"
# ... these at its end, a word of their own or the end of one (`accesstoken`) ...
AT_THE_END = "password|passwd|secret|token|apikey|secretkey|privatekey|accesskey|sessionid|sessionkey|session_id"
# ... and these only as its last word: `primarykey` is none, `monkey` neither.
LAST_WORD = "key|jwt|bearer|sid|pin|signature"
# What may follow these at the end: a hash of a secret can be searched for, too.
SUFFIX = r"s?\d*(?:_(?:value|hash|digest|hex|text|raw|plain|\d+))?\Z"
SECRET_NAME = re.compile(rf"(?:\A|_)(?:{ANYWHERE})s?\d*(?:_|\Z)|(?:{AT_THE_END}){SUFFIX}|(?:\A|_)(?:{LAST_WORD}){SUFFIX}")
CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# What gives itself away wherever it stands. The part before a secret is kept: it says what it was.
SECRET_TEXT = re.compile(
    r"(?P<kept>"
    r"\b(?:bearer|basic|token)\s+(?=[\w.+/=~-]{16})"
    r"|\b[a-z][a-z0-9+.-]*://[^\s/:@]*:(?=[^\s/@]+@)"
    r"|(?:\A|[?&;,\s])(?:[\w-]*(?:token|password|passwd|secret|apikey|api_key|sessionid|signature|key))=(?=.)"
    r")[^\s&;,\"'@]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\b(?:pbkdf2_\w+|argon2\w*|bcrypt\w*|scrypt|md5|sha1)\$\S+"
    r"|\b(?:gh[pousr]_\w{20,}|sk-[\w-]{20,}|AKIA[A-Z0-9]{16}|xox[abprs]-[\w-]{10,})",
    re.IGNORECASE | re.DOTALL,
)
# Shorter texts hold a secret only beside one of these.
SHORTEST = 15
MARKS = ("=", "$", "://")
# Without one of these characters or words there is nothing of the kind: most longer text is passed by this alone.
SUSPICIOUS = re.compile(r"[=$]|://|-----|eyJ|gh[pousr]_|sk-|AKIA|xox|bearer|basic|token", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    words = CAMEL_CASE.sub("_", name).lower().replace("-", "_").replace(" ", "_").replace(".", "_")
    return SECRET_NAME.search(words) is not None


def is_secret(name: str) -> bool:
    """Whether a value of that name is one that must not be kept, by the rules above and `EVENTS["SECRET_NAMES"]`.

    `EVENTS["OPEN_NAMES"]` goes before both.
    """
    configured = settings()
    return name not in configured.OPEN_NAMES and (_is_secret(name) or name in configured.SECRET_NAMES)


def redacted_text(text: str) -> str:
    """The text without what looks like a secret: tokens, passwords in URLs, private keys, password hashes."""
    if len(text) < SHORTEST and not any(mark in text for mark in MARKS):
        return text
    if SUSPICIOUS.search(text) is None:
        return text
    return SECRET_TEXT.sub(lambda found: (found["kept"] or "") + REDACTED, text)


def redacted(value: Any) -> Any:
    """A copy of a JSON value, however deep, without secrets. An empty secret (None, "", false) stays: that there was none is no secret."""
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        return {name: _redacted_item(name, item) for name, item in value.items()}
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
    return None if value is None else f"hmac:{salted_hmac('events.redaction', str(value)).hexdigest()[:32]}"


def _redacted_item(name: Any, item: Any) -> Any:
    if name in ("key", "keys") and isinstance(item, Mapping):  # what is counted by, as in a security alert: the parts have names
        return redacted(item)
    return masked(item) if isinstance(name, str) and is_secret(name) else redacted(item)
