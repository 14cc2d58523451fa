"""The settings dict `AUDIT`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

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
    SECRET_NAMES: frozenset[str] = Field(
        frozenset(), description="Names of fields and keys whose values are never kept, beside those that the rules find."
    )
    OPEN_NAMES: frozenset[str] = Field(
        frozenset(), description="Names whose values are kept although the rules take them for secrets: `sort_key`."
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


def settings() -> AuditSettings:
    """The settings of this app."""
    return load(AuditSettings)
