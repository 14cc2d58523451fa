"""Attacks that show in who signs in, and fails to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from security.adapter import LOGIN_SUCCESS
from security.conf import settings
from security.detection import Count, Detection, Hit, Observation
from security.detectors.words import LOGIN_FAILURES, REFUSED_LOGINS, about_address, numbers
from security.models import Severity

# How many windows before the current one say what is usual.
EARLIER: Final = 11


class BruteForce:
    """Many failed logins from one address, or from one address for one account.

    Catches guessing from one address at one account (the incident is about both), or at many (it is about the address). Doesn't catch
    guessing that is slower than the threshold a window, or that changes its address (`AccountBruteForce`, `DistributedGuessing`). Many
    people behind one address who mistype their passwords look the same: where several accounts are concerned it is HIGH, not CRITICAL.
    """

    kind = "brute_force"

    def hits(self, seen: Observation) -> list[Hit]:
        if seen.event_type not in LOGIN_FAILURES or seen.network is None:
            return []
        if seen.target is None or not seen.singled_out:
            return [_from_network(seen)]
        # What was refused was no guess: it makes no login that succeeds later suspicious.
        guesses = [] if seen.event_type in REFUSED_LOGINS else [_of_pair(seen)]
        return [_from_network(seen), _for_target(seen), *guesses]

    def judge(self, seen: Observation, counts: Sequence[Count]) -> Detection | None:
        address, *others = counts
        threshold = settings().BRUTE_FORCE_THRESHOLD
        if address.number < threshold:
            return None
        keys = {"address": seen.network}
        if others and address.members == others[0].members == 1:
            keys |= _target_key(seen)
        severity = Severity.HIGH if address.members > 1 else Severity.CRITICAL
        return _failed_logins(self.kind, severity, seen, keys, address, threshold)


class AccountBruteForce:
    """Many failed logins for one account, or one unknown username, from more than one address.

    Catches guessing that changes its address at every try. Doesn't catch guessing that is slower than the threshold a window
    (`DistributedGuessing`). Somebody who forgot a password and tries at home and on the way looks the same.
    """

    kind = "brute_force"

    def hits(self, seen: Observation) -> list[Hit]:
        return [_for_target(seen)] if seen.event_type in LOGIN_FAILURES and seen.target and seen.singled_out else []

    def judge(self, seen: Observation, counts: Sequence[Count]) -> Detection | None:
        threshold = settings().BRUTE_FORCE_THRESHOLD
        if counts[0].number < threshold or (counts[0].members == 1 and seen.network is not None):
            return None
        return _failed_logins(self.kind, Severity.CRITICAL, seen, _target_key(seen), counts[0], threshold)


class CredentialStuffing:
    """One address that fails to sign in to many different accounts, known or not.

    Catches lists of stolen names and passwords that are tried from one address, and spraying from one address, however few tries an
    account gets. Doesn't catch lists that are tried from many addresses (`Surge`).
    """

    kind = "credential_stuffing"

    def hits(self, seen: Observation) -> list[Hit]:
        return [_targets_of(seen)] if seen.event_type in LOGIN_FAILURES and seen.network and seen.target else []

    def judge(self, seen: Observation, counts: Sequence[Count]) -> Detection | None:
        threshold, members = settings().STUFFING_ACCOUNTS, counts[0].members
        if members < threshold:
            return None
        summary = f"{members} accounts or more failed to sign in from address {seen.network}"
        told = numbers(seen, {"address": seen.network}, counts[0], threshold, settings().STUFFING_WINDOW)
        return about_address(self.kind, Severity.CRITICAL, seen, summary, told | {"accounts": members})


class DistributedGuessing:
    """Failed logins for one account from many addresses.

    Catches slow guessing by a botnet at one account. Doesn't catch one that comes back to each account only after a window.
    """

    kind = "distributed_guessing"

    def hits(self, seen: Observation) -> list[Hit]:
        of_target = seen.event_type in LOGIN_FAILURES and seen.target and seen.singled_out
        return [_networks_of(seen)] if of_target and seen.network else []

    def judge(self, seen: Observation, counts: Sequence[Count]) -> Detection | None:
        threshold, members = settings().GUESSING_ADDRESSES, counts[0].members
        if members < threshold:
            return None
        keys = _target_key(seen)
        told = numbers(seen, keys, counts[0], threshold, settings().GUESSING_WINDOW) | {"addresses": members}
        summary = f"Logins for {_words(keys)} failed from {members} addresses or more"
        return Detection(self.kind, Severity.HIGH, _words(keys), summary, told, account=seen.account)


class Surge:
    """Failed logins on the whole site become much more frequent than in the windows before.

    Catches stuffing and spraying from so many addresses, and at so many accounts, that each alone does nothing unusual. It is password
    spraying where most are for different accounts. Doesn't catch what grows slowly. A site that has more failures in a quiet window
    than SURGE_FAILURES * (1 + 11 / SURGE_FACTOR) needs a higher SURGE_FAILURES: no more are remembered. Where
    counters are new nothing is known of what is usual: a busy site may have one incident then. To wait would hide sprays on quiet sites.
    """

    kind = "login_failure_surge"

    def hits(self, seen: Observation) -> list[Hit]:
        if seen.event_type not in LOGIN_FAILURES:
            return []
        limit, window = settings().SURGE_FAILURES, timedelta(seconds=settings().SURGE_WINDOW)
        enough = limit + int(limit * EARLIER / settings().SURGE_FACTOR) + 1
        member = (seen.target or "")[:12]  # enough to tell them apart
        return [Hit("surge/now", window, limit, member), Hit("surge/usual", window * (EARLIER + 1), enough)]

    def judge(self, seen: Observation, counts: Sequence[Count]) -> Detection | None:
        now, all_ = counts
        limit, window = settings().SURGE_FAILURES, settings().SURGE_WINDOW
        if now.number < limit or all_.first is None or all_.last is None:
            return None
        all_are_new = (all_.last - all_.first).total_seconds() < window
        if not all_are_new and now.number * EARLIER < (all_.number - now.number) * settings().SURGE_FACTOR:
            return None
        kind = "password_spraying" if now.members * 4 >= now.number * 3 else self.kind
        summary = f"{now.number} failed logins or more within {window} s on the whole site, for {now.members} accounts or more"
        told = numbers(seen, {}, now, limit, window) | {
            "accounts": now.members,
            "in_windows_before": all_.number - now.number,
        }
        return Detection(kind, Severity.HIGH, "site", summary, told)


class SuccessAfterFailures:
    """A login that succeeds from an address that failed for this account, or for many, shortly before.

    Catches guessing and stuffing that found a password. Doesn't catch one that waits for a window before it uses it, or uses it from an
    address that failed at nothing. Who remembers the password at the sixth try looks the same.
    """

    kind = "success_after_failures"

    def hits(self, seen: Observation) -> list[Hit]:
        if seen.event_type != LOGIN_SUCCESS or seen.network is None or seen.account is None:
            return []
        return [hit._replace(only_look=True) for hit in (_of_pair(seen), _targets_of(seen), _networks_of(seen))]

    def judge(self, seen: Observation, counts: Sequence[Count]) -> Detection | None:
        pair, targets, networks = counts
        threshold = settings().SUCCESS_AFTER_FAILURES
        guessed = pair.number >= threshold or (pair.number and networks.members >= settings().GUESSING_ADDRESSES)
        if not guessed and targets.members < settings().STUFFING_ACCOUNTS:
            return None
        keys = {"address": seen.network, "account": seen.account}
        count = pair if guessed else targets
        summary = f"A login succeeded after {count.number} failed ones: {_words(keys)}"
        told = numbers(seen, keys, count, threshold, settings().BRUTE_FORCE_WINDOW) | {"accounts": targets.members}
        return Detection(self.kind, Severity.CRITICAL, f"account {seen.account}", summary, told, seen.address, seen.account)


# What several of them count


def _from_network(seen: Observation) -> Hit:
    return Hit(f"failures/address/{seen.network}", _brute_force_window(), _remembered(), seen.target or "")


def _for_target(seen: Observation) -> Hit:
    return Hit(f"failures/account/{seen.target}", _brute_force_window(), _remembered(), seen.network or "")


def _of_pair(seen: Observation) -> Hit:
    return Hit(f"failures/pair/{seen.network}/{seen.target}", _brute_force_window(), _remembered())


def _targets_of(seen: Observation) -> Hit:
    window = timedelta(seconds=settings().STUFFING_WINDOW)
    return Hit(f"stuffing/{seen.network}", window, settings().STUFFING_ACCOUNTS, seen.target or "")


def _networks_of(seen: Observation) -> Hit:
    window = timedelta(seconds=settings().GUESSING_WINDOW)
    return Hit(f"guessing/{seen.target}", window, settings().GUESSING_ADDRESSES, seen.network or "")


def _brute_force_window() -> timedelta:
    return timedelta(seconds=settings().BRUTE_FORCE_WINDOW)


def _remembered() -> int:
    return max(settings().BRUTE_FORCE_THRESHOLD, settings().SUCCESS_AFTER_FAILURES, 2)


def _target_key(seen: Observation) -> dict[str, Any]:
    return {"account": seen.account} if seen.account else {"username": seen.username_hash}


def _words(keys: dict[str, Any]) -> str:
    return " and ".join(f"{name} {value}" for name, value in sorted(keys.items()))


def _failed_logins(
    kind: str, severity: Severity, seen: Observation, keys: dict[str, Any], count: Count, threshold: int
) -> Detection:
    window = settings().BRUTE_FORCE_WINDOW
    summary = f"{count.number} failed logins within {window} s: {_words(keys)}"
    address, account = (seen.address if "address" in keys else None), keys.get("account")
    told = numbers(seen, keys, count, threshold, window)
    return Detection(kind, severity, _words(keys), summary, told, address, account)
