"""An OpenSSH server's log: `auth.log`, `secure`, or systemd's journal. Pure.

Each attempt is told once: of the lines that tell of one attempt (`Invalid user`, PAM's, `Failed password`), the last one counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from security.importing.frames import Clock, Frame, Framer
from security.importing.happenings import Happening, address_of, nothing, printable

PORT: Final = r"(?: port \d+)?"
REPEATED: Final = re.compile(r"message repeated (\d{1,6}) times: \[ ?(.*?)\]?", re.DOTALL)
# The name is greedy and the address at the end: whoever calls himself `root from 1.2.3.4` is still at the last one.
FAILED: Final = re.compile(rf"Failed (\S+) for (invalid user )?(.*) from (\S+){PORT}(?: ssh\d?)?(?:: .*)?", re.DOTALL)
ACCEPTED: Final = re.compile(rf"Accepted (\S+) for (.*) from (\S+){PORT}(?: ssh\d?)?(?:: .*)?", re.DOTALL)
INVALID: Final = re.compile(rf"(?:Invalid|Illegal) user (.*?) from (\S+){PORT}", re.DOTALL)
EXCEEDED: Final = re.compile(
    rf"(?:error: )?maximum authentication attempts exceeded for (invalid user )?(.*) from (\S+){PORT}(?: ssh\d?)?(?: \[preauth\])?",
    re.DOTALL,
)
DISCONNECTED: Final = re.compile(
    r"(?:Disconnected from|Connection (?:closed|reset) by) (?:(authenticating|invalid) )?user (.*) (\S+) port \d+(?: \[preauth\])?",
    re.DOTALL,
)
PAM: Final = re.compile(
    r"(?:pam_\w+\(([^:)]*):auth\): authentication failure|PAM (\d{1,6}) more authentication failures?); (.*)", re.DOTALL
)
PAM_FIELD: Final = re.compile(r"\b(rhost|user)=(\S*)")


class OpenSSH:
    """See `security.importing.happenings.Parser`."""

    name = "openssh"

    def __init__(self, clock: Clock) -> None:
        self._framer = Framer(clock)

    def parse(self, line: str) -> Iterator[Happening]:
        """What the line tells. Raises BadLine."""
        frame = self._framer.frame(line)
        return nothing() if frame is None else happenings_of(frame)


def happenings_of(frame: Frame) -> Iterator[Happening]:
    """What a message tells, if it is sshd's, or PAM's for another program."""
    is_sshd = frame.program in ("sshd", "sshd-session", "sshd-auth", "ssh")
    number, message = 1, frame.message
    if repeated := REPEATED.fullmatch(message):
        number, message = int(repeated[1]), repeated[2]
    found = _of_sshd(frame, message, number) if is_sshd else _of_pam(frame, message, number)
    if found is not None:
        yield found


def _of_sshd(frame: Frame, message: str, number: int) -> Happening | None:
    if match := FAILED.fullmatch(message):
        method, invalid, name, address = match.groups()
        if method == "none":  # asks only which methods there are
            return None
        return _login(frame, "auth.login_failure", "failure", address, name, not invalid, number, method=method)
    if match := ACCEPTED.fullmatch(message):
        method, name, address = match.groups()
        return _login(frame, "auth.login_success", "success", address, name, True, number, method=method)
    if match := EXCEEDED.fullmatch(message):
        invalid, name, address = match.groups()
        return _login(frame, "auth.attempts_exceeded", "denied", address, name, not invalid, number)
    if match := DISCONNECTED.fullmatch(message):
        stage, name, address = match.groups()
        if stage is None:
            return _login(frame, "auth.logout", "success", address, name, True, number)
        return _login(frame, "auth.gave_up", "failure", address, name, stage != "invalid", number)
    if match := INVALID.fullmatch(message):
        return _login(frame, "auth.unknown_user", "failure", match[2], match[1], False, number)
    return None


def _of_pam(frame: Frame, message: str, number: int) -> Happening | None:
    """Of sshd's own attempts sshd tells more."""
    match = PAM.fullmatch(message)
    if match is None or (match[1] or "").startswith("ssh"):
        return None
    fields = dict(PAM_FIELD.findall(match[3]))
    number *= int(match[2] or 1)
    service = match[1] or frame.program
    return _login(
        frame,
        "auth.login_failure",
        "failure",
        fields.get("rhost", ""),
        fields.get("user", ""),
        True,
        number,
        service=printable(service),
    )


def _login(
    frame: Frame, event_type: str, outcome: str, address: str, name: str, is_user: bool, number: int, **data: str
) -> Happening:
    return Happening(frame.at, event_type, outcome, address_of(address), name or None, is_user, number, data)
