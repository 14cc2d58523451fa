"""The audit log in the admin: who may see it, that nobody may change it, and that it shows what was asked for."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from audit.recorder import recorder
from audit.testing import unprotected
from events.types import UnifiedEvent, create_audit_event

pytestmark = pytest.mark.django_db

LIST = "admin:audit_auditentry_changelist"
TIMELINE = "admin:audit_auditentry_timeline"
START = datetime(2026, 1, 31, 12, tzinfo=UTC)
SCRIPT = "<script>alert('x')</script>"


def page(entry: AuditEntry) -> str:
    return reverse("admin:audit_auditentry_change", args=[entry.pk])


def account(name: str, *, staff: bool, permission: bool = False, superuser: bool = False) -> Client:
    user = User.objects.create_user(name, is_staff=staff, is_superuser=superuser)
    if permission:
        user.user_permissions.add(Permission.objects.get(codename="view_auditentry"))
    client = Client()
    client.force_login(user)
    with unprotected():
        AuditEntry.objects.all().delete()
    return client


@pytest.fixture
def client() -> Client:
    return account("admin", staff=True, superuser=True)


def record(event_type: str = "model.delete", data: dict[str, Any] | None = None, **fields: Any) -> AuditEntry:
    event: UnifiedEvent = create_audit_event(event_type, data, **fields)
    recorder.write([event])
    return AuditEntry.objects.get(event_id=event.id)


@pytest.fixture
def log(client: Client) -> dict[str, AuditEntry]:
    """One entry for each thing that can be looked for."""
    return {
        "login": record(
            "auth.login_failure",
            metadata={"outcome": "failure", "source_category": "security", "ip_address": "203.0.113.9"},
            timestamp=START,
            priority="high",
        ),
        "delete": record(
            "model.delete",
            {"resource_type": "llm.model", "resource_id": "m 1", "result": "success"},
            metadata={"actor": {"type": "user", "id": "7", "label": "Alice O'Neil"}},
            correlation_id="c-1",
            timestamp=START + timedelta(hours=1),
            priority="critical",
        ),
        "update": record(
            "model.update",
            {"resource_type": "llm.model", "resource_id": "m 2", "outcome": "denied"},
            correlation_id="c-1",
            user_id="7",
            timestamp=START + timedelta(hours=2),
        ),
    }


def shown(client: Client, **parameters: Any) -> set[str]:
    """The types that the list shows, without what it recorded of being looked at."""
    response = client.get(reverse(LIST), parameters)
    assert response.status_code == 200
    return {entry.event_type for entry in response.context["cl"].result_list if entry.action not in ("view", "search")}


# Who may do what


@pytest.mark.parametrize(
    ("staff", "permission", "superuser", "status"),
    [
        (False, False, False, 302),
        (False, True, False, 302),
        (True, False, False, 403),
        (True, True, False, 200),
        (True, False, True, 200),
    ],
)
def test_viewing_takes_being_staff_and_the_view_permission(staff: bool, permission: bool, superuser: bool, status: int) -> None:
    client = account("someone", staff=staff, permission=permission, superuser=superuser)
    entry = record()
    assert client.get(reverse(LIST)).status_code == status
    assert client.get(page(entry)).status_code == status


def test_who_is_signed_in_and_no_staff_is_told_why_they_see_the_login() -> None:
    client = Client()
    client.force_login(User.objects.create_user("alice"))
    assert "You are signed in as alice, who may not see this page" in client.get(reverse("admin:login")).content.decode()


def test_an_anonymous_visitor_is_sent_to_the_login() -> None:
    response = Client().get(reverse(LIST))
    assert (response.status_code, response.url.split("?")[0]) == (302, reverse("admin:login"))


def test_the_log_can_be_viewed_exported_and_verified_and_there_is_no_permission_beside() -> None:
    permissions = Permission.objects.filter(content_type__app_label="audit", content_type__model="auditentry")
    assert set(permissions.values_list("codename", flat=True)) == {
        "view_auditentry", "export_auditentry", "verify_auditentry",
    }  # fmt: skip


@pytest.mark.parametrize("method", ["get", "post"])
def test_nobody_can_add_change_or_delete(client: Client, method: str) -> None:
    entry = record()
    kept = AuditEntry.objects.values().get(pk=entry.pk)
    send = getattr(client, method)
    assert send(reverse("admin:audit_auditentry_add")).status_code == 403
    assert send(reverse("admin:audit_auditentry_delete", args=[entry.pk])).status_code == 403
    assert AuditEntry.objects.values().get(pk=entry.pk) == kept


def test_posting_a_change_is_refused(client: Client) -> None:
    entry = record()
    kept = AuditEntry.objects.values().get(pk=entry.pk)
    assert client.post(page(entry), {"event_type": "model.created", "outcome": "success", "_save": "Save"}).status_code == 403
    assert AuditEntry.objects.values().get(pk=entry.pk) == kept


def test_the_delete_action_is_neither_offered_nor_done(client: Client) -> None:
    entry = record()
    assert "delete_selected" not in client.get(reverse(LIST)).content.decode()
    client.post(reverse(LIST), {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"})
    assert AuditEntry.objects.filter(pk=entry.pk).exists()


def test_a_deleted_user_takes_no_entry_along(client: Client) -> None:
    user = User.objects.create_user("leaver")
    record(user_id=str(user.pk))
    client.post(reverse("admin:auth_user_delete", args=[user.pk]), {"post": "yes"})
    assert AuditEntry.objects.filter(user_id=str(user.pk), event_type="model.delete").exists()


# Finding


@pytest.mark.parametrize(
    ("parameters", "types"),
    [
        ({}, {"auth.login_failure", "model.delete", "model.update"}),
        ({"category": "security"}, {"auth.login_failure"}),
        ({"category": "audit"}, {"model.delete", "model.update"}),
        ({"action": "delete"}, {"model.delete"}),
        ({"outcome__exact": "denied"}, {"model.update"}),
        ({"priority__exact": "critical"}, {"model.delete"}),
        ({"actor": "Alice O'Neil"}, {"model.delete"}),
        ({"actor": " 7 "}, {"model.update"}),
        ({"user": " 7 "}, {"model.delete", "model.update"}),
        ({"resource_type": "llm.model"}, {"model.delete", "model.update"}),
        ({"resource_type": "llm.model", "resource_id": "m 2"}, {"model.update"}),
        ({"correlation": "c-1"}, {"model.delete", "model.update"}),
        ({"address": "203.0.113.9"}, {"auth.login_failure"}),
        ({"address": "nonsense"}, set()),
        ({"timestamp_from_0": "2026-01-31", "timestamp_from_1": "12:30:00"}, {"model.delete", "model.update"}),
        ({"timestamp_to_0": "2026-01-31", "timestamp_to_1": "12:30:00"}, {"auth.login_failure"}),
        ({"timestamp_from_0": "2026-01-31"}, {"auth.login_failure", "model.delete", "model.update"}),
        ({"timestamp_to_0": "2026-01-30"}, set()),
        (
            {"timestamp_from_0": "2026-01-31", "timestamp_to_0": "2026-01-31"},
            {"auth.login_failure", "model.delete", "model.update"},
        ),
        ({"timestamp_from_1": "12:00:00"}, set()),
        ({"timestamp_from_0": "yesterday"}, set()),
        ({"action": "never_heard_of"}, set()),
        ({"q": "c-1"}, {"model.delete", "model.update"}),
        ({"q": '"Alice O\'Neil"'}, {"model.delete"}),
        ({"q": " Alice O'Neil "}, {"model.delete"}),
        ({"q": "c-1", "priority__exact": "critical"}, {"model.delete"}),
        ({"period": "24h"}, set()),
        ({"period": "since forever"}, set()),
        ({"q": "c-"}, set()),
    ],
)
def test_filters_and_search_find_what_they_are_for(client: Client, log: Any, parameters: dict[str, str], types: set[str]) -> None:
    assert shown(client, **parameters) == types


def test_a_time_is_meant_in_the_time_zone_that_times_are_shown_in(client: Client, log: Any) -> None:
    with timezone.override("Asia/Kathmandu"):  # 5:45 ahead
        assert shown(client, timestamp_from_0="2026-01-31", timestamp_from_1="19:00:00") == {"model.update"}
        assert "2026-01-31 19:45:00" in client.get(reverse(LIST)).content.decode()


def test_a_time_that_cannot_be_read_is_told(client: Client, log: Any) -> None:
    assert "needs a day like" in client.get(reverse(LIST), {"timestamp_to_0": "31.1."}).content.decode()


def test_the_newest_entry_comes_first(client: Client, log: Any) -> None:
    found = client.get(reverse(LIST)).context["cl"].result_list
    assert [entry.event_type for entry in found] == ["model.update", "model.delete", "auth.login_failure"]


def test_an_event_id_finds_its_entry(client: Client, log: dict[str, AuditEntry]) -> None:
    assert shown(client, q=log["delete"].event_id) == {"model.delete"}


def test_a_filter_offers_what_the_log_holds(client: Client, log: Any) -> None:
    options = re.findall(r'<option value="([^"]*)"', client.get(reverse(LIST), {"action": "chosen"}).content.decode())
    assert {"delete", "update", "login_failure", "chosen", "llm.model", "security", "denied", "critical"} <= set(options)


@pytest.mark.parametrize(
    "query",
    [
        "q=%00", "actor=%00", "action=a%00b", "outcome__exact=%00", "outcome__exact=nonsense", "nonsense=1", "id__exact=abc", "p=abc", "p=-1",
        "p=99999999999999999999", "o=99", "timestamp_from_0=never&timestamp_from_1=x", "address=%27",
        "timestamp_from_0=0001-01-01&timestamp_to_0=9999-12-31", "q=" + "x" * 5_000, "category=%F0%28",
        "timestamp__gte=never", "ip_address__exact=abc",
        "ip_address=abc",
        "data__iregex=(",
        "event_type__iregex=(",
        "timestamp__exact=never", "resource__pk=1",
        "before=abc", "after=%00", "before=1.99999999999999999999", "after=99999999999999999999.1", "before=-1.-1", "live=abc",
    ],
)  # fmt: skip
def test_a_malformed_query_is_no_server_error(client: Client, log: Any, query: str) -> None:
    assert client.get(f"{reverse(LIST)}?{query}", follow=True).status_code in (200, 400)


@pytest.mark.parametrize("pk", ["abc", "0", "99999999999999999999", "%00", "_2C"])
def test_an_entry_that_is_not_there_is_no_server_error(client: Client, pk: str) -> None:
    response = client.get(f"{reverse(LIST)}{pk}/change/", follow=True)
    assert response.status_code in (200, 404)


# The page of an entry


def test_the_page_shows_everything_that_was_recorded(client: Client, log: dict[str, AuditEntry]) -> None:
    text = unescape(client.get(page(log["delete"])).content.decode())
    for value in ("model.delete", "Alice O'Neil", "m 1", "llm.model", "c-1", log["delete"].event_id, "2026-01-31 13:00:00+00:00"):
        assert value in text
    assert '  "resource_id": "m 1",' in text
    assert "/history/" not in text


def test_links_lead_to_the_timeline_of_the_correlation_and_of_the_resource(client: Client, log: dict[str, AuditEntry]) -> None:
    text = client.get(page(log["delete"])).content.decode()
    links = [unescape(link) for link in re.findall(rf'href="({re.escape(reverse(TIMELINE))}\?[^"]+)"', text)]
    found = {link.partition("?")[2]: client.get(link).context["moments"] for link in links}
    assert {query: [entry.event_type for entry, _ in moments] for query, moments in found.items()} == {
        urlencode({"resource_type": "llm.model", "resource_id": "m 1"}): ["model.delete"],
        urlencode({"correlation": "c-1"}): ["model.update", "model.delete"],
    }


def test_markup_in_an_event_is_shown_as_text(client: Client) -> None:
    entry = record(
        "model.delete",
        {"resource_type": SCRIPT, "resource_id": SCRIPT, "action": SCRIPT, "note": [SCRIPT, {"</pre><script>": SCRIPT}]},
        metadata={"actor": {"type": "user", "id": SCRIPT, "label": SCRIPT}, "user_agent": SCRIPT},
    )
    for response in (
        client.get(page(entry)),
        client.get(reverse(LIST)),
        client.get(reverse(LIST), {"actor": SCRIPT, "action": SCRIPT}),
    ):
        text = response.content.decode()
        assert "<script>alert" not in text
        assert "</pre><script>" not in text
        assert "&lt;script&gt;alert" in text


def test_json_is_readable_in_every_language(client: Client) -> None:
    text = unescape(client.get(page(record(data={"Größe": "日本語", "at": START}))).content.decode())
    assert '"Größe": "日本語"' in text
    assert '"at": "2026-01-31T12:00:00+00:00"' in text
