"""The keys that seals and records are signed with. Needs neither Django nor a database.

A key is written `ID:ALGORITHM:HEX`; the id is stored with what it signed. `python -m audit.evidence.keys` makes new ones. One that is
retired is written `ID:ALGORITHM:HEX:LAST`, with the number of the last seal that it signed: whatever is about a later one it can't have signed.
"""

from __future__ import annotations

import hmac
import re
import secrets
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

HMAC: Final = "hmac-sha256"
ED25519: Final = "ed25519"
ED25519_PUBLIC: Final = "ed25519-public"
ID_GRAMMAR: Final = re.compile(r"[A-Za-z0-9._\-]{1,32}\Z")
NUMBER_GRAMMAR: Final = re.compile(r"[0-9]{1,18}\Z")
SECRET_BYTES: Final = 32


class BadKey(ValueError):
    """A text that is no key. Its message does not hold the key."""


class Key(Protocol):
    """What signs, and what verifies. `last` is the number of the last seal that it signed, None while it is in use. `can_sign` is False
    for a public key and a retired one."""

    @property
    def id(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def last(self) -> int | None: ...
    @property
    def can_sign(self) -> bool: ...

    def sign(self, message: bytes) -> str:
        """The signature, in hexadecimal."""

    def verifies(self, message: bytes, signature: str) -> bool:
        """Whether the signature was made with this key, for this message."""


@dataclass(frozen=True, repr=False)
class HmacKey:
    """HMAC with SHA-256: who can verify can sign."""

    id: str
    secret: bytes
    last: int | None = None
    algorithm = HMAC

    @property
    def can_sign(self) -> bool:
        return self.last is None

    def sign(self, message: bytes) -> str:
        return hmac.digest(self.secret, message, "sha256").hex()

    def verifies(self, message: bytes, signature: str) -> bool:
        return hmac.compare_digest(self.sign(message).encode(), signature.encode("utf-8", "replace"))


@dataclass(frozen=True, repr=False)
class Ed25519Key:
    """Ed25519 (RFC 8032). With the public half an auditor verifies, and can't sign."""

    id: str
    public: bytes
    private: bytes = b""
    last: int | None = None
    algorithm = ED25519

    @property
    def can_sign(self) -> bool:
        return bool(self.private) and self.last is None

    @cached_property
    def _signer(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.private)

    @cached_property
    def _verifier(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.public)

    def sign(self, message: bytes) -> str:
        return self._signer.sign(message).hex()

    def verifies(self, message: bytes, signature: str) -> bool:
        try:
            self._verifier.verify(bytes.fromhex(signature), message)
        except (InvalidSignature, ValueError):
            return False
        return True


def parse_key(text: str) -> Key:
    """The key that `ID:ALGORITHM:HEX` or `ID:ALGORITHM:HEX:LAST` names. Raises BadKey."""
    parts = text.split(":")
    if len(parts) not in (3, 4):
        raise BadKey("a key is written ID:ALGORITHM:HEX, a retired one ID:ALGORITHM:HEX:LAST")
    key_id, algorithm, material = parts[:3]
    if not ID_GRAMMAR.match(key_id):
        raise BadKey("the id of a key has 1 to 32 letters, digits, dots, dashes and underscores")
    if len(parts) == 4 and not NUMBER_GRAMMAR.match(parts[3]):
        raise BadKey(f"the last seal of the key {key_id} is no number")
    last = int(parts[3]) if len(parts) == 4 else None
    try:
        secret = bytes.fromhex(material)
    except ValueError:
        raise BadKey(f"the key {key_id} is not hexadecimal") from None
    if len(secret) < SECRET_BYTES or (algorithm != HMAC and len(secret) != SECRET_BYTES):
        raise BadKey(f"the key {key_id} has {len(secret)} bytes, {SECRET_BYTES} are needed")
    if algorithm == HMAC:
        return HmacKey(key_id, secret, last)
    if algorithm == ED25519_PUBLIC:
        return Ed25519Key(key_id, secret, last=last)
    if algorithm == ED25519:
        public = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
        return Ed25519Key(key_id, public, secret, last)
    raise BadKey(f"the key {key_id} is for {algorithm!r}; there are {HMAC}, {ED25519} and {ED25519_PUBLIC}")


def parse_keys(texts: Iterable[str]) -> list[Key]:
    """The keys that the texts name. Raises BadKey, also where two have one id."""
    keys = [parse_key(text) for text in texts]
    if len(by_id(keys)) < len(keys):
        raise BadKey("two keys have one id")
    return keys


def by_id(keys: Iterable[Key]) -> Mapping[str, Key]:
    """The keys under their ids."""
    return {key.id: key for key in keys}


def verifying_text(key: Key) -> str:
    """What verifies with the key, as `parse_key` reads it: its public half, where it has one."""
    match key:
        case Ed25519Key():
            text = f"{key.id}:{ED25519_PUBLIC}:{key.public.hex()}"
        case HmacKey():
            text = f"{key.id}:{HMAC}:{key.secret.hex()}"
        case _:
            raise TypeError(f"{type(key).__name__} has no text")
    return text if key.last is None else f"{text}:{key.last}"


def main(arguments: list[str]) -> int:
    """Print a new key of the algorithm: `python -m audit.evidence.keys ed25519 2026`. The exit status."""
    if len(arguments) != 2 or arguments[0] not in (HMAC, ED25519):
        sys.stderr.write(f"usage: python -m audit.evidence.keys {HMAC}|{ED25519} ID\n")
        return 2
    algorithm, key_id = arguments
    text = f"{key_id}:{algorithm}:{secrets.token_hex(SECRET_BYTES)}"
    try:
        key = parse_key(text)
    except BadKey as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{text}\n")
    if isinstance(key, Ed25519Key):
        sys.stdout.write(f"{verifying_text(key)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
