"""Who it is about, and where: known without Django, too."""

from __future__ import annotations

EMAIL, OTHER, PASSWORD = "eve@example.org", "eva@example.org", "correct horse battery staple"
ADDRESS = "203.0.113.9"
