"""What Django logs to `django.security.*`: suspicious operations, hosts that are not allowed, CSRF failures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

from django.http import HttpRequest

from events.handlers import call_isolated
from security.sources import refusals
from security.sources.telling import account_id, printable, tell

LOGGER: Final = "django.security"
TYPES: Final = {
    "csrf": "csrf.failed",
    "DisallowedHost": "request.disallowed_host",
    "SuspiciousSession": "session.invalid",
}
HEARD: Final = "security_heard"
_telling: ContextVar[bool] = ContextVar("security_telling", default=False)


def connect() -> None:
    """Attach the handler. Doing it again changes nothing."""
    for logger in _loggers():
        if not any(isinstance(handler, Handler) for handler in logger.handlers):
            logger.addHandler(Handler())


def _loggers() -> Iterator[logging.Logger]:
    """Django's, and those below it that hand nothing on: many a project keeps `django.security.DisallowedHost` out of its mail so."""
    yield logging.getLogger(LOGGER)
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith(f"{LOGGER}.") and isinstance(logger, logging.Logger) and not logger.propagate:
            yield logger


class Handler(logging.Handler):
    """Makes one event of each record. What telling it logs itself is passed by."""

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """None: telling waits for the database, and one request must not wait for another's."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """As logging's, which takes the lock without asking whether there is one, from Python 3.13 on."""
        found: Any = self.filter(record)  # from Python 3.12 on this may be a record, to go on with in place of this one
        if found:
            self.emit(record if found is True else found)
        return bool(found)

    def emit(self, record: logging.LogRecord) -> None:
        if _telling.get() or hasattr(record, HEARD):
            return
        setattr(record, HEARD, True)  # a logger may hand on after all
        token = _telling.set(True)
        try:
            call_isolated(_tell, record=record)
        finally:
            _telling.reset(token)


def _tell(record: logging.LogRecord) -> None:
    kind = record.name.removeprefix(LOGGER).lstrip(".") or "security"
    event_type = TYPES.get(kind, "request.suspicious")
    request = _request_of(record)
    data = refusals.where(request) | {"kind": printable(kind, 50), "reason": _reason(record)}
    refusals.mark_told(request)
    user = account_id(refusals.loaded_user(request))
    tell(event_type, data, account=user, request=request, details=[data.get("route") or data["kind"]])


def _request_of(record: logging.LogRecord) -> HttpRequest | None:
    """Django's request, if it is one that was logged with it: other code may log what it likes there."""
    request = getattr(record, "request", None)
    request = getattr(request, "_request", request)  # of Django REST framework's
    return request if isinstance(request, HttpRequest) else None


def _reason(record: logging.LogRecord) -> str:
    """The reason, without the path that Django adds to it."""
    if record.args and isinstance(record.args, tuple) and record.name == f"{LOGGER}.csrf":
        return printable(record.args[0])
    return printable(record.getMessage())
