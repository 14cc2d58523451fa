"""Labelled traffic: what people do in a day, and attacks that are planted in it. As an OpenSSH log, an nginx log, and events.

Seeded: the same number gives the same traffic.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from events.types import EventCategory, UnifiedEvent

DAY = datetime(2026, 3, 2, tzinfo=UTC)
OFFICE, CRON_JOB = "198.51.100.10", "198.51.100.77"
LOGIN_PATH = "/accounts/login/"


@dataclass(frozen=True, order=True)
class Act:
    """Something that somebody did. `what` is failure, success, refused or missing, or an event's type; `known`: the account exists."""

    at: datetime
    what: str
    address: str
    username: str = ""
    known: bool = True
    data: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Planted:
    """An attack: its name, what may recognise it (kinds of detections; none: it is below every threshold), its acts, and who is concerned."""

    name: str
    kinds: frozenset[str]
    subjects: frozenset[str]
    acts: list[Act]


# People


def benign(seed: int) -> list[Act]:
    """A day without attacks."""
    draw = random.Random(seed)
    makers = (mistyping_people, office, password_managers, cron_job, mobile_people, browsing)
    return sorted(act for maker in makers for act in maker(draw))


def sign_in(draw: random.Random, at: datetime, address: str, username: str, mistakes: float) -> Iterator[Act]:
    """Some failures, up to three, then a success; who mistypes takes a while to try again."""
    for _ in range(3):
        if draw.random() >= mistakes:
            break
        yield Act(at, "failure", address, username)
        at += timedelta(seconds=draw.uniform(4, 40))
    yield Act(at, "success", address, username)


def mistyping_people(draw: random.Random) -> Iterator[Act]:
    """Sixty people at home."""
    for person in range(60):
        for _ in range(draw.randint(1, 4)):
            at = DAY + timedelta(hours=draw.uniform(6, 22))
            yield from sign_in(draw, at, f"203.0.113.{person + 1}", f"home{person}", 0.2)


def office(draw: random.Random) -> Iterator[Act]:
    """Eighty people behind one address, who come between eight and ten."""
    for person in range(80):
        yield from sign_in(draw, DAY + timedelta(hours=draw.uniform(8, 10)), OFFICE, f"office{person}", 0.03)


def password_managers(draw: random.Random) -> Iterator[Act]:
    """Three devices of one person try the old password after it was changed, then the new one."""
    for person in range(8):
        at = DAY + timedelta(hours=draw.uniform(7, 20))
        for device in range(3):
            moment = at + timedelta(minutes=3 * device, seconds=draw.uniform(0, 40))
            address = f"2001:db8:{person:x}:1::{device + 1:x}"  # one home
            yield Act(moment, "failure", address, f"manager{person}")
            yield Act(moment + timedelta(seconds=20), "success", address, f"manager{person}")


def cron_job(draw: random.Random) -> Iterator[Act]:
    """A forgotten job with an old password, every ten minutes."""
    for n in range(6 * 24):
        yield Act(DAY + timedelta(minutes=10 * n, seconds=draw.uniform(0, 5)), "failure", CRON_JOB, "backup")


def mobile_people(draw: random.Random) -> Iterator[Act]:
    """People whose address changes as they go."""
    for person in range(30):
        for _ in range(5):
            address = f"100.64.{draw.randint(0, 3)}.{draw.randint(1, 250)}"
            yield from sign_in(draw, DAY + timedelta(hours=draw.uniform(6, 23)), address, f"mobile{person}", 0.1)


def browsing(draw: random.Random) -> Iterator[Act]:
    """Pages that are gone, and some that may not be seen."""
    for _ in range(400):
        at = DAY + timedelta(hours=draw.uniform(6, 23))
        what = "missing" if draw.random() < 0.8 else "refused"
        yield Act(at, what, f"203.0.113.{draw.randint(1, 60)}")


# Attacks


def brute_force(draw: random.Random) -> Planted:
    """One address, one account, a password every four seconds."""
    start, address = DAY + timedelta(hours=3), "192.0.2.10"
    acts = [Act(start + timedelta(seconds=4 * n), "failure", address, "root") for n in range(40)]
    return Planted("brute force", frozenset({"brute_force"}), frozenset({address, "root"}), acts)


def guessed(draw: random.Random) -> Planted:
    """As brute force, and the last one is right."""
    start, address = DAY + timedelta(hours=4), "192.0.2.11"
    acts = [Act(start + timedelta(seconds=5 * n), "failure", address, "home7") for n in range(12)]
    acts.append(Act(start + timedelta(seconds=70), "success", address, "home7"))
    return Planted("guessed", frozenset({"success_after_failures"}), frozenset({address, "home7"}), acts)


def slow_brute_force(draw: random.Random) -> Planted:
    """One try every hundred seconds: below the threshold, not to be found."""
    start, address = DAY + timedelta(hours=1), "192.0.2.12"
    acts = [Act(start + timedelta(seconds=100 * n), "failure", address, "slow") for n in range(200)]
    return Planted("slow brute force", frozenset(), frozenset({address, "slow"}), acts)


def stuffing(draw: random.Random) -> Planted:
    """One address, a list of sixty names, two a second; one in four is an account."""
    start, address = DAY + timedelta(hours=11), "2001:db8:bad:1::5"
    acts = [
        Act(start + timedelta(seconds=n / 2), "failure", address, f"home{n}" if n % 4 == 0 else f"list{n}", n % 4 == 0)
        for n in range(60)
    ]
    return Planted("stuffing", frozenset({"credential_stuffing"}), frozenset({address, "2001:db8:bad:1::/64"}), acts)


def spraying(draw: random.Random) -> Planted:
    """Two hundred addresses, as many accounts, one try each, within four minutes."""
    start = DAY + timedelta(hours=5)
    acts = [
        Act(start + timedelta(seconds=1.2 * n), "failure", f"10.{n // 100}.{n % 100}.9", f"spray{n}", known=False)
        for n in range(200)
    ]
    return Planted("spraying", frozenset({"password_spraying", "login_failure_surge"}), frozenset({"site"}), acts)


def distributed_guessing(draw: random.Random) -> Planted:
    """One account, thirty addresses, one try every hundred seconds."""
    start = DAY + timedelta(hours=13)
    acts = [Act(start + timedelta(seconds=100 * n), "failure", f"172.16.{n}.9", "owner") for n in range(30)]
    return Planted("distributed guessing", frozenset({"distributed_guessing"}), frozenset({"owner"}), acts)


def enumeration(draw: random.Random) -> Planted:
    """One address asks for pages that are not there."""
    start, address = DAY + timedelta(hours=15), "192.0.2.13"
    acts = [Act(start + timedelta(seconds=n), "missing", address) for n in range(60)]
    return Planted("enumeration", frozenset({"enumeration"}), frozenset({address}), acts)


def refusals(draw: random.Random) -> Planted:
    """One address tries what it may not."""
    start, address = DAY + timedelta(hours=16), "192.0.2.14"
    acts = [Act(start + timedelta(seconds=n), "refused", address) for n in range(45)]
    return Planted("refusals", frozenset({"refusal_burst"}), frozenset({address}), acts)


def token_reuse(draw: random.Random) -> Planted:
    """A token that was revoked is used."""
    at, address = DAY + timedelta(hours=17), "192.0.2.15"
    acts = [Act(at, "token.reused", address, "home3", data={"token_id": "42"})]
    return Planted("token reuse", frozenset({"token_reuse"}), frozenset({address, "home3", "42"}), acts)


def privilege_escalation(draw: random.Random) -> Planted:
    """An account makes itself a superuser."""
    at, address = DAY + timedelta(hours=18), "192.0.2.16"
    acts = [Act(at, "account.permissions_changed", address, "home4", data={"superuser": [False, True]})]
    return Planted("privilege escalation", frozenset({"privilege_escalation"}), frozenset({address, "home4"}), acts)


LOGINS = (brute_force, guessed, slow_brute_force, stuffing, spraying, distributed_guessing)
REQUESTS = (enumeration, refusals)
OTHERS = (token_reuse, privilege_escalation)


def plant(seed: int, makers: Iterable[Callable[[random.Random], Planted]]) -> tuple[list[Act], list[Planted]]:
    """A day with these attacks in it, in the order of time, and what was planted."""
    planted = [maker(random.Random(seed + n)) for n, maker in enumerate(makers)]
    return sorted([*benign(seed), *(act for attack in planted for act in attack.acts)]), planted


# As logs and events


def openssh_lines(acts: Iterable[Act], classic: bool = True) -> Iterator[str]:
    """As sshd writes it: several lines for one attempt. What is no login is not in such a log."""
    for number, act in enumerate(acts):
        stamp = f"{act.at:%b} {act.at.day:2d} {act.at:%H:%M:%S}" if classic else act.at.isoformat()
        head, port = f"{stamp} web1 sshd[{1000 + number}]: ", 20_000 + number % 40_000
        end = f"from {act.address} port {port}"
        user = f"invalid user {act.username}" if not act.known else act.username
        if act.what == "success":
            yield f"{head}Accepted password for {act.username} {end} ssh2"
            yield f"{head}pam_unix(sshd:session): session opened for user {act.username}(uid=1000) by (uid=0)"
        elif act.what == "failure":
            if not act.known:
                yield f"{head}Invalid user {act.username} {end}"
            yield (
                f"{head}pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={act.address}"
                f"{f'  user={act.username}' if act.known else ''}"
            )
            yield f"{head}Failed password for {user} {end} ssh2"
            yield f"{head}Connection closed by {'authenticating' if act.known else 'invalid'} user {act.username} {act.address} port {port} [preauth]"


def nginx_lines(acts: Iterable[Act]) -> Iterator[str]:
    """As nginx writes it. Who was to be signed in is not in such a log."""
    requests = {
        "success": f"POST {LOGIN_PATH} HTTP/1.1|302",
        "failure": f"POST {LOGIN_PATH}?next=/ HTTP/1.1|200",
        "missing": "GET /wp-login.php?token=secret HTTP/1.1|404",
        "refused": "GET /admin/ HTTP/2.0|403",
    }
    for act in acts:
        if act.what in requests:
            request, status = requests[act.what].split("|")
            yield f'{act.address} - - [{act.at:%d/%b/%Y:%H:%M:%S +0000}] "{request}" {status} 512 "-" "Mozilla/5.0 (\\x22quoted\\x22)"'


def as_events(acts: Iterable[Act]) -> Iterator[UnifiedEvent]:
    """As the sources tell it. An account's id is its name here."""
    types = {
        "success": "auth.login_success",
        "failure": "auth.login_failure",
        "missing": "access.not_found",
        "refused": "access.denied",
    }
    for act in acts:
        who: dict[str, Any] = {"user_id": act.username} if act.username and act.known else {}
        data = dict(act.data) | ({"username_hash": act.username} if act.username and not act.known else {})
        metadata = {"ip_address": act.address, "actor": {"type": "user", "id": act.username or None, "label": act.username}}
        yield UnifiedEvent(
            EventCategory.SECURITY, types.get(act.what, act.what), timestamp=act.at, data=data, metadata=metadata, **who
        )
