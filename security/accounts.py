"""From what was typed as a username to an account. People type passwords there: what is no account's name is kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldError, MultipleObjectsReturned, ObjectDoesNotExist, ValidationError

from security.conf import settings

MAX_USERNAME_LENGTH = 1_000
# A value that a field does not take (where usernames are numbers or UUIDs) is nobody's, and so is one of a field that is not there: a
# system check says so, and nobody is kept from signing in.
NOT_FOUND: Final = (ObjectDoesNotExist, MultipleObjectsReturned, ValidationError, ValueError, FieldError)


def typed_name(credentials: Mapping[str, Any]) -> Any | None:
    """What was typed to say who signs in, of the credentials that a backend is given; None if nothing was."""
    names = [get_user_model().USERNAME_FIELD, "username", *(field_of(lookup) for lookup in settings().SIGN_IN_FIELDS)]
    return next((credentials[name] for name in names if credentials.get(name) is not None), None)


def find_account(username: Any) -> Any | None:
    """The user whose username it is, or who alone is found by one of `SECURITY["SIGN_IN_FIELDS"]`, in their order; None if it is nobody's."""
    if not isinstance(username, (str, int)):
        return None
    text = str(username)
    if len(text) > MAX_USERNAME_LENGTH or not is_storable(text):
        return None
    users = get_user_model()._default_manager
    with suppress(*NOT_FOUND):
        return users.get_by_natural_key(text)
    for lookup in settings().SIGN_IN_FIELDS if text else ():
        with suppress(*NOT_FOUND):
            return users.get(**{lookup: text})
    return None


def field_of(lookup: str) -> str:
    """The field by which a lookup finds users, or the path to it."""
    return lookup.removesuffix("__iexact").removesuffix("__exact")


def username_hash(username: Any) -> str:
    """A name for a username by which equal ones are recognised, and that nobody without the secret key can turn back. Names that some backend
    may take for the same are one: they may differ in case, in Unicode form, and in blanks around."""
    text = str(username)[:MAX_USERNAME_LENGTH]
    # Upper case first: databases that compare so take "ı" and "ſ" for "i" and "s", and casefold alone does not.
    folded = unicodedata.normalize("NFKC", text).upper().casefold().replace("i\u0307", "i").strip()
    secret = b"security.username" + django_settings.SECRET_KEY.encode()
    return hmac.new(secret, folded.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


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
