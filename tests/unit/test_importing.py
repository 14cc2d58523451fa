"""What the lines of logs tell."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from security.importing.frames import Clock
from security.importing.happenings import BadLine, Happening
from security.importing.nginx import Nginx
from security.importing.openssh import OpenSSH
from security.importing.reading import MAX_LINE, lines

LATEST = datetime(2026, 3, 1, tzinfo=UTC)


def ssh(message: str, program: str = "sshd") -> Happening | None:
    found = list(OpenSSH(Clock(UTC, LATEST)).parse(f"Feb  9 10:01:02 web1 {program}[12]: {message}"))
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("message", "event_type", "address", "username", "is_user"),
    [
        ("Failed password for root from 192.0.2.1 port 22 ssh2", "auth.login_failure", "192.0.2.1", "root", True),
        ("Failed password for invalid user admin from 2001:db8::1 port 2 ssh2", "auth.login_failure", "2001:db8::1", "admin", False),
        ("Failed publickey for bob from 192.0.2.1 port 22 ssh2: RSA SHA256:abc", "auth.login_failure", "192.0.2.1", "bob", True),
        ("Failed keyboard-interactive/pam for bob from 192.0.2.1 port 22 ssh2", "auth.login_failure", "192.0.2.1", "bob", True),
        ("Accepted password for bob from 192.0.2.1 port 22 ssh2", "auth.login_success", "192.0.2.1", "bob", True),
        ("Accepted publickey for bob from ::ffff:192.0.2.1 port 22 ssh2: ED25519 SHA256:a", "auth.login_success", "192.0.2.1", "bob", True),
        ("Invalid user admin from 192.0.2.1 port 22", "auth.unknown_user", "192.0.2.1", "admin", False),
        ("Invalid user  from 192.0.2.1 port 22", "auth.unknown_user", "192.0.2.1", None, False),
        (
            "error: maximum authentication attempts exceeded for root from 192.0.2.1 port 22 ssh2 [preauth]",
            "auth.attempts_exceeded", "192.0.2.1", "root", True,
        ),
        ("Disconnected from authenticating user root 192.0.2.1 port 22 [preauth]", "auth.gave_up", "192.0.2.1", "root", True),
        ("Connection closed by invalid user admin 192.0.2.1 port 22 [preauth]", "auth.gave_up", "192.0.2.1", "admin", False),
        ("Disconnected from user bob 192.0.2.1 port 22", "auth.logout", "192.0.2.1", "bob", True),
    ],
)  # fmt: skip
def test_a_message_of_sshd(message: str, event_type: str, address: str, username: str | None, is_user: bool) -> None:
    found = ssh(message)
    assert found is not None
    assert (found.event_type, found.address, found.username, found.is_user) == (event_type, address, username, is_user)
    assert found.at == datetime(2026, 2, 9, 10, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "message",
    [
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root",
        "PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root",
        "Failed none for invalid user admin from 192.0.2.1 port 22 ssh2",
        "Server listening on 0.0.0.0 port 22.",
        "",
    ],
)
def test_what_another_line_tells_better_is_not_told_twice(message: str) -> None:
    assert ssh(message) is None


def test_a_failure_that_pam_alone_tells() -> None:
    found = ssh(
        "pam_unix(dovecot:auth): authentication failure; logname= uid=0 tty=dovecot ruser=a rhost=192.0.2.1  user=a", "auth"
    )
    assert found is not None
    assert (found.event_type, found.address, found.username, found.data) == (
        "auth.login_failure", "192.0.2.1", "a", {"service": "dovecot"},
    )  # fmt: skip


def test_a_repeated_message_stands_for_many() -> None:
    found = ssh("message repeated 5 times: [ Failed password for root from 192.0.2.1 port 22 ssh2]")
    assert found is not None
    assert (found.number, found.username) == (5, "root")


def test_who_calls_himself_like_a_line_forges_no_address() -> None:
    found = ssh("Failed password for invalid user root from 10.0.0.1 port 1 ssh2 from 192.0.2.1 port 22 ssh2")
    assert found is not None
    assert (found.address, found.username, found.is_user) == ("192.0.2.1", "root from 10.0.0.1 port 1 ssh2", False)


@pytest.mark.parametrize(
    "line",
    [
        "2026-02-09T11:01:02.5+01:00 web1 sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2",
        "2026-02-09T10:01:02.500000Z web1 sshd-session[1]: Failed password for root from 192.0.2.1 port 22 ssh2",
        "2026-02-09T10:01:02,5 web1 sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2",
        '{"__REALTIME_TIMESTAMP": "1770631262500000", "SYSLOG_IDENTIFIER": "sshd", "MESSAGE": "Failed password for root from 192.0.2.1 port 22 ssh2"}',
    ],
)
def test_full_times_and_the_journals_json(line: str) -> None:
    (found,) = OpenSSH(Clock(UTC, LATEST)).parse(line)
    assert found.at == datetime(2026, 2, 9, 10, 1, 2, 500_000, tzinfo=UTC)


def test_the_journals_export_format() -> None:
    parser = OpenSSH(Clock(UTC, LATEST))
    entry = [
        "__CURSOR=s=1",
        "__REALTIME_TIMESTAMP=1770631262500000",
        "_COMM=sshd",
        "MESSAGE=Invalid user a from 192.0.2.1 port 1",
        "",
    ]
    found = [happening for line in entry * 2 for happening in parser.parse(line)]
    assert [(one.event_type, one.at.second) for one in found] == [("auth.unknown_user", 2)] * 2


def test_a_line_without_a_year_is_of_the_latest_one_in_which_it_is_not_in_the_future() -> None:
    clock = Clock(ZoneInfo("Europe/Berlin"), datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert clock.moment(3, 1, 13, 0, 0) == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert clock.moment(12, 31, 23, 59, 59).year == 2025
    assert clock.moment(2, 29, 0, 0, 0).year == 2024


def test_with_the_first_lines_year_it_goes_on_at_new_year() -> None:
    clock = Clock(UTC, LATEST, 2019)
    assert [clock.moment(month, 1, 0, 0, 0).year for month in (11, 12, 1, 2)] == [2019, 2019, 2020, 2020]


@pytest.mark.parametrize(
    "line",
    ["nonsense", "Foo  9 10:01:02 web1 sshd[1]: x", "Feb 31 10:01:02 web1 sshd[1]: x", "Feb  9 25:01:02 web1 sshd[1]: x", "{",
     '{"MESSAGE": "x"}', '{"a":' * 5_000 + "1" + "}" * 5_000,
     '{"MESSAGE": ["a"], "__REALTIME_TIMESTAMP": "1"}', '{"MESSAGE": "x", "__REALTIME_TIMESTAMP": []}', '{"MESSAGE": [1, 999], "__REALTIME_TIMESTAMP": "1"}', "2026-99-09T10:01:02Z web1 sshd[1]: x", "\0\x1b[2J"],
)  # fmt: skip
def test_a_bad_line_is_told(line: str) -> None:
    with pytest.raises(BadLine):
        list(OpenSSH(Clock(UTC, LATEST)).parse(line))


def nginx(request: str, status: int, user: str = "-", address: str = "192.0.2.1") -> Happening | None:
    line = f'{address} - {user} [09/Feb/2026:11:01:02 +0100] "{request}" {status} 12 "-" "Probe \\x22/1"'
    found = list(Nginx(["/login/"]).parse(line))
    return found[0] if found else None


@pytest.mark.parametrize(
    ("request_line", "status", "user", "event_type"),
    [
        ("POST /login/?next=/a HTTP/1.1", 302, "-", "auth.login_success"),
        ("POST /login/ HTTP/1.1", 200, "-", "auth.login_failure"),
        ("POST /login/ HTTP/1.1", 401, "-", "auth.login_failure"),
        ("POST /login/ HTTP/1.1", 403, "-", "auth.login_failure"),
        ("POST /login/ HTTP/1.1", 429, "-", "rate_limit.exceeded"),
        ("GET /login/ HTTP/1.1", 200, "-", None),
        ("GET /a HTTP/1.1", 401, "-", "access.denied"),
        ("GET /a HTTP/1.1", 401, "bob", "auth.login_failure"),
        ("GET /a HTTP/1.1", 403, "bob", "access.denied"),
        ("GET /a HTTP/1.1", 404, "-", "access.not_found"),
        ("GET /a HTTP/1.1", 429, "-", "rate_limit.exceeded"),
        ("POST /other/ HTTP/1.1", 302, "-", None),
        ("\\x16\\x03\\x01", 400, "-", None),
    ],
)
def test_a_line_of_nginx(request_line: str, status: int, user: str, event_type: str | None) -> None:
    found = nginx(request_line, status, user)
    assert (found.event_type if found else None) == event_type
    if found:
        assert found.at == datetime(2026, 2, 9, 10, 1, 2, tzinfo=UTC)
        assert found.username == (None if user == "-" else user)


def test_of_an_address_only_the_path_is_kept() -> None:
    found = nginx("GET /reset/?token=secret HTTP/1.1", 404)
    assert found is not None
    assert "secret" not in str(found)


@pytest.mark.parametrize("line", ["", "x", '192.0.2.1 - - [99/Feb/2026:11:01:02 +0100] "GET / HTTP/1.1" 404 1 "-" "-"'])
def test_a_bad_line_of_nginx_is_told(line: str) -> None:
    with pytest.raises(BadLine):
        list(Nginx([]).parse(line))


def test_a_line_that_is_too_long_is_not_kept_and_the_next_one_is_read() -> None:
    file = io.BytesIO(b"a\r\n" + b"x" * (3 * MAX_LINE) + b"\nb\nlast")
    assert list(lines(file)) == [b"a", None, b"b", b"last"]
