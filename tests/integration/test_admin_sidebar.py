"""The admin's sidebar: links for who may follow them, and the page that is open is marked."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

pytestmark = pytest.mark.django_db


def links(client: Client, address: str) -> dict[str, bool]:
    """The links of the sidebar, and whether each is marked."""
    text = client.get(address).content.decode()
    sidebar = text.split('id="nav-sidebar-apps"')[1].split("</ol>\n                </div>\n")
    found = re.findall(r'<a href="(/admin/[^"]+)" class="([^"]*)"', "".join(sidebar[:3]))
    return {unescape(url): " active" in classes for url, classes in found}


def account(*permissions: str, superuser: bool = False) -> Client:
    user = User.objects.create_user("someone", is_staff=True, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def test_every_link_leads_somewhere_and_is_marked_there() -> None:
    client = account(superuser=True)
    found = links(client, "/admin/")
    assert len(found) == 8
    for url in found:
        assert [marked for marked, is_active in links(client, url).items() if is_active] == [url]


@pytest.mark.parametrize(
    ("permission", "shown"),
    [
        ("view_incident", {"/admin/security/incident/dashboard/", "/admin/security/incident/"}),
        ("change_incident", {"/admin/security/incident/dashboard/", "/admin/security/incident/"}),
        ("view_cooloff", {"/admin/security/cooloff/"}),
        ("view_auditentry", {"/admin/audit/auditentry/"}),
    ],
)
def test_a_link_is_for_who_may_follow_it(permission: str, shown: set[str]) -> None:
    assert set(links(account(permission), "/admin/")) == shown
