"""What each detector catches, and what it leaves alone: with counters of plain Python, no database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from security.counters.memory import MemoryCounters
from security.detection import Detection, Observation
from security.detectors import DETECTORS
from security.detectors.words import WATCHED
from security.recognition import recognise

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def seen(
    second: float = 0, event_type: str = "auth.login_failure", network: str | None = "203.0.113.9", **fields: Any
) -> Observation:
    return Observation(event_type, f"e-{second}", START + timedelta(seconds=second), network, network, **fields)


def detections(observations: Iterable[Observation], since: float = 0) -> list[Detection]:
    """What the detectors recognise from that second on, each kind and subject the first time."""
    counters, found = MemoryCounters(), {}
    for one in observations:
        for detection, _ in recognise([one], DETECTORS, counters):
            if one.at >= START + timedelta(seconds=since):
                found.setdefault((detection.kind, detection.subject), detection)
    return list(found.values())


def verdicts(observations: Iterable[Observation], since: float = 0) -> list[tuple[str, str]]:
    return [(found.kind, found.subject) for found in detections(observations, since)]


@pytest.mark.parametrize(
    ("seconds", "is_one"),
    [([0, 1, 2, 3], False), ([0, 1, 2, 3, 4], True), ([0, 75, 150, 225, 299], True), ([0, 75, 150, 225, 300], False)],
    ids=str,
)
def test_five_failures_within_the_window_are_brute_force(seconds: list[float], is_one: bool) -> None:
    assert bool(verdicts(seen(n, account="7") for n in seconds)) is is_one


def test_brute_force_of_one_account_from_one_address_is_about_both() -> None:
    (found,) = detections(seen(n, account="7") for n in range(9))
    assert (found.kind, found.subject, found.severity) == ("brute_force", "account 7 and address 203.0.113.9", "critical")
    assert (found.address, found.account) == ("203.0.113.9", "7")
    assert found.numbers == {
        "keys": {"address": "203.0.113.9", "account": "7"},
        "attempts": 5,
        "threshold": 5,
        "window": 300,
        "first_failure": START.isoformat(),
        "last_failure": (START + timedelta(seconds=4)).isoformat(),
        "last_failure_event_id": "e-4",
    }


def test_brute_force_of_several_accounts_is_about_the_address_and_may_be_a_busy_office() -> None:
    (found,) = detections(seen(n, account=str(n % 3)) for n in range(9))
    assert (found.kind, found.subject, found.severity) == ("brute_force", "address 203.0.113.9", "high")


def test_brute_force_from_several_addresses_is_about_the_account() -> None:
    assert verdicts(seen(n, account="7", network=f"203.0.113.{n % 3}") for n in range(5)) == [("brute_force", "account 7")]


def test_brute_force_without_an_address_is_about_the_account() -> None:
    assert verdicts(seen(n, account="7", network=None) for n in range(5)) == [("brute_force", "account 7")]


def test_an_unknown_username_is_told_as_its_hash() -> None:
    (found,) = detections(seen(n, username_hash="abc", network=f"203.0.113.{n % 3}") for n in range(5))
    assert (found.subject, found.account) == ("username abc", None)


def test_crossing_attacks_accuse_the_addresses_and_warn_the_accounts() -> None:
    found = verdicts(seen(n, account="ab"[n % 2], network=f"203.0.113.{n // 2 % 2}") for n in range(20))
    assert sorted(subject for _, subject in found) == ["account a", "account b", "address 203.0.113.0", "address 203.0.113.1"]


def test_ten_accounts_from_one_address_are_credential_stuffing_however_slow() -> None:
    assert verdicts(seen(n * 60, account=str(n)) for n in range(9)) == [("brute_force", "address 203.0.113.9")]
    found = verdicts(seen(n * 65, account=str(n)) for n in range(10))
    assert ("credential_stuffing", "address 203.0.113.9") in found
    assert verdicts(seen(n * 75, account=str(n)) for n in range(30)) == []


def test_one_account_from_ten_addresses_is_distributed_guessing_however_slow() -> None:
    found = verdicts(seen(n * 300, account="7", network=f"203.0.113.{n}") for n in range(10))
    assert found == [("distributed_guessing", "account 7")]
    assert verdicts(seen(n * 300, account="7", network=f"203.0.113.{n % 9}") for n in range(20)) == []


def usual(every: float, until: float, start: float = 0) -> list[Observation]:
    """Failures of many people, each of them once."""
    number = int((until - start) / every)
    return [seen(start + n * every, account=f"u{start}-{n}", network=f"10.{n // 200}.{n % 200}.1") for n in range(number)]


@pytest.mark.parametrize("every", [1.5, 5, 30])
def test_what_is_usual_on_the_site_is_no_surge(every: float) -> None:
    assert verdicts(usual(every, 7_200), since=3_600) == [], "in the first hour nothing is known of what is usual"


@pytest.mark.parametrize(("accounts", "kind"), [(1_000, "password_spraying"), (40, "login_failure_surge")])
def test_three_times_as_many_failures_as_usual_are_a_surge(accounts: int, kind: str) -> None:
    attack = [seen(3_600 + n, account=f"x{n % accounts}", network=f"11.{n // 200}.{n % 200}.1") for n in range(200)]
    assert (kind, "site") in verdicts(usual(20, 3_600) + attack)


def test_failures_that_grow_slowly_are_no_surge() -> None:
    observations, moment = [], 0.0
    for n in range(600):
        observations.append(seen(moment, account=f"u{n}", network=f"10.{n // 200}.{n % 200}.1"))
        moment += 60 * 0.995**n
    assert verdicts(observations) == []


def test_a_summary_of_a_flood_is_a_surge_at_once() -> None:
    assert verdicts([seen(0, "auth.login_failures", None, number=5_000)]) == [("login_failure_surge", "site")]


def test_attempts_that_are_refused_are_the_attack_that_goes_on() -> None:
    singles = [seen(n, "auth.login_refused", account="7") for n in range(5)]
    assert verdicts(singles) == [("brute_force", "account 7 and address 203.0.113.9")]
    assert verdicts([seen(0, "auth.logins_refused", number=5)]) == [("brute_force", "address 203.0.113.9")]
    assert ("credential_stuffing", "address 203.0.113.9") in verdicts(
        seen(n, "auth.login_refused", account=f"u{n}") for n in range(10)
    )


def test_attempts_that_are_refused_guessed_nothing() -> None:
    found = verdicts([*(seen(n, "auth.login_refused", account="7") for n in range(9)), succeed(9)])
    assert [kind for kind, _ in found] == ["brute_force"]


def succeed(second: float, account: str = "7", network: str = "203.0.113.9") -> Observation:
    return seen(second, "auth.login_success", network, account=account)


@pytest.mark.parametrize("failures", [0, 1, 4])
def test_a_success_after_few_failures_is_nothing(failures: int) -> None:
    assert verdicts([*(seen(n, account="7") for n in range(failures)), succeed(9)]) == []


def test_a_success_after_five_failures_is_critical() -> None:
    found = detections([*(seen(n, account="7") for n in range(5)), succeed(9)])[-1]
    assert (found.kind, found.subject, found.severity) == ("success_after_failures", "account 7", "critical")
    assert (found.address, found.account, found.numbers["attempts"]) == ("203.0.113.9", "7", 5)


@pytest.mark.parametrize(
    "success", [succeed(305), succeed(9, account="8"), succeed(9, network="198.51.100.1")], ids=["late", "account", "address"]
)
def test_a_success_much_later_or_of_others_is_nothing(success: Observation) -> None:
    found = verdicts([*(seen(n, account="7") for n in range(5)), success])
    assert [kind for kind, _ in found] == ["brute_force"]


def test_a_success_after_stuffing_is_critical_for_the_account_that_never_failed() -> None:
    found = verdicts([*(seen(n, account=f"u{n}") for n in range(10)), succeed(20)])
    assert found[-1] == ("success_after_failures", "account 7")


def test_a_success_from_one_of_many_guessing_addresses_is_critical() -> None:
    guesses = [seen(n * 300, account="7", network=f"203.0.113.{n}") for n in range(11)]
    assert verdicts([*guesses, succeed(3_001, network="203.0.113.10")])[-1] == ("success_after_failures", "account 7")
    assert verdicts([*guesses, succeed(3_001, network="198.51.100.1")])[-1] == ("distributed_guessing", "account 7")


@pytest.mark.parametrize(
    ("event_type", "data", "kind"),
    [
        ("access.denied", {"status": 403}, "refusal_burst"),
        ("access.denied", {"status": 401}, "refusal_burst"),
        ("csrf.failed", {}, "refusal_burst"),
        ("stream.refused", {}, "refusal_burst"),
        ("access.denied", {"status": 404}, "enumeration"),
        ("access.not_found", {}, "enumeration"),
    ],
)
def test_thirty_refusals_are_a_burst_and_thirty_misses_enumeration(event_type: str, data: dict[str, Any], kind: str) -> None:
    def told(number: int, every: float = 1, network: str | None = "203.0.113.9") -> list[tuple[str, str]]:
        return verdicts(seen(n * every, event_type, network, data=data) for n in range(number))

    assert told(29) == []
    assert told(30) == [(kind, "address 203.0.113.9")]
    assert told(30, every=11) == []
    assert told(30, network=None) == []


def test_refusals_are_counted_by_their_summaries() -> None:
    assert verdicts([seen(0, "access.denials", number=500)]) == [("refusal_burst", "address 203.0.113.9")]
    assert verdicts([seen(0, "access.misses", number=500)]) == [("enumeration", "address 203.0.113.9")]


def test_thirty_unknown_usernames_from_one_address_are_enumeration() -> None:
    def kinds(names: int) -> set[str]:
        return {kind for kind, _ in verdicts(seen(n / 2, username_hash=f"h{n % names}") for n in range(60))}

    assert "enumeration" in kinds(30)
    assert "enumeration" not in kinds(29)


@pytest.mark.parametrize(
    ("data", "actor", "severity"),
    [
        ({"superuser": [False, True]}, "1", "high"),
        ({"superuser": [False, True], "staff": [False, True]}, None, "high"),
        ({"staff": [False, True]}, "1", "medium"),
        ({"granted": ["auth.change_user"]}, "1", "medium"),
        ({"granted": ["auth.view_user", "blog.add_post"]}, "1", "low"),
        ({"granted": ["Editors"]}, "1", "medium"),
        ({"granted": ["blog.add_post"]}, "7", "critical"),
        ({"superuser": (False, True)}, "7", "critical"),
        ({}, "1", "medium"),
        ({"revoked": ["auth.change_user"], "granted": []}, "1", None),
        ({"superuser": [True, False], "staff": [True, True]}, "1", None),
    ],
)
def test_privileges_that_are_given_weigh_as_much_as_they_allow(
    data: dict[str, Any], actor: str | None, severity: str | None
) -> None:
    found = detections([seen(0, "account.permissions_changed", None, account="7", actor=actor, data=data)])
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all((one.kind, one.subject, one.account) == ("privilege_escalation", "account 7", "7") for one in found)


@pytest.mark.parametrize(
    ("data", "actor", "severity"),
    [
        ({"staff": True, "superuser": True}, "1", "high"),
        ({"superuser": True}, None, "high"),
        ({"staff": True}, "1", "medium"),
        ({}, "1", None),
        ({"staff": False, "superuser": [False, True]}, "1", None),
    ],
)
def test_an_account_that_is_made_with_a_status_is_given_it(data: dict[str, Any], actor: str | None, severity: str | None) -> None:
    found = detections([seen(0, "account.created", None, account="7", actor=actor, data={"username": "evil"} | data)])
    assert [(one.kind, one.subject, one.severity) for one in found] == (
        [("privilege_escalation", "account 7", severity)] if severity else []
    )


@pytest.mark.parametrize(
    ("event_type", "about"), [("account.promoted", {"account": "7"}), ("account.role_changed", {"account": "7"})]
)
def test_other_words_for_more_rights_are_known(event_type: str, about: dict[str, Any]) -> None:
    assert verdicts([seen(0, event_type, **about)]) == [("privilege_escalation", "account 7")]


def test_a_group_that_may_do_more_is_told() -> None:
    data = {"group": "Editors", "granted": ["auth.add_user"]}
    assert verdicts([seen(0, "group.permissions_changed", data=data)]) == [("privilege_escalation", "group Editors")]


def test_a_revoked_token_is_high_and_a_new_address_low() -> None:
    (reused,) = detections([seen(0, "token.reused", account="7", data={"token_id": "t1"})])
    assert (reused.kind, reused.severity, reused.subject, reused.account) == ("token_reuse", "high", "token t1", "7")
    (moved,) = detections([seen(0, "token.new_address", account="7", data={"token_id": "t1"})])
    assert (moved.kind, moved.severity, moved.subject) == ("token_new_address", "low", "token t1")


@pytest.mark.parametrize("account", ["7", None])
def test_a_token_without_a_name_is_told_by_whose_it_is(account: str | None) -> None:
    (found,) = detections([seen(0, "token.reused", account=account)])
    assert found.subject == ("token of account 7" if account else "token from 203.0.113.9")


@pytest.mark.parametrize("event_type", sorted(WATCHED))
@pytest.mark.parametrize(
    "data",
    [{}, {"granted": 7, "staff": "yes", "superuser": [1], "status": "x", "group": [1], "token_id": {"a": 1}, "token": None}],
)
def test_whatever_a_watched_event_holds_no_detector_fails(event_type: str, data: dict[str, Any]) -> None:
    detections([Observation(event_type, "e", START, data=data), seen(0, event_type, account="x" * 128, data=data, number=10**6)])


def test_every_detector_says_what_it_catches_and_what_it_does_not() -> None:
    for detector in DETECTORS:
        text = " ".join((type(detector).__doc__ or "").split())
        assert "Catches" in text, detector.kind
        assert "Doesn't catch" in text, detector.kind


def test_thresholds_and_windows_are_settings(settings: Any) -> None:
    settings.SECURITY = {
        "BRUTE_FORCE_THRESHOLD": 50, "STUFFING_ACCOUNTS": 3, "STUFFING_WINDOW": 10, "GUESSING_ADDRESSES": 2, "GUESSING_WINDOW": 10,
        "REFUSALS": 2, "REFUSALS_WINDOW": 10, "ENUMERATION": 2, "ENUMERATION_WINDOW": 10, "SURGE_FAILURES": 10, "SURGE_WINDOW": 10,
        "SUCCESS_AFTER_FAILURES": 2,
    }  # fmt: skip
    assert verdicts(seen(n, account=str(n)) for n in range(3)) == [("credential_stuffing", "address 203.0.113.9")]
    assert verdicts(seen(n, account="7", network=f"203.0.113.{n}") for n in range(2)) == [("distributed_guessing", "account 7")]
    assert verdicts(seen(n, "access.denied") for n in range(2)) == [("refusal_burst", "address 203.0.113.9")]
    assert verdicts(seen(n, username_hash=f"{n}") for n in range(2)) == [("enumeration", "address 203.0.113.9")]
    assert verdicts(seen(n / 2, account="7") for n in range(10)) == [("login_failure_surge", "site")]
    assert verdicts([seen(0, account="7"), seen(1, account="7"), succeed(2)]) == [("success_after_failures", "account 7")]
