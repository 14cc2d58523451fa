"""The list's pages: by key, with few queries, nothing counted, and followed live without being recorded anew."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from audit.admin.changelist import LIVE_FOR
from audit.models import AuditEntry
from audit.reading.paging import Key, read_page
from audit.testing import unprotected
from tests.support.auditing import START, account, entry, readings

pytestmark = pytest.mark.django_db

LIST = "/admin/audit/auditentry/"


@pytest.fixture
def client() -> Client:
    return account("admin", superuser=True)


def changelist(client: Client, address: str = "", **query: Any) -> Any:
    response = client.get(LIST + address, query)
    assert response.status_code == 200
    return response.context["cl"]


def ids(entries: list[AuditEntry]) -> list[int]:
    return [one.pk for one in entries]


@pytest.mark.parametrize("ties", [False, True], ids=["moments of their own", "one moment"])
def test_pages_lead_through_all_entries_and_back(ties: bool) -> None:
    made = ids([entry(0 if ties else number) for number in range(7)])[::-1]
    log = [AuditEntry.objects.all()]
    first = read_page(log, 3)
    second = read_page(log, 3, before=first.older)
    third = read_page(log, 3, before=second.older)
    assert [ids(page.entries) for page in (first, second, third)] == [made[:3], made[3:6], made[6:]]
    assert (first.newer, third.older) == (None, None)
    back = read_page(log, 3, after=third.newer)
    assert ids(back.entries) == made[3:6]
    assert ids(read_page(log, 3, after=back.newer).entries) == made[:3]


def test_a_page_stays_as_it_is_while_entries_arrive() -> None:
    made = ids([entry(number) for number in range(5)])[::-1]
    log = [AuditEntry.objects.all()]
    first = read_page(log, 2)
    entry(99)
    assert ids(read_page(log, 2, before=first.older).entries) == made[2:4]


def test_where_less_than_a_page_is_newer_the_first_page_is_shown() -> None:
    made = [entry(number) for number in range(5)]
    page = read_page([AuditEntry.objects.all()], 3, after=Key.of(made[3]))
    assert ids(page.entries) == ids(made[:1:-1])
    assert page.newer is None


def test_what_several_columns_hold_is_merged_in_order_and_once() -> None:
    both, one, other = entry(1, user_id="7", resource_id="7"), entry(2, user_id="7"), entry(3, resource_id="7")
    entry(4)
    page = read_page([AuditEntry.objects.filter(user_id="7"), AuditEntry.objects.filter(resource_id="7")], 10)
    assert ids(page.entries) == ids([other, one, both])


def test_a_place_is_read_as_it_was_written() -> None:
    key = Key(START, 42)
    assert Key.parse(str(key)) == key


@pytest.mark.parametrize("text", ["", "1", "a.1", "1.a", "9" * 30 + ".1", "1.-1", "1." + "9" * 30])
def test_other_text_is_no_place(text: str) -> None:
    with pytest.raises(ValueError):
        Key.parse(text)


def test_the_list_links_older_and_newer_pages_with_its_filters(client: Client) -> None:
    for number in range(120):
        entry(number, action="share" if number % 2 else "delete")
    first = changelist(client, action="share")
    assert (len(first.result_list), first.paginator.newer) == (50, None)
    second = changelist(client, first.paginator.older)
    assert (len(second.result_list), second.paginator.older) == (10, None)
    assert "action=share" in second.paginator.newer
    assert ids(changelist(client, second.paginator.newer).result_list) == ids(first.result_list)


def test_a_filter_chosen_on_an_old_page_begins_at_the_newest(client: Client) -> None:
    for number in range(60):
        entry(number)
    text = client.get(LIST + changelist(client).paginator.older).content.decode()
    assert 'name="before"' not in text


@pytest.mark.parametrize("query", [{}, {"action": "delete"}, {"q": "nothing"}, {"q": "7"}], ids=str)
def test_a_page_takes_few_queries_counts_nothing_and_reads_no_payload(
    client: Client, query: dict[str, str], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    AuditEntry.objects.bulk_create([entry_for(number) for number in range(120)])
    changelist(client)  # the journal is begun once
    with django_assert_max_num_queries(15) as captured:
        changelist(client, **query)
    queries = [one["sql"] for one in captured.captured_queries if one["sql"].startswith("SELECT")]
    assert not any("COUNT(" in sql.upper() or "DISTINCT" in sql.upper() or "LIKE" in sql.upper() for sql in queries)
    assert not any('"audit_log"."metadata"' in sql for sql in queries)


def entry_for(number: int) -> AuditEntry:
    with unprotected():
        made = entry(number, user_id="7", resource_id=str(number))
        made.delete()
    made.pk = None
    return made


def test_the_foot_says_how_many_there_are_without_counting(client: Client) -> None:
    for number in range(60):
        entry(number, action="share" if number < 2 else "delete")
    assert changelist(client).paginator.summary == "about 60 entries"
    assert changelist(client, action="share").paginator.summary == "2 entries"
    assert changelist(client, action="delete").paginator.summary == "50 entries on this page"


# Live


def test_a_page_asks_for_its_newest_entries_again_without_a_record(client: Client) -> None:
    entry()
    live = client.get(LIST, {"action": "delete"}).context["live_url"]
    assert [kind for kind, _ in readings()] == ["searched"]
    new = entry(5)
    response = client.get(LIST + live)
    assert response.context["cl"].result_list[0] == new
    assert [kind for kind, _ in readings()] == ["searched"]


def test_a_live_page_is_recorded_again_after_some_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(ago: int) -> str:
        with monkeypatch.context() as then:
            then.setattr(signing.TimestampSigner, "timestamp", lambda self: signing.b62_encode(int(time.time()) - ago))
            return str(client.get(LIST).context["live_url"])

    young, old = opened(LIVE_FOR - 60), opened(LIVE_FOR + 1)
    before = len(readings())
    # With a time of its own it would go on for ever.
    assert client.get(LIST + young).context["live_url"] == young
    assert len(readings()) == before
    again = client.get(LIST + old).context["live_url"]
    assert again not in (young, old)
    assert len(readings()) == before + 1
    client.get(LIST + again)
    assert len(readings()) == before + 1


def test_other_filters_another_page_another_user_and_another_session_are_recorded_though_they_claim_to_be_live(
    client: Client,
) -> None:
    live = client.get(LIST, {"action": "delete"}).context["live_url"]
    parameter = live.partition("live=")[2]
    User.objects.create_superuser("other")
    other = Client()
    other.force_login(User.objects.get(username="other"))
    elsewhere = Client()
    elsewhere.force_login(User.objects.get(username="admin"))
    for asking, address in (
        (client, f"?action=share&live={parameter}"),
        (client, f"{live}&before=1.1"),
        (client, f"?action=delete&live={parameter[:-1]}"),
        (other, live),
        (elsewhere, live),
    ):
        before = len(readings())
        asking.get(LIST + address)
        assert len(readings()) == before + 1, address


def test_only_the_newest_page_is_live(client: Client) -> None:
    for number in range(60):
        entry(number)
    first = client.get(LIST)
    assert b"audit/live" in first.content
    older = client.get(LIST + first.context["cl"].paginator.older)
    assert b"audit/live" not in older.content


def test_the_addresses_have_names() -> None:
    assert reverse("admin:audit_auditentry_export") == f"{LIST}export/"
