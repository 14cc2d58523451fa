"""The admin's sidebar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Unfold's groups of links, each link for who may view what it leads to."""
    return [
        group(
            "Security",
            item("Dashboard", "monitoring", "security_incident_dashboard", "security.view_incident"),
            item("Incidents", "gpp_maybe", "security_incident_changelist", "security.view_incident", besides="/dashboard/"),
            item("Cool-offs", "timer", "security_cooloff_changelist", "security.view_cooloff"),
        ),
        group(
            "Records",
            item("Audit log", "policy", "audit_auditentry_changelist", "audit.view_auditentry"),
            item("Events", "bolt", "events_journalentry_changelist", "events.view_journalentry"),
        ),
        group(
            "Accounts",
            item("Users", "person", "auth_user_changelist", "auth.view_user"),
            item("Groups", "group", "auth_group_changelist", "auth.view_group"),
            item("Tokens", "key", "authtoken_tokenproxy_changelist", "authtoken.view_tokenproxy"),
        ),
    ]


def group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    """Links under a heading, which is there where one of them is."""
    return {"title": title, "items": list(items)}


def item(title: str, icon: str, page: str, permission: str, besides: str | None = None) -> dict[str, Any]:
    """A link to a page of the admin. It is marked on the pages under it, but for those that end with `besides`."""
    link = reverse_lazy(f"admin:{page}")

    def is_active(request: HttpRequest) -> bool:
        return request.path.startswith(str(link)) and not (besides and request.path.endswith(besides))

    return {"title": title, "icon": icon, "link": link, "permission": may(permission), "active": is_active}


def may(permission: str) -> Callable[[HttpRequest], bool]:
    """Whether the user has the permission, or the one to change what it is for."""

    def has(request: HttpRequest) -> bool:
        return any(request.user.has_perm(name) for name in (permission, permission.replace(".view_", ".change_")))

    return has
