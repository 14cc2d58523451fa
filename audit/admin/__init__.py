"""The audit log in Django's admin: to browse, filter, follow and export, never to change."""

from __future__ import annotations

from audit.admin.entries import AuditEntryAdmin

__all__ = ["AuditEntryAdmin"]
