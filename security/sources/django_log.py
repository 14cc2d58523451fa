"""What Django logs to `django.security.*`: suspicious operations, hosts that are not allowed, CSRF failures."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any, Final

from events.handlers import call_isolated
from security.sources import refusals
from security.sources.telling import account_id, printable, tell

LOGGER: Final = "django.security"
TYPES: Final = {
    "csrf": "csrf.failed",
    "DisallowedHost": "request.disallowed_host",
    "SuspiciousSession": "session.invalid",
}
_telling: ContextVar[bool] = ContextVar("security_telling", default=False)


def connect() -> None:
    """Attach the handler. Doing it again changes nothing."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(handler, Handler) for handler in logger.handlers):
        logger.addHandler(Handler())


class Handler(logging.Handler):
    """Makes an event of each record. What telling it logs itself is passed by."""

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """None: telling waits for the database, and one request must not wait for another's."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        if _telling.get():
            return
        token = _telling.set(True)
        try:
            call_isolated(_tell, record=record)
        finally:
            _telling.reset(token)


def _tell(record: logging.LogRecord) -> None:
    kind = record.name.removeprefix(LOGGER).lstrip(".") or "security"
    event_type = TYPES.get(kind, "request.suspicious")
    request: Any = getattr(record, "request", None)
    data = refusals.where(request) | {"kind": printable(kind, 50), "reason": _reason(record)}
    refusals.mark_told(request)
    user = account_id(refusals.loaded_user(request))
    tell(event_type, data, account=user, request=request, details=[data.get("route") or data["kind"]])


def _reason(record: logging.LogRecord) -> str:
    """The reason, without the path that Django adds to it."""
    if record.args and isinstance(record.args, tuple) and record.name == f"{LOGGER}.csrf":
        return printable(record.args[0])
    return printable(record.getMessage())
