"""The settings dict `AUDIT`."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from django.conf import settings as django_settings
from django.utils.crypto import salted_hmac
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from audit.evidence.keys import HmacKey, Key, by_id, parse_keys
from events.conf import AppSettings, load


class AuditSettings(AppSettings):
    """`AUDIT`."""

    setting = "AUDIT"
    model_config = SettingsConfigDict(env_prefix="AUDIT_")

    CRITICAL_ACTIONS: frozenset[str] = Field(
        frozenset(
            {"delete", "bulk_delete", "purge", "grant", "revoke", "permission_change", "permissions_change", "role_change"}
        ),
        description="Actions whose audit events are of high priority, so that the staff's browsers hear of them at once.",
    )
    BULK_LIMIT: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="Rows of one model that one bulk write records one by one; of more, one entry has count and criterion.",
    )
    MAX_VALUE_LENGTH: int = Field(
        10_000, ge=100, description="Characters of a tracked text value that are kept; of a longer one, its start and its digest."
    )
    MAX_JSON_LENGTH: int = Field(
        100_000,
        ge=100,
        description="Bytes of a tracked JSON value that are kept; of a longer one, and of one that is nested too deep, its digest.",
    )
    SEAL_KEYS: list[SecretStr] = Field(
        [],
        description="Keys of the seals, `ID:ALGORITHM:HEX` (`python -m audit.evidence.keys` makes them): the first that can sign seals, all "
        "verify; one that is retired ends with the number of the last seal that it signed, `:1840`. None: one that is derived from "
        "`SECRET_KEY` signs.",
    )
    SECRET_KEY_LAST_SEAL: int | None = Field(
        None,
        ge=0,
        description="With `SEAL_KEYS`, the number of the last seal that the key derived from `SECRET_KEY` signed; 0 if it never did. "
        "Unset: it verifies any seal.",
    )
    SEAL_INTERVAL: float = Field(2.0, gt=0, le=3600, description="Seconds between looks for rows to seal.")
    SEAL_IN_BACKGROUND: bool = Field(True, description="Servers seal in a thread of theirs. Off: run `seal_audit --forever`.")
    SEAL_MAX_ROWS: int = Field(1_000, ge=1, le=10_000, description="Rows that one seal holds at most.")
    ANCHOR_FILE: str = Field("", description="A file, best on another disk or machine, that the digest of each seal is added to.")
    ANCHOR_LOGGER: str = Field(
        "", description="The name of a logger that is told the digest of each seal (INFO), to be kept elsewhere."
    )
    RETENTION: dict[str, int] = Field(
        {}, description="Days after which `prune_audit` removes rows, by category (`audit`, `security`)."
    )

    RECORD_READING: bool = Field(True, description="Record who views, searches and exports the audit log, as entries of it.")

    @field_validator("SEAL_KEYS")
    @classmethod
    def _are_keys(cls, texts: list[SecretStr]) -> list[SecretStr]:
        keys = parse_keys(text.get_secret_value() for text in texts)
        if keys and not any(key.can_sign for key in keys):
            raise ValueError("none of the keys can sign")
        return texts


def settings() -> AuditSettings:
    """The settings of this app."""
    return load(AuditSettings)


def seal_keys() -> list[Key]:
    """The keys of the seals, the one that signs first. Those that are derived from `SECRET_KEY` and `SECRET_KEY_FALLBACKS` sign only
    without `SEAL_KEYS`; with them, they verify what was sealed before."""
    keys = sorted(parse_keys(text.get_secret_value() for text in settings().SEAL_KEYS), key=lambda key: not key.can_sign)
    derived = [_derived(secret) for secret in (django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS)]
    if keys:
        derived = [replace(key, last=settings().SECRET_KEY_LAST_SEAL) for key in derived if key.id not in by_id(keys)]
    return [*keys, *derived]


def _derived(secret: str | bytes) -> HmacKey:
    material = salted_hmac("audit.seals", "", secret=secret, algorithm="sha256").digest()
    # The id tells keys apart, and nothing of them.
    return HmacKey(f"secret-key-{hashlib.sha256(material).hexdigest()[:12]}", material)
