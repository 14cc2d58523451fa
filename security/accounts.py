"""From what was typed as a username to an account. People type passwords there: what is no account's name is kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError

MAX_USERNAME_LENGTH = 1_000


def find_account(username: Any) -> Any | None:
    """The user whose username it is, as signing in would find it; None if it is nobody's."""
    if not isinstance(username, (str, int)):
        return None
    text = str(username)
    if len(text) > MAX_USERNAME_LENGTH or not is_storable(text):
        return None
    try:
        return get_user_model()._default_manager.get_by_natural_key(text)
    except (ObjectDoesNotExist, ValidationError, ValueError):  # the latter: usernames are numbers or UUIDs there
        return None


def username_hash(username: Any) -> str:
    """A name for a username by which equal ones are recognised, and that nobody without the secret key can turn back."""
    text = str(username).encode("utf-8", "surrogatepass")
    return hmac.new(b"security.username" + django_settings.SECRET_KEY.encode(), text, hashlib.sha256).hexdigest()[:32]


def is_storable(text: str) -> bool:
    """Whether a database takes the text as a value to look for."""
    return is_encodable(text) and "\0" not in text


def is_encodable(text: str) -> bool:
    """Whether it is text, without halves of characters: JSON, and encodings that a request may name, let those through."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
