"""Attacks that show in rights: who is given more, and tokens in the wrong hands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from security.detection import Count, Detection, Hit, Observation
from security.detectors.words import CREATED, PRIVILEGES, TOKEN_REUSES
from security.models import Severity


class PrivilegeEscalation:
    """An account, or a group, is given more than it had: superuser and staff status, permissions, groups.

    Catches each such change that is told, and each new account that has such a status from the first, also wanted ones: an administrator
    looks at it once. Who gives something to oneself is
    CRITICAL. Doesn't catch changes past the models (SQL), nor what somebody has had before.
    """

    kind = "privilege_escalation"

    def hits(self, seen: Observation) -> list[Hit]:
        subject = _privileged(seen)
        return [Hit(f"privileges/{subject}", timedelta(hours=1), 100)] if subject and _given(seen) else []

    def judge(self, seen: Observation, counts: Sequence[Count]) -> Detection | None:
        subject, given = _privileged(seen), _given(seen)
        by_oneself = seen.actor is not None and seen.actor == seen.account
        severity = Severity.CRITICAL if by_oneself else _severity_of(given)
        who = "itself" if by_oneself else f"by user {seen.actor}" if seen.actor else "by nobody who is known"
        summary = f"{subject} was given {', '.join(given)}, {who}"
        numbers = {"given": given[:20], "by": seen.actor, "changes": counts[0].number}
        return Detection(self.kind, severity, str(subject), summary[:255], numbers, seen.address, seen.account)


class TokenReuse:
    """A token that is used after it was revoked (HIGH), or from an address that is new for it (LOW, `token_new_address`).

    Catches stolen tokens that are used. Doesn't catch one that is used from the owner's own network. A client that was not told of the
    revocation, or moves, looks the same.
    """

    kind = "token_reuse"

    def hits(self, seen: Observation) -> list[Hit]:
        if seen.event_type not in TOKEN_REUSES | {"token.new_address"} or _token(seen) is None:
            return []
        return [Hit(f"tokens/{seen.event_type}/{_token(seen)}", timedelta(hours=1), 100, seen.network or "")]

    def judge(self, seen: Observation, counts: Sequence[Count]) -> Detection | None:
        token = str(_token(seen))
        numbers = {"uses": counts[0].number, "addresses": counts[0].members}
        if seen.event_type in TOKEN_REUSES:
            summary, kind, severity = f"Used after it was revoked: {token}", self.kind, Severity.HIGH
        else:
            summary, kind, severity = f"Used from a new address: {token}", "token_new_address", Severity.LOW
        return Detection(kind, severity, token, summary, numbers, seen.address, seen.account)


def _privileged(seen: Observation) -> str | None:
    if seen.event_type not in PRIVILEGES:
        return None
    group = seen.data.get("group_id") or seen.data.get("group")
    return f"account {seen.account}" if seen.account else f"group {group}"[:200] if group else None


def _given(seen: Observation) -> list[str]:
    """What was given: statuses first, then permissions and groups."""
    is_new = seen.event_type == CREATED
    risen = (True,) if is_new else ([False, True], (False, True))
    statuses = [name for name in ("superuser", "staff") if seen.data.get(name) in risen]
    granted = seen.data.get("granted")
    given = statuses + [str(item)[:100] for item in granted if item] if isinstance(granted, (list, tuple)) else statuses
    told_at_all = is_new or seen.data.keys() & {"superuser", "staff", "granted", "revoked"}
    return given or ([] if told_at_all else [seen.event_type.rpartition(".")[2]])


def _severity_of(given: Sequence[str]) -> Severity:
    if "superuser" in given:
        return Severity.HIGH
    # Who may change users, groups or permissions may give itself the rest.
    powerful = any(item.startswith("auth.") and not item.startswith("auth.view_") for item in given)
    return Severity.MEDIUM if powerful or "staff" in given or not any("." in item for item in given) else Severity.LOW


def _token(seen: Observation) -> str | None:
    name = seen.data.get("token_id") or seen.data.get("token") or seen.data.get("key_id")
    if isinstance(name, (str, int)):
        return f"token {name}"[:200]
    return f"token of account {seen.account}" if seen.account else f"token from {seen.network}" if seen.network else None
