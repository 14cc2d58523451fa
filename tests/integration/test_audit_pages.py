"""The timeline, the chart, the diff, the export of what is filtered, and that the reading itself is recorded."""

from __future__ import annotations

import json
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from audit.admin.chart import volume
from audit.admin.diff import PAGE_CHARACTERS
from audit.admin.pages import TIMELINE_SIZE
from audit.models import AuditEntry
from events.types import utcnow
from tests.support.auditing import START, account, entry, readings

pytestmark = pytest.mark.django_db

ADMIN = "/admin/audit/auditentry/"
ORDER = {"resource_type": "shop.order", "resource_id": "7"}
SCRIPT = "<script>alert('x')</script>"


@pytest.fixture
def client() -> Client:
    return account("admin", superuser=True)


def text(client: Client, address: str, **query: Any) -> str:
    response = client.get(ADMIN + address, query)
    assert response.status_code == 200
    return unescape(response.content.decode())


# The diff


def test_an_entry_shows_old_and_new_side_by_side(client: Client) -> None:
    page = text(client, f"{entry(changes={'status': ['is open', 'is paid'], 'note': [None, 'x']}).pk}/change/")
    assert "is <del>open</del>" in page
    assert "is <ins>paid</ins>" in page
    assert "Changes" in page


def test_an_entry_without_changes_has_no_diff(client: Client) -> None:
    assert "audit-diff" not in text(client, f"{entry().pk}/change/")


def test_markup_in_a_change_is_shown_as_text(client: Client) -> None:
    made = entry(
        changes={SCRIPT: [SCRIPT, f"{SCRIPT}!"]}, resource_label=SCRIPT, impersonator=SCRIPT, actor_label=SCRIPT, **ORDER
    )
    for address in (f"{made.pk}/change/", "timeline/?resource_type=shop.order&resource_id=7", ""):
        assert "<script>alert" not in client.get(ADMIN + address).content.decode()


# The timeline


def test_a_timeline_tells_what_happened_to_an_object_newest_first(client: Client) -> None:
    entry(1, **ORDER, event_type="shop.order.created", resource_label="Order 7", actor_label="alice")
    entry(2, **ORDER, event_type="shop.order.updated", changes={"status": ["open", "paid"]}, correlation_id="c-1")
    entry(3, resource_type="shop.invoice", resource_id="7", event_type="shop.invoice.created")
    page = text(client, "timeline/", **ORDER)
    assert page.index("shop.order.updated") < page.index("shop.order.created")
    assert "shop.invoice" not in page
    assert "Timeline of shop.order Order 7" in page
    assert "<del>open</del>" in page
    assert "?correlation=c-1" in page


def test_a_timeline_tells_what_happened_in_a_correlation(client: Client) -> None:
    entry(1, correlation_id="c-1", event_type="import.started")
    entry(2, correlation_id="c-1", event_type="shop.order.created", **ORDER)
    page = text(client, "timeline/", correlation="c-1")
    assert page.index("shop.order.created") < page.index("import.started")
    assert "?resource_type=shop.order&resource_id=7" in page


def test_a_long_timeline_has_pages(client: Client) -> None:
    for number in range(TIMELINE_SIZE + 1):
        entry(number, correlation_id="c-1")
    response = client.get(f"{ADMIN}timeline/?correlation=c-1")
    assert len(response.context["moments"]) == TIMELINE_SIZE
    assert len(client.get(f"{ADMIN}timeline/{response.context['older']}").context["moments"]) == 1


def test_a_timeline_compares_so_much_and_shows_the_rest_whole(client: Client) -> None:
    long = "word " * (PAGE_CHARACTERS // 15)
    for number in range(3):
        entry(number, **ORDER, changes={"text": [f"{long}old", f"{long}new"]})
    page = text(client, "timeline/", **ORDER)
    assert (page.count("<del>old</del>"), page.count(f"<del>{long}old</del>")) == (1, 2)


@pytest.mark.parametrize("query", ["", "?correlation=", "?resource_id=7", "?correlation=a&resource_id=7", "?correlation=%00"])
def test_a_timeline_of_nothing_leads_to_the_list(client: Client, query: str) -> None:
    assert client.get(f"{ADMIN}timeline/{query}").url == ADMIN


def test_what_is_changed_in_the_admin_is_in_the_timeline_that_its_page_links(client: Client) -> None:
    group = Group.objects.create(name="editors")
    client.post(f"/admin/auth/group/{group.pk}/change/", {"name": "authors"})
    page = unescape(client.get(f"/admin/auth/group/{group.pk}/change/").content.decode())
    query = f"timeline/?resource_type=auth.group&resource_id={group.pk}"
    assert query in page
    assert "admin.change" in text(client, query)


# The chart


def test_the_chart_counts_entries_by_category_and_hour(client: Client) -> None:
    for hours, category in ((0, "audit"), (1, "audit"), (1, "security"), (23, "change"), (24, "change")):
        entry(timestamp=START - timedelta(hours=hours), source_category=category)
    shown = volume("24h", START)
    assert (len(shown.labels), shown.labels[-1]) == (24, "12:00")
    assert {name: (numbers[-1], numbers[-2], numbers[0]) for name, numbers in shown.counts.items()} == {
        "audit": (1, 1, 0),
        "security": (0, 1, 0),
        "change": (0, 0, 1),
    }
    assert shown.totals()[0] == ("audit", 2)


def test_the_chart_counts_days_over_a_longer_period() -> None:
    for days in (0, 6, 7):
        entry(timestamp=START - timedelta(days=days))
    shown = volume("7d", START)
    assert (shown.labels[0], shown.labels[-1]) == ("Jan 25", "Jan 31")
    assert shown.counts == {"audit": [1, 0, 0, 0, 0, 0, 1]}


@pytest.mark.parametrize("period", ["24h", "7d", "30d", "nonsense", ""])
def test_the_charts_page_gives_chart_js_its_data(
    client: Client, period: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    entry(timestamp=utcnow())
    with django_assert_max_num_queries(15):
        response = client.get(f"{ADMIN}chart/?period={period}")
    (dataset,) = json.loads(response.context["data"])["datasets"]
    assert (dataset["label"], sum(dataset["data"])) == ("Audit", 1)


# The export of what is filtered


def test_the_list_exports_what_it_is_filtered_and_searched_for(client: Client) -> None:
    entry(1, action="share", user_id="7"), entry(2, action="share", resource_id="7"), entry(3, user_id="7")
    response = client.get(f"{ADMIN}export/?action=share&q=7&as=jsonl")
    rows = [record["row"] for record in map(json.loads, b"".join(response).splitlines()) if "row" in record]
    assert [(row["action"], row["timestamp"][14:16]) for row in rows] == [("share", "01"), ("share", "02")]
    assert response["Content-Type"] == "application/x-ndjson"
    assert response["Content-Disposition"].endswith('.jsonl"')


@pytest.mark.parametrize("query", ["as=xml", "", "as=csv&action=%00", "as=csv&timestamp__gte=never", "as=csv&outcome__exact=%00"])
def test_a_malformed_export_is_no_server_error(client: Client, query: str) -> None:
    assert client.get(f"{ADMIN}export/?{query}").status_code in (302, 400)


def test_nothing_is_exported_that_can_not_be_recorded(client: Client, settings: Any) -> None:
    entry()
    settings.EVENTS = {"UNIFIED_EVENTS_ENABLED": False}
    assert client.get(f"{ADMIN}export/?as=csv").status_code == 503
    assert client.get(ADMIN).status_code == 200


# The audit of the audit


def test_who_looks_at_the_log_is_recorded_once_a_page_view(client: Client) -> None:
    made = entry()
    for address in ("", "?action=share&q=x", f"{made.pk}/change/", "timeline/?correlation=c", "chart/?period=7d"):
        client.get(ADMIN + address)
    found = [(kind, data["page"], data.get("asked", {}), data.get("resource_id")) for kind, data in readings()]
    assert found == [
        ("viewed", "list", {}, None),
        ("searched", "list", {"action": "share", "q": "x"}, None),
        ("viewed", "entry", {}, str(made.pk)),
        ("searched", "timeline", {"correlation": "c"}, None),
        ("searched", "chart", {"period": "7d"}, None),
    ]
    recorded = AuditEntry.objects.filter(event_type__startswith="audit_log.")
    assert {(one.actor_label, one.outcome, one.resource_type) for one in recorded} == {("admin", "success", "audit_log")}


def test_an_export_is_recorded_with_its_format_and_filters(client: Client) -> None:
    client.get(f"{ADMIN}export/?action=share&as=csv")
    ((kind, data),) = readings()
    assert (kind, data["format"], data["asked"]) == ("exported", "csv", {"action": "share"})


def test_a_page_that_is_refused_or_not_there_is_not_recorded(client: Client) -> None:
    client.get(f"{ADMIN}999999/change/")
    client.get(f"{ADMIN}?timestamp__gte=never")
    assert readings() == []


def test_reading_is_not_recorded_where_that_is_switched_off(client: Client, settings: Any) -> None:
    settings.AUDIT = {"RECORD_READING": False}
    client.get(ADMIN)
    b"".join(client.get(f"{ADMIN}export/?as=csv"))
    assert readings() == []
