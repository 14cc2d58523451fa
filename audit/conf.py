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
    RECORD_READING: bool = Field(True, description="Record who views, searches and exports the audit log, as entries of it.")


def settings() -> AuditSettings:
    """The settings of this app."""
    return load(AuditSettings)
