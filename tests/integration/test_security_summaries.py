"""What the monitor makes of the counted summaries of floods: as much as of singles, and as cheaply as of one."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

import events
from events.testing import wait_published
from events.types import UnifiedEvent, create_security_event
from security.models import Counter, Incident
from security.monitor import monitor
from security.sources.floods import floods
from security.sources.tally import KEPT

pytestmark = pytest.mark.django_db(transaction=True)

HERE = "203.0.113.9"


def fail(username: str, address: str = HERE) -> None:
    request = RequestFactory().post("/", REMOTE_ADDR=address)
    user_login_failed.send(sender=__name__, credentials={"username": username}, request=request)


def told_kinds() -> dict[str, str]:
    """The incidents, when all that was folded is told."""
    floods.flush()
    wait_published()
    return {incident.kind: incident.subject for incident in Incident.objects.all()}


def test_a_summary_of_a_flood_counts_as_much_as_it_tells() -> None:
    data = {"count": 400, "network": "203.0.113.9", "accounts": [["7", 200], ["8", 100]], "username_hashes": [["abc", 50]]}
    events.emit("auth.login_failures", data, category="security")
    wait_published()
    incidents = {incident.subject: incident.events for incident in Incident.objects.filter(kind="brute_force")}
    assert incidents == {"address 203.0.113.9": 400}
    assert Incident.objects.get(subject="site").events == 400


def test_a_summary_of_many_addresses_accuses_none_of_them_but_tells_the_account() -> None:
    data = {"count": 40, "network": None, "addresses": [["203.0.113.9", 3]], "accounts": [["7", 40]]}
    events.emit("auth.login_failures", data, category="security", metadata={"ip_address": "203.0.113.9"})
    wait_published()
    assert [incident.subject for incident in Incident.objects.all()] == ["account 7"]


THRESHOLDS = {"STUFFING_ACCOUNTS": KEPT, "ENUMERATION": KEPT, "GUESSING_ADDRESSES": KEPT}


def test_a_folded_list_of_names_is_stuffing_and_enumeration_also_where_the_thresholds_are_high(settings: Any) -> None:
    settings.SECURITY = {"FLOOD_AFTER": 5} | THRESHOLDS
    for n in range(KEPT - 1):
        fail(f"nobody-{n}")
    assert told_kinds() == {"brute_force": f"address {HERE}"}
    for n in range(3 * KEPT):
        fail(f"more-{n}")
    assert told_kinds().keys() == {"brute_force", "credential_stuffing", "enumeration", "password_spraying"}


def test_one_account_guessed_at_from_many_addresses_is_that_also_when_most_is_folded(settings: Any) -> None:
    alice = User.objects.create_user("alice")
    settings.SECURITY = {"FLOOD_AFTER_SITE": 5} | THRESHOLDS
    for n in range(KEPT - 1):
        fail("alice", f"198.51.100.{n}")
    assert "distributed_guessing" not in told_kinds()
    fail("alice", "198.51.100.200")
    assert told_kinds()["distributed_guessing"] == f"account {alice.pk}"


def test_addresses_of_a_summary_about_several_accounts_are_laid_to_none_of_them(settings: Any) -> None:
    settings.SECURITY = {"GUESSING_ADDRESSES": 2}
    monitor.look_at(summary(addresses=[["198.51.100.1", 60], ["198.51.100.2", 40]], accounts=[["7", 50], ["8", 50]]))
    assert not Incident.objects.filter(kind="distributed_guessing").exists()
    assert not Counter.objects.filter(key__contains="198.51.100").exists()
    monitor.look_at(summary(addresses=[["198.51.100.1", 60], ["198.51.100.2", 40]], accounts=[["7", 100]]))
    assert Incident.objects.get(kind="distributed_guessing").subject == "account 7"


def summary(**data: Any) -> UnifiedEvent:
    return create_security_event("auth.login_failures", {"count": 100, "network": None} | data)


def test_a_summary_of_a_hundred_members_takes_as_many_queries_as_one_of_two(settings: Any) -> None:
    numbers = []
    for members in (2, KEPT):
        names = [[f"{members}-{n}", 1] for n in range(members)]
        with CaptureQueriesContext(connection) as captured:
            monitor.look_at(summary(network=f"203.0.113.{members}", username_hashes=names))
        sql = [query["sql"] for query in captured]
        numbers.append(sum("security_counter" in one and "alerts:" not in one for one in sql))
        assert Counter.objects.filter(key__startswith=f"guessing/{members}-").count() == members
    assert numbers[0] == numbers[1]


def test_an_event_is_one_more_of_an_incident_however_many_parts_tell_of_it() -> None:
    event = summary(network=HERE, username_hashes=[[f"{n}", 1] for n in range(60)])
    monitor.look_at(event)
    assert {incident.kind: (incident.events, incident.evidence.count()) for incident in Incident.objects.all()} == {
        "brute_force": (100, 1),
        "login_failure_surge": (100, 1),
        "credential_stuffing": (60, 1),
        "enumeration": (60, 1),
    }


def test_of_very_many_names_those_that_are_not_singled_out_count_for_the_network_only() -> None:
    names = [[f"name-{n}", 1] for n in range(60)]
    monitor.look_at(summary(network=HERE, username_hashes=names, singled_out={"username_hashes": 2}))
    for of_a_name in ("failures/account/", f"failures/pair/{HERE}/", "guessing/"):
        assert {row.key for row in Counter.objects.filter(key__startswith=of_a_name)} == {
            f"{of_a_name}name-{n}" for n in range(2)
        }
    assert Incident.objects.get(kind="credential_stuffing").events == 60
    assert Incident.objects.get(kind="enumeration").events == 60


@pytest.mark.parametrize("said", [None, 5, [], {}, {"accounts": "many"}, {"username_hashes": None}])
def test_a_summary_that_does_not_say_whom_it_singles_out_singles_out_all(said: Any) -> None:
    monitor.look_at(summary(network=HERE, username_hashes=[["a", 1], ["b", 1]], singled_out=said))
    assert Counter.objects.filter(key__startswith="guessing/").count() == 2


def test_an_account_that_many_networks_guess_at_shows_among_more_names_than_are_counted(settings: Any) -> None:
    names = ("alice", "bob", "carol")
    users = [User.objects.create_user(name) for name in names]
    noise = [User.objects.create_user(f"noise-{n}") for n in range(20)]
    settings.SECURITY = {"FLOOD_AFTER": 1, "FLOOD_SUMMARY_INTERVAL": 60}
    networks = [f"203.0.113.{n}" for n in range(50)]
    for place, network in enumerate(networks):
        fail("nobody", network)  # is told by itself
        for other in ("nobody", *(noise[(place + n) % 20].username for n in range(3)), *names):
            fail(other, network)
    told_kinds()
    guessed = Incident.objects.filter(kind="distributed_guessing").values_list("subject", flat=True)
    assert {f"account {user.pk}" for user in users} <= set(guessed)
    pairs = Counter.objects.filter(key__startswith="failures/pair/")
    assert pairs.count() <= len(networks) + 2 * KEPT


def test_a_login_that_succeeds_after_many_failures_shows_also_where_more_names_fail_than_are_counted(settings: Any) -> None:
    alice = User.objects.create_user("alice", password="right")
    settings.SECURITY = {"FLOOD_AFTER": 1, "FLOOD_SUMMARY_INTERVAL": 60}
    for n in range(KEPT + 20):
        User.objects.create_user(f"noise-{n}")
        for _ in range(2):
            fail(f"noise-{n}", f"198.51.100.{n}")
    for _ in range(8):
        fail("alice")
    told_kinds()
    request = RequestFactory().post("/", REMOTE_ADDR=HERE)
    user_logged_in.send(sender=User, request=request, user=alice)
    assert told_kinds()["success_after_failures"] == f"account {alice.pk}"
