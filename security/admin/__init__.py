"""Incidents, cool-offs and what is counted, in Django's admin, and the dashboard of security."""

from __future__ import annotations

from security.admin.cooloffs import CoolOffAdmin
from security.admin.incidents import IncidentAdmin

__all__ = ["CoolOffAdmin", "IncidentAdmin"]
