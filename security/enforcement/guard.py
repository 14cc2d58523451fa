"""Refusing attempts to sign in where there were too many: off unless `SECURITY["ENFORCE"]` is on, and apart from detection.

An attempt is reserved, which is counted, before its password is checked, and given back if the password was right: a limit of 5 lets
exactly 5 passwords be checked, however many are tried at once. `security.backends.GuardBackend` calls it.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.core.signals import got_request_exception
from django.http import HttpRequest

from events.context import current_context, request_context
from events.types import EventPriority, utcnow
from security.accounts import find_account, username_hash
from security.conf import settings
from security.counters import count_gated, counters
from security.enforcement import cool_offs, known_networks
from security.enforcement.cool_offs import Claim, Scope
from security.networks import network_of
from security.sources.telling import name_of, remember_later, tell

LOGIN_REFUSED: Final = "auth.login_refused"
PAIR, ACCOUNT, ADDRESS = "pair", "account", "address"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no password was checked. The same for accounts that there are and for those that there are not."""

    until: datetime

    @property
    def retry_after(self) -> int:
        """Seconds until it is over, at least 1."""
        return max(1, round((self.until - utcnow()).total_seconds()))


@dataclass(slots=True)
class Attempt:
    """An attempt that is under way. `typed` is the hash of what was typed, `name` that of the account's username, which is mostly the same;
    `is_open` as long as it is not known how it ends."""

    typed: str
    name: str
    network: str | None
    scopes: list[Scope]
    at: datetime = field(default_factory=utcnow)
    tried_again: list[Scope] = field(default_factory=list)
    refused: bool = False
    is_open: bool = True


_attempt: ContextVar[Attempt | None] = ContextVar("security_attempt", default=None)


def connect() -> None:
    """Follow Django's signals. Doing it again changes nothing."""
    user_logged_in.connect(_on_logged_in, dispatch_uid="security.enforcement.guard.logged_in")
    user_login_failed.connect(_on_login_failed, dispatch_uid="security.enforcement.guard.login_failed")
    got_request_exception.connect(_on_exception, dispatch_uid="security.enforcement.guard.exception")


def begin_attempt(request: HttpRequest | None, username: Any) -> Refusal | None:
    """Reserve an attempt to sign in with the username, from the request's address; without a request and a context that knows one, only the
    account's limit holds. A refusal is told as `auth.login_refused`."""
    forget_attempt()
    address = _address_of(request)
    if address is not None and _is_allowed(address):
        return None
    network = network_of(address)
    name = _name_of(username)
    attempt = Attempt(username_hash(username), name, network, _scopes(name, network))
    _attempt.set(attempt)
    refused = _reserve(attempt, username)
    if refused is None:
        _judge_when_closed(attempt, request)
        return None
    attempt.refused, attempt.is_open = True, False
    scope, claimed = refused
    _tell(scope, claimed, username, address)
    return Refusal(claimed.until)


def forget_attempt() -> None:
    """What happens from here on has nothing to do with an attempt that was begun here before."""
    _attempt.set(None)


def was_refused(username: Any) -> bool:
    """Whether the attempt with the username that ends here was refused: then `user_login_failed` tells of no wrong password."""
    attempt = _attempt.get()
    return attempt is not None and attempt.refused and attempt.typed == username_hash(username)


def _reserve(attempt: Attempt, username: Any) -> tuple[Scope, Claim] | None:
    """Count the attempt. What refuses it, if anything: then it does not count. What the pair refuses counts for nothing else, not even
    until it is taken back: who tries many at once must not make a limit full that others share."""
    if standing := _standing(attempt):
        return standing
    first, *others = attempt.scopes
    hits = [scope.hit for scope in others]
    counts = count_gated(first.hit, first.limit, hits, attempt.at)
    if counts is None:
        if refused := _refuse(attempt, [first], [first], username):
            return refused
        counts = counters().count(hits, attempt.at)
    full = [scope for scope, count in zip(others, counts, strict=True) if count.number > scope.limit]
    return _refuse(attempt, full, attempt.scopes, username)


def _standing(attempt: Attempt) -> tuple[Scope, Claim] | None:
    """What refuses the attempt without its being counted: a cool-off that this process knows of, and that is still in force."""
    for scope in attempt.scopes:
        claimed = cool_offs.standing(scope.subject, attempt.at)
        if claimed and not _is_spared(attempt, scope):
            return scope, claimed
    return None


def _is_spared(attempt: Attempt, scope: Scope) -> bool:
    """Whether only the pair's limit holds there."""
    return (
        scope.kind != PAIR and bool(attempt.network) and known_networks.is_known(attempt.name, attempt.network or "", attempt.at)
    )


def _refuse(attempt: Attempt, full: list[Scope], counted: list[Scope], username: Any) -> tuple[Scope, Claim] | None:
    """Which of the scopes that are full refuses the attempt, if any: then it is taken back where it was counted."""
    for scope in full:
        if _is_spared(attempt, scope):
            continue
        claimed = cool_offs.claim(scope, _account_of(scope, username), attempt.at)
        if claimed.refused:
            counters().take_back([scope.hit for scope in counted], attempt.at)
            return scope, claimed
        attempt.tried_again.append(scope)
    return None


def _succeeded(attempt: Attempt) -> None:
    """The password was right: the attempt does not count."""
    _give_back(attempt)
    if over := [scope.subject for scope in attempt.tried_again if scope.kind == PAIR]:
        cool_offs.end(over)


def _give_back(attempt: Attempt) -> None:
    attempt.is_open = False
    counters().take_back([scope.hit for scope in attempt.scopes], attempt.at)


def _on_logged_in(**kwargs: Any) -> None:
    attempt = _attempt.get()
    if attempt is None or not attempt.is_open:
        return
    _succeeded(attempt)
    if attempt.network:
        remember_later(partial(known_networks.remember, attempt.name, attempt.network, attempt.at))


def _on_login_failed(**kwargs: Any) -> None:
    if attempt := _attempt.get():
        attempt.is_open = False


def _on_exception(request: Any = None, **kwargs: Any) -> None:
    if request is not None:
        request.security_ended_in_exception = True


def _judge_when_closed(attempt: Attempt, request: HttpRequest | None) -> None:
    """When Django is done with the request, judge the attempt if nothing told how it ended: a password that was right need not sign in
    (HTTP Basic authentication, tokens that are handed out), and only a wrong one is told by a signal."""
    request = getattr(request, "_request", request)  # Django's own, of DRF's
    close = getattr(request, "close", None)
    if request is None or close is None:
        return

    def close_and_judge() -> None:
        close()
        if attempt.is_open:
            _judge(attempt, request)

    with suppress(AttributeError):
        request.close = close_and_judge  # type: ignore[method-assign]


def _judge(attempt: Attempt, request: HttpRequest) -> None:
    """An exception says nothing of the password: then the attempt counts, unless the request is the account's."""
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated and username_hash(user.get_username()) == attempt.name:
        _succeeded(attempt)
    elif not hasattr(request, "security_ended_in_exception"):
        _give_back(attempt)


def _scopes(name: str, network: str | None) -> list[Scope]:
    """What the attempt counts for, in the order in which they are counted and judged."""
    account = Scope(ACCOUNT, name, "", settings().ACCOUNT_LIMIT)
    if network is None:
        return [account]
    return [
        Scope(PAIR, name, network, settings().PAIR_LIMIT),
        account,
        Scope(ADDRESS, "", network, settings().ADDRESS_LIMIT),
    ]


def _name_of(username: Any) -> str:
    """What attempts with the username are counted by: where people sign in by other fields too, the account's own, whatever was typed."""
    account = find_account(username) if settings().SIGN_IN_FIELDS else None
    return username_hash(username if account is None else account.get_username())


def _account_of(scope: Scope, username: Any) -> str | None:
    account = find_account(username) if scope.name else None
    return None if account is None else str(account.pk)


def _address_of(request: HttpRequest | None) -> str | None:
    known = current_context().ip_address
    if known is not None or request is None:
        return known
    return request_context(request).ip_address


def _is_allowed(address: str) -> bool:
    return any(ip_address(address) in network for network in settings().ALLOW)


def _tell(scope: Scope, claimed: Claim, username: Any, address: str | None) -> None:
    account = find_account(username)
    who = name_of(account) if account else {"username_hash": username_hash(username)}
    tell(
        LOGIN_REFUSED,
        who | {"scope": scope.kind, "subject": scope.subject, "until": claimed.until.isoformat(), "times": claimed.times},
        account=account,
        metadata={"ip_address": address} if address else None,
        priority=EventPriority.HIGH if claimed.is_new else None,
    )
