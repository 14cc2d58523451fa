"""The events that our sources tell: what each is called in OWASP's logging vocabulary, how urgent it is, and how masses of it are told.

OWASP's names: https://cheatsheetseries.owasp.org/cheatsheets/Logging_Vocabulary_Cheat_Sheet.html. They stand in `metadata["owasp"]`, with
their details behind a colon: `authn_login_fail:7`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from events.types import EventPriority

MAX_DETAIL_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Word:
    """One type of event. `owasp` is "" where that vocabulary has no word for it.

    `many` is the type of the summaries into which masses of it are folded (`security.sources.floods`); None where every one is told: what
    somebody did who may do it. `only_many`: one alone is nothing to tell.
    """

    owasp: str
    outcome: str = "success"
    priority: EventPriority = EventPriority.NORMAL
    many: str | None = None
    only_many: bool = False


HIGH, LOW = EventPriority.HIGH, EventPriority.LOW

VOCABULARY: Final[dict[str, Word]] = {
    "auth.login_success": Word("authn_login_success"),
    "auth.login_failure": Word("authn_login_fail", "failure", HIGH, many="auth.login_failures"),
    "auth.login_refused": Word("authn_login_fail_max", "denied", many="auth.logins_refused"),
    "auth.logout": Word("session_expired"),
    "account.created": Word("user_created"),
    "account.deleted": Word("user_deleted", priority=HIGH),
    "account.deactivated": Word("authn_login_lock", priority=HIGH),
    "account.reactivated": Word("user_updated"),
    "account.locked": Word("authn_login_lock", priority=HIGH),
    "account.unlocked": Word("user_updated"),
    "account.email_changed": Word("user_updated"),
    "account.password_changed": Word("authn_password_change"),
    "account.password_reset_requested": Word("", "unknown", many="account.password_resets_requested"),
    "account.permissions_changed": Word("authz_change", priority=HIGH),
    "group.permissions_changed": Word("privilege_permissions_changed", priority=HIGH),
    "group.deleted": Word("privilege_permissions_changed", priority=HIGH),
    "access.denied": Word("authz_fail", "denied", many="access.denials"),
    "access.not_found": Word("malicious_excess_404", "failure", many="access.misses", only_many=True),
    "csrf.failed": Word("malicious_cors", "denied", many="csrf.failures"),
    "rate_limit.exceeded": Word("excess_rate_limit_exceeded", "denied", many="rate_limit.refusals"),
    "request.suspicious": Word("malicious_direct_reference", "denied", HIGH, many="request.suspicions"),
    "request.disallowed_host": Word("malicious_extraneous", "denied", many="request.disallowed_hosts"),
    "stream.refused": Word("authz_fail", "denied", many="stream.refusals"),
    "token.created": Word("authn_token_created"),
    "token.revoked": Word("authn_token_revoked"),
    "token.reused": Word("authn_token_reuse", "denied", HIGH, many="token.reuses"),
    "token.new_address": Word("", "unknown"),
    "session.new_device": Word("session_created"),
    "session.expired": Word("session_use_after_expire", "failure", LOW, many="session.expirations"),
    "session.invalid": Word("session_use_after_expire", "failure", HIGH, many="session.failures"),
}


def owasp_event(event_type: str, *details: Any) -> str:
    """The name in OWASP's vocabulary with its details, those that are None left out; "" where it has none. Nothing in it can break a line
    or stand for another detail."""
    name = VOCABULARY[event_type].owasp
    return ":".join(filter(None, (name, ",".join(_detail(detail) for detail in details if detail is not None)))) if name else ""


def _detail(value: Any) -> str:
    return "".join(c if c.isprintable() and c not in ",:" else "_" for c in str(value)[:MAX_DETAIL_LENGTH])
