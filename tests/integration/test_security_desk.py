"""Incidents in the admin: who may see and work on them, what the pages show, and that nothing in them is markup."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

import events
from audit.models import AuditEntry
from events.models import JournalEntry
from events.types import utcnow
from security.memory import Kind, memory, seen_proxies
from security.models import CoolOff, Delivery, Evidence, Incident, Remark
from tests.support.auditing import empty_log, entry
from tests.support.desk import incident

pytestmark = pytest.mark.django_db

LIST = "/admin/security/incident/"
DASHBOARD = LIST + "dashboard/"
COOL_OFFS = "/admin/security/cooloff/"
HOSTILE = "<script>alert('x')</script>" + "\u202e<img src=x onerror=alert(1)>" + "x" * 100


def account(name: str = "someone", *permissions: str, staff: bool = True, superuser: bool = False) -> Client:
    user = User.objects.create_user(name, is_staff=staff, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def client() -> Client:
    return account("admin", superuser=True)


def page(of: Incident) -> str:
    return f"{LIST}{of.pk}/change/"


def act(client: Client, of: Incident, what: str, text: str = "") -> Any:
    return client.post(reverse("admin:security_incident_act", args=[of.pk, what]), {"text": text})


# Who may do what

VIEW, CHANGE = "view_incident", "change_incident"
PAGES = {"list": LIST, "dashboard": DASHBOARD, "incident": LIST + "{pk}/change/"}
ACTS = {name: LIST + "{pk}/act/" + name + "/" for name in ("acknowledge", "note", "close")}
# Permissions, staff, superuser; whether they see, whether they act.
WHO = {
    "no staff, all permissions": ((VIEW, CHANGE), False, False, False, False),
    "staff without a permission": ((), True, False, False, False),
    "staff who may see cool-offs": (("view_cooloff", "delete_cooloff"), True, False, False, False),
    "staff who may view": ((VIEW,), True, False, True, False),
    "staff who may change": ((CHANGE,), True, False, True, True),
    "staff who may view and change": ((VIEW, CHANGE), True, False, True, True),
    "superuser": ((), True, True, True, True),
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("who", WHO)
def test_a_page_is_for_who_may_see_incidents(who: str, name: str) -> None:
    permissions, staff, superuser, sees, _ = WHO[who]
    client = account("someone", *permissions, staff=staff, superuser=superuser)
    status = client.get(PAGES[name].format(pk=incident().pk)).status_code
    assert status == (200 if sees else 403 if staff else 302)


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("who", WHO)
def test_an_act_is_for_who_may_change_incidents(who: str, name: str) -> None:
    permissions, staff, superuser, _, acts = WHO[who]
    one = incident()
    client = account("someone", *permissions, staff=staff, superuser=superuser)
    response = client.post(ACTS[name].format(pk=one.pk), {"text": "seen"})
    assert response.status_code == (302 if acts or not staff else 403)
    assert Remark.objects.count() == (1 if acts else 0)
    assert bool(AuditEntry.objects.filter(event_type__startswith="incident.")) == acts


@pytest.mark.parametrize("address", [*PAGES.values(), *ACTS.values(), COOL_OFFS])
def test_nobody_gets_in_without_signing_in(address: str) -> None:
    address = address.format(pk=incident().pk)
    assert Client().get(address).status_code == 302
    assert Client().post(address, {"text": "x"}).status_code == 302
    assert not Remark.objects.exists()


def test_the_buttons_are_for_who_may_use_them() -> None:
    one = incident()
    assert "Acknowledge" not in account("viewer", VIEW).get(page(one)).content.decode()
    assert "Acknowledge" in account("worker", CHANGE).get(page(one)).content.decode()


def test_nobody_adds_edits_or_deletes(client: Client) -> None:
    one = incident()
    assert client.get(LIST + "add/").status_code == 403
    assert client.post(f"{LIST}{one.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(page(one), {"state": "closed", "summary": "x"})
    one.refresh_from_db()
    assert (one.state, one.summary) == ("open", "5 failed logins within 300 s: address 203.0.113.9")


def test_an_act_needs_the_csrf_token() -> None:
    one = incident()
    user = User.objects.create_superuser("root")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert act(client, one, "close").status_code == 403
    assert not Remark.objects.exists()


@pytest.mark.parametrize("name", ACTS)
def test_an_act_is_no_get(client: Client, name: str) -> None:
    assert client.get(ACTS[name].format(pk=incident().pk)).status_code == 405


@pytest.mark.parametrize("address", ["0/act/close/", "abc/act/close/", "%00/act/close/", "{pk}/act/explode/"])
def test_what_is_not_there_is_not_found(client: Client, address: str) -> None:
    assert client.post(LIST + address.format(pk=incident().pk), {"text": "x"}).status_code == 404


# Working on an incident


def test_what_was_done_is_on_the_page_and_in_the_audit_log(client: Client) -> None:
    one = incident()
    for what, text in (("acknowledge", ""), ("note", "It is the scanner."), ("close", "Blocked.")):
        assert act(client, one, what, text).url == page(one)
    one.refresh_from_db()
    assert (one.state, one.closed_by) == ("closed", "admin")
    text = client.get(page(one)).content.decode()
    for word in ("It is the scanner.", "Blocked.", "by admin", "Noted"):
        assert word in text
    audited = AuditEntry.objects.filter(resource_type="security.incident", resource_id=str(one.pk)).order_by("id")
    assert [(row.event_type, row.actor_label) for row in audited] == [
        ("incident.acknowledged", "admin"),
        ("incident.noted", "admin"),
        ("incident.closed", "admin"),
    ]


def test_what_is_not_known_is_said_to_be_unknown(client: Client) -> None:
    page = client.get(PAGES["incident"].format(pk=incident(numbers={"by": None}).pk)).content.decode()
    assert "<dd>unknown</dd>" in page


def test_a_closed_incident_is_not_closed_again(client: Client) -> None:
    one = incident(state="closed", closed_at=utcnow(), closed_by="system")
    response = client.post(reverse("admin:security_incident_act", args=[one.pk, "close"]), {}, follow=True)
    assert "the incident is closed" in response.content.decode()
    assert not Remark.objects.exists()
    text = client.get(page(one)).content.decode()
    assert ">Close<" not in text
    assert ">Acknowledge<" not in text
    assert ">Note<" in text


@pytest.mark.parametrize("text", ["", "   ", "a\0b", "x" * 4_001])
def test_a_note_that_says_nothing_or_too_much_is_refused(client: Client, text: str) -> None:
    one = incident()
    assert act(client, one, "note", text).status_code == 302
    assert not Remark.objects.exists()


# The list


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"state__exact": "open"}, {"brute_force"}),
        ({"severity__exact": "critical"}, {"token_reuse"}),
        ({"kind": "token_reuse"}, {"token_reuse"}),
        ({"q": "203.0.113.9"}, {"brute_force"}),
        ({"q": "account 7"}, {"token_reuse"}),
        ({"opened_at_from_0": "2999-01-01"}, set()),
        ({"state__exact": "open", "severity__exact": "critical"}, set()),
        ({"kind": "never_heard_of"}, set()),
        ({}, {"brute_force", "token_reuse"}),
    ],
)
def test_incidents_are_found(client: Client, parameters: dict[str, str], found: set[str]) -> None:
    incident()
    incident(kind="token_reuse", severity="critical", subject="account 7", account="7", address="", state="closed")
    assert {one.kind for one in client.get(LIST, parameters).context["cl"].result_list} == found


@pytest.mark.parametrize(
    "query", ["q=%00", "kind=%00", "state__exact=nonsense", "nonsense=1", "p=-1", "summary__iregex=(", "evidence__event_id=x"]
)
def test_a_malformed_query_is_no_server_error(client: Client, query: str) -> None:
    incident()
    assert client.get(f"{LIST}?{query}", follow=True).status_code in (200, 400)


def test_the_list_takes_few_queries(client: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(60):
        incident(subject=f"address 203.0.113.{number}")
    with django_assert_max_num_queries(5):
        assert len(client.get(LIST).context["cl"].result_list) == 50


# The page of an incident


def test_evidence_links_to_its_events_and_its_correlation(client: Client) -> None:
    with events.correlate("c-1"):
        events.emit("auth.login_failure", {"ip": "203.0.113.9"}, category="security", metadata={"ip_address": "203.0.113.9"})
    told = JournalEntry.objects.get(event_type="auth.login_failure", category="security")
    one = incident()
    Evidence.objects.create(
        incident=one, event_id=told.event_id, event_type=told.event_type, correlation_id="c-1", at=told.timestamp
    )
    text = unescape(client.get(page(one)).content.decode())
    for url in (f"/admin/events/journalentry/{told.pk}/change/", "/admin/audit/auditentry/timeline/?correlation=c-1"):
        assert f'href="{url}"' in text
        assert client.get(url).status_code == 200


def test_address_and_account_link_to_their_history(client: Client) -> None:
    user = User.objects.create_user("alice")
    one = incident(account=str(user.pk), correlation_id="c-1")
    links = dict(client.get(page(one)).context["links"])
    assert links["History of 203.0.113.9"] == "/admin/audit/auditentry/?address=203.0.113.9"
    assert links["Account of alice"] == f"/admin/auth/user/{user.pk}/change/"
    assert links[f"History of user {user.pk}"] == f"/admin/audit/auditentry/?user={user.pk}"
    for url in links.values():
        assert client.get(url).status_code == 200


def test_links_are_for_who_may_follow_them() -> None:
    user = User.objects.create_user("alice")
    one = incident(account=str(user.pk))
    told = JournalEntry.objects.create(
        event_id="e-1",
        event_type="auth.login_failure",
        category="security",
        priority="high",
        audience="staff:security",
        timestamp=utcnow(),
        body="{}",
    )
    Evidence.objects.create(incident=one, event_id="e-1", event_type=told.event_type, correlation_id="c-1", at=told.timestamp)
    response = account("viewer", VIEW).get(page(one))
    assert response.context["links"] == []
    assert "journalentry" not in response.content.decode()


@pytest.mark.parametrize("account_id", ["abc", "99999999999999999999", "a,b", "-"])
def test_an_account_that_is_none_has_no_link(client: Client, account_id: str) -> None:
    links = dict(client.get(page(incident(account=account_id))).context["links"])
    assert not [text for text in links if text.startswith("Account")]


def test_a_delivery_that_was_given_up_is_said(client: Client) -> None:
    one = incident()
    secret = "https://hooks.example.org/T0/secret-path"
    Delivery.objects.create(
        incident=one,
        channel="webhook",
        target=secret,
        state="failed",
        attempts=8,
        next_attempt_at=utcnow(),
        last_error="answered 500",
    )
    text = client.get(page(one)).content.decode()
    assert "given up" in text
    assert "8 attempts: answered 500" in text
    assert "hooks.example.org" in text
    assert "secret-path" not in text
    assert "1 alert by webhook could not be delivered" in client.get(DASHBOARD).content.decode()


def test_the_page_takes_few_queries(client: Client, django_assert_max_num_queries: Any) -> None:
    one = incident(account="1")
    for number in range(50):
        Evidence.objects.create(incident=one, event_id=f"e-{number}", event_type="auth.login_failure", at=utcnow())
        Remark.objects.create(incident=one, act="noted", author="admin", text="x", at=utcnow())
    with django_assert_max_num_queries(8):
        assert client.get(page(one)).status_code == 200


# Hostile text


def test_markup_is_shown_as_text(client: Client) -> None:
    one = incident(
        kind="brute_force",
        subject=HOSTILE,
        summary=HOSTILE,
        address="",
        account="",
        numbers={HOSTILE: HOSTILE, "keys": {HOSTILE: [HOSTILE]}},
    )
    Evidence.objects.create(incident=one, event_id="e", event_type=HOSTILE[:100], correlation_id=HOSTILE[:128], at=utcnow())
    act(client, one, "note", HOSTILE)
    Delivery.objects.create(
        incident=one, channel="mail", target="a@b", state="failed", next_attempt_at=utcnow(), last_error=HOSTILE
    )
    CoolOff.objects.create(subject=HOSTILE, since=utcnow(), until=utcnow() + timedelta(minutes=5))
    for address in (LIST, page(one), DASHBOARD, COOL_OFFS):
        text = client.get(address).content.decode()
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;alert" in text


# The dashboard


def failure(number: int = 0, **fields: Any) -> AuditEntry:
    values: dict[str, Any] = {"event_type": "auth.login_failure", "action": "login_failure", "source_category": "security"}
    return entry(
        timestamp=utcnow() - timedelta(minutes=number), **values | {"outcome": "failure", "ip_address": "203.0.113.9"} | fields
    )


def test_the_dashboard_shows_what_is_not_closed_the_worst_first(client: Client) -> None:
    incident(kind="brute_force", severity="medium", subject="address 203.0.113.1")
    incident(
        kind="token_reuse",
        severity="critical",
        subject="account 7",
        state="acknowledged",
        last_event_at=utcnow() - timedelta(hours=1),
    )
    incident(kind="enumeration", severity="high", subject="site", state="closed")
    context = client.get(DASHBOARD).context
    assert [one.kind for one in context["incidents"]] == ["token_reuse", "brute_force"]
    assert [(label, number) for label, _, number, _ in context["counts"]] == [
        ("Critical", 1),
        ("High", 0),
        ("Medium", 1),
        ("Low", 0),
    ]


@pytest.mark.parametrize("permissions", [(), (VIEW,), (CHANGE,)])
def test_a_proxy_that_is_none_is_forgotten_by_who_may(permissions: tuple[str, ...]) -> None:
    memory.add(Kind.PROXY, "outside", "8.8.8.8")
    forget, client = reverse("admin:security_incident_forget_proxy"), account("someone", *permissions)
    may = CHANGE in permissions
    shown = client.get(DASHBOARD)
    assert ("8.8.8.8" in shown.content.decode()) == bool(permissions)
    assert ("forget it" in shown.content.decode()) == may
    assert client.get(forget).status_code == (405 if may else 403)
    assert client.post(forget, {"address": "8.8.8.8"}).status_code == (302 if may else 403)
    assert seen_proxies() == ([] if may else ["8.8.8.8"])
    audited = AuditEntry.objects.filter(event_type="proxy.forgotten").values_list("actor_label", "resource_id")
    assert list(audited) == ([("someone", "8.8.8.8")] if may else [])


@pytest.mark.parametrize("address", ["", "9.9.9.9", HOSTILE, "\0"])
def test_a_proxy_that_nobody_saw_is_not_forgotten(client: Client, address: str) -> None:
    memory.add(Kind.PROXY, "outside", "8.8.8.8")
    response = client.post(reverse("admin:security_incident_forget_proxy"), {"address": address}, follow=True)
    assert "It could not be done" in response.content.decode()
    assert seen_proxies() == ["8.8.8.8"]
    assert not AuditEntry.objects.filter(event_type="proxy.forgotten").exists()


def test_the_dashboard_counts_failed_logins_and_names_who_and_where_from(client: Client) -> None:
    alice = User.objects.create_user("alice")
    for number in range(3):
        failure(number, user_id=str(alice.pk))
    failure(ip_address="2001:db8::1", data={"username_hash": "abcdef0123456789"})
    failure(60 * 24 + 61, user_id=str(alice.pk))  # yesterday
    failure(
        action="login_failures",
        event_type="auth.login_failures",
        ip_address=None,
        data={
            "count": 100,
            "addresses": [["198.51.100.1", 90], ["198.51.100.2", 7]],
            "accounts": [["4711", 50]],
            "username_hashes": [["ffff", 3]],
        },
    )
    shown = client.get(DASHBOARD).context["figures"]
    assert shown.total == 104
    assert [(one.label, one.number) for one in shown.addresses] == [
        ("198.51.100.1", 90),
        ("198.51.100.2", 7),
        ("203.0.113.9", 3),
        ("2001:db8::1", 1),
    ]
    assert [(one.label, one.number) for one in shown.accounts] == [
        ("user 4711", 50),
        ("alice", 3),
        ("unknown name ffff", 3),
        ("unknown name abcdef01", 1),
    ]
    assert shown.since is None
    assert not shown.is_part


@pytest.mark.parametrize(
    "data", [[], "x", {"count": "many"}, {"count": -1}, {"addresses": [[1, 2], ["x"], "y", ["203.0.113.1", "n"]], "accounts": 7}]
)
def test_a_summary_of_another_make_is_no_server_error(client: Client, data: Any) -> None:
    failure(action="login_failures", ip_address=None, data=data)
    assert client.get(DASHBOARD).context["figures"].total == 0


def test_what_is_read_of_a_long_log_is_bounded_and_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("security.admin.figures.MAX_ENTRIES", 5)
    monkeypatch.setattr("security.admin.figures.MAX_FAILURES", 3)
    empty_log()
    for number in range(8):
        failure(number)
    response = client.get(DASHBOARD)
    shown = response.context["figures"]
    assert shown.total == 5
    assert shown.addresses[0].number == 3
    assert "the log is too long" in response.content.decode()
    assert "of the latest ones" in response.content.decode()


def test_of_many_summaries_all_are_counted_and_the_latest_name_who(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("security.admin.figures.MAX_NAMING", 2)
    for number in range(4):
        data = {"count": 10, "addresses": [[f"198.51.100.{number}", 10]]}
        failure(number, action="login_failures", event_type="auth.login_failures", ip_address=None, data=data)
    shown = client.get(DASHBOARD).context["figures"]
    assert (shown.total, shown.is_part, shown.since) == (40, True, None)
    assert [one.label for one in shown.addresses] == ["198.51.100.0", "198.51.100.1"]


def test_the_dashboard_takes_few_queries(client: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(30):
        incident(subject=f"address 203.0.113.{number}")
        failure(number, user_id=str(number))
    with django_assert_max_num_queries(15):
        assert client.get(DASHBOARD).status_code == 200


def test_links_of_the_dashboard_lead_to_failures(client: Client) -> None:
    failure(user_id="7")
    text = unescape(client.get(DASHBOARD).content.decode())
    for url in re.findall(r'href="(/admin/audit/auditentry/\?[^"]+)"', text):
        assert [row.event_type for row in client.get(url).context["cl"].result_list] == ["auth.login_failure"]
    assert "action=login_failure&period=24h&address=203.0.113.9" in text


# Cool-offs


def cool_off(subject: str = "pair", minutes: int = 5) -> CoolOff:
    now = utcnow()
    return CoolOff.objects.create(
        subject=subject, address="203.0.113.9", account="7", since=now, until=now + timedelta(minutes=minutes)
    )


def release(client: Client, *chosen: CoolOff) -> Any:
    return client.post(COOL_OFFS, {"action": "release", "_selected_action": [one.pk for one in chosen]})


@pytest.mark.parametrize(("permissions", "status"), [((), 403), ((VIEW, CHANGE), 403), (("view_cooloff",), 200)])
def test_cool_offs_are_for_who_may_see_them(permissions: tuple[str, ...], status: int) -> None:
    cool_off()
    assert account("someone", *permissions).get(COOL_OFFS).status_code == status


def test_a_cool_off_is_released_by_who_may(client: Client) -> None:
    one, other = cool_off("a"), cool_off("b")
    release(account("viewer", "view_cooloff"), one)
    assert CoolOff.objects.count() == 2
    release(account("worker", "view_cooloff", "delete_cooloff"), one)
    assert list(CoolOff.objects.all()) == [other]
    assert AuditEntry.objects.get(event_type="auth.cool_off_released").actor_label == "worker"


def test_a_cool_off_that_is_over_says_so(client: Client) -> None:
    cool_off("a")
    cool_off("b", -1)
    text = client.get(COOL_OFFS).content.decode()
    assert "in force" in text
    assert "over" in text
