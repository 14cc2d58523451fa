"""Requests that are refused: by Django, by Django REST framework, for want of permission, of credentials, of a CSRF token, or as too many.

The response tells it, so a project's own exception handler stays its own. A path is told as the route's template: what stands in
a path or query may be a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from security.sources import tokens
from security.sources.telling import account_id, printable, tell

TOLD: Final = "_security_told"
# How Django REST framework says what its session authentication refuses.
DRF_CSRF: Final = "CSRF Failed: "
TYPES: Final = {
    401: "access.denied",
    403: "access.denied",
    404: "access.not_found",
    429: "rate_limit.exceeded",
}


def look(request: HttpRequest, response: Any) -> Callable[[], None] | None:
    """A refusal that Django has not logged as a security matter, which is told from there."""
    event_type = TYPES.get(response.status_code)
    if event_type is None or getattr(request, TOLD, False):
        return None
    return partial(_tell, event_type, request, response)


def mark_told(request: HttpRequest | None) -> None:
    """The refusal of this request is told: not again."""
    if request is not None:
        setattr(request, TOLD, True)


def where(request: HttpRequest | None) -> dict[str, Any]:
    """Which route was asked for, and how."""
    if request is None:
        return {}
    match = request.resolver_match
    return {"method": printable(request.method or "", 16), "route": printable(match.route) if match else None}


def loaded_user(request: HttpRequest | None) -> Any:
    """Who asked, if that is known without asking the database: a flood of requests must not cost a query each."""
    user = getattr(request, "user", None)
    if isinstance(user, LazyObject) and user._wrapped is empty:
        return None
    return user if user is not None and user.is_authenticated else None


def _tell(event_type: str, request: HttpRequest, response: Any) -> None:
    data = where(request) | {"status": response.status_code}
    if event_type == "access.denied":
        code, text = _said(response)
        if text.startswith(DRF_CSRF):
            event_type, data["reason"] = "csrf.failed", printable(text.removeprefix(DRF_CSRF))
        else:
            data["reason"] = _reason(request, response, code)
            if _may_be_for_a_token(request, data["reason"], code) and tokens.tell_if_reused(
                tokens.shown_key(request.headers.get("Authorization", "")), data, request
            ):
                return
    elif event_type == "rate_limit.exceeded" and response.headers.get("Retry-After"):
        data["retry_after"] = printable(response.headers["Retry-After"], 32)
    tell(event_type, data, account=account_id(loaded_user(request)), request=request, details=[data["route"]])


def _said(response: Any) -> tuple[str | None, str]:
    """The code and the text by which Django REST framework says why; a project's own handler may leave them out."""
    said = getattr(response, "data", None)
    detail = said.get("detail") if isinstance(said, Mapping) else None
    code = getattr(detail, "code", None)
    return (code, str(detail)) if isinstance(code, str) else (None, detail if isinstance(detail, str) else "")


def _may_be_for_a_token(request: HttpRequest, reason: str, code: str | None) -> bool:
    """Whether a token that was shown may be why. Where the code is left out a 403 does not say: it is what Django REST framework makes of
    a wrong token if its first authentication names no challenge, such as that by sessions."""
    return reason == "authentication_failed" or (code is None and loaded_user(request) is None)


def _reason(request: HttpRequest, response: Any, code: str | None) -> str:
    if code is not None:
        return printable(code, 50)
    if response.status_code == 403:
        return "permission_denied"
    return "authentication_failed" if "Authorization" in request.headers else "not_authenticated"
