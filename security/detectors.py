"""Detectors: each looks at one failed login after the other and says when they make an attack."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from security.adapter import BRUTE_FORCE
from security.conf import settings
from security.counters.failures import Key, count_failure, release
from security.models import FailureWindow, KeyKind


@dataclass(frozen=True, slots=True)
class LoginFailure:
    """A failed login, as far as detectors need it. `account` is a user's id; `username_hash` stands for a username that is no
    account's; None is what is not known."""

    at: datetime
    address: str | None
    account: str | None
    username_hash: str | None


@dataclass(frozen=True, slots=True)
class Alert:
    """An attack that was recognised: the event to raise for it, and what it rests on."""

    event_type: str
    account: str | None
    data: dict[str, Any]
    windows: list[FailureWindow]

    def release(self) -> None:
        """It could not be raised: let the next failure try."""
        release(self.windows)


class Detector(Protocol):
    """Looks for one kind of attack."""

    def observe(self, failure: LoginFailure) -> Alert | None:
        """The alert that this failure gives, if any. Called once a failure, outside of any transaction."""


class BruteForce:
    """Many failed logins from one address, or for one account, within a short time.

    Catches guessing at one account, from one address or many, and guessing from one address at one account or many. Doesn't catch
    guessing that is slower than the threshold a window, or that changes both address and account.
    """

    def observe(self, failure: LoginFailure) -> Alert | None:
        """One alert for an address and an account that reach the threshold with the same failure; one a window for each."""
        keys = _keys(failure)
        if not keys:
            return None
        threshold, window = settings().BRUTE_FORCE_THRESHOLD, timedelta(seconds=settings().BRUTE_FORCE_WINDOW)
        crossed = count_failure(keys, failure.at, threshold, window)
        return _alert(crossed, threshold, window) if crossed else None


def _keys(failure: LoginFailure) -> list[Key]:
    values = {
        KeyKind.ADDRESS: failure.address,
        KeyKind.ACCOUNT: failure.account,
        KeyKind.USERNAME: failure.username_hash,
    }
    return [Key(kind, value) for kind, value in values.items() if value]


def _alert(windows: list[FailureWindow], threshold: int, window: timedelta) -> Alert:
    keys = {row.kind: row.key for row in windows}
    attempts = max(len(row.recent) for row in windows)
    against = " and ".join(f"{kind} {key}" for kind, key in sorted(keys.items()))
    data: dict[str, Any] = {
        "message": f"{attempts} failed logins within {int(window.total_seconds())} s: {against}",
        "keys": keys,
        "attempts": attempts,
        "threshold": threshold,
        "window": int(window.total_seconds()),
        "first_failure": min(row.first_failure for row in windows).isoformat(),
        "last_failure": max(row.last_failure for row in windows).isoformat(),
    }
    if KeyKind.ADDRESS in keys:
        data["ip_address"] = keys[KeyKind.ADDRESS]
    repeated = [row for row in windows if row.alerted_at]
    if repeated:
        data["attempts_since_last_alert"] = max(row.since_alert for row in repeated)
    return Alert(BRUTE_FORCE, keys.get(KeyKind.ACCOUNT), data, windows)


DETECTORS: tuple[Detector, ...] = (BruteForce(),)
