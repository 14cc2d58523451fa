"""The security monitor: hands failed logins to the detectors and raises their alerts as critical security events."""

from __future__ import annotations

from typing import Any

from events.client_ip import client_ip
from events.context import Actor
from events.manager import emit, event_router
from events.types import MAX_LABEL_LENGTH, EventCategory, EventPriority, UnifiedEvent
from security.accounts import find_account, username_hash
from security.adapter import LOGIN_FAILURE
from security.detectors import DETECTORS, Alert, LoginFailure

MONITOR = Actor("system", None, "security monitor")


class Monitor:
    """A handler of security events, called once they are committed. One a process: `monitor`."""

    def __init__(self) -> None:
        self._handler_id: str | None = None

    def start(self) -> None:
        """Receive security events. Doing it again changes nothing."""
        if self._handler_id is None:
            self._handler_id = event_router.add_category_handler(EventCategory.SECURITY, self.receive, after_commit=True)

    def stop(self) -> None:
        """No longer."""
        if self._handler_id is not None:
            event_router.remove_handler(self._handler_id)
            self._handler_id = None

    @property
    def is_running(self) -> bool:
        """Whether it receives security events."""
        return self._handler_id is not None

    def receive(self, event: UnifiedEvent) -> None:
        """Let the detectors look at a failed login; other events are not theirs."""
        if event.event_type != LOGIN_FAILURE or event.metadata.get("replayed"):
            return
        failure = failure_of(event)
        for detector in DETECTORS:
            alert = detector.observe(failure)
            if alert is not None and not _raise(alert, failure, event):
                alert.release()


monitor = Monitor()


def failure_of(event: UnifiedEvent) -> LoginFailure:
    """The failed login that an event tells of.

    The address is `ip_address` or `ip` in the data, which speak of the failure itself, else the one in the metadata. The account is
    the event's `user_id`, `user_id` in the data, or whose name is `username` in the data.
    """
    data = event.data
    stated = (data.get("ip_address"), data.get("ip"), event.metadata.get("ip_address"))
    address = next(filter(None, map(_address, stated)), None)
    account, unknown = _account(event)
    return LoginFailure(event.timestamp, address, account, unknown)


def _account(event: UnifiedEvent) -> tuple[str | None, str | None]:
    """The account's id, or the hash of a username that is no account's."""
    user_id, username = event.user_id or event.data.get("user_id"), event.data.get("username")
    if isinstance(user_id, (str, int)) and not isinstance(user_id, bool) and user_id != "":
        return str(user_id)[:MAX_LABEL_LENGTH], None
    if isinstance(username, str) and username:
        account = find_account(username)
        return (str(account.pk), None) if account is not None else (None, username_hash(username))
    known = event.data.get("username_hash")
    return None, known[:MAX_LABEL_LENGTH] if isinstance(known, str) else None


def _address(value: Any) -> str | None:
    return client_ip(value.partition("%")[0]) if isinstance(value, str) else None


def _raise(alert: Alert, failure: LoginFailure, event: UnifiedEvent) -> bool:
    metadata: dict[str, Any] = {"actor": MONITOR.to_dict()}
    if failure.address is not None:
        metadata["ip_address"] = failure.address
    return emit(
        alert.event_type,
        alert.data | {"last_failure_event_id": event.id},
        category=EventCategory.SECURITY,
        priority=EventPriority.CRITICAL,
        user_id=alert.account,
        correlation_id=event.correlation_id,
        metadata=metadata,
    )
