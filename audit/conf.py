"""The settings dict `AUDIT`."""

from __future__ import annotations

import hashlib

from django.conf import settings as django_settings
from django.utils.crypto import salted_hmac
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from audit.evidence.keys import HmacKey, Key, parse_key
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
        "verify. None: one that is derived from `SECRET_KEY`.",
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
        keys = [parse_key(text.get_secret_value()) for text in texts]
        if keys and not any(key.can_sign for key in keys):
            raise ValueError("none of the keys can sign")
        if len({key.id for key in keys}) < len(keys):
            raise ValueError("two keys have one id")
        return texts


def settings() -> AuditSettings:
    """The settings of this app."""
    return load(AuditSettings)


def seal_keys() -> list[Key]:
    """The keys of the seals, the one that signs first. Without `SEAL_KEYS` they are derived from `SECRET_KEY`, and those that verify
    from `SECRET_KEY_FALLBACKS`."""
    keys = [parse_key(text.get_secret_value()) for text in settings().SEAL_KEYS]
    if keys:
        return sorted(keys, key=lambda key: not key.can_sign)
    return [_derived(secret) for secret in (django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS)]


def _derived(secret: str | bytes) -> Key:
    material = salted_hmac("audit.seals", "", secret=secret, algorithm="sha256").digest()
    # The id tells keys apart, and nothing of them.
    return HmacKey(f"secret-key-{hashlib.sha256(material).hexdigest()[:12]}", material)
