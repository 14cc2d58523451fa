"""Alerts as JSON that is posted and signed. How to verify one: docs/how-to/work-on-incidents.md."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import ssl
import time
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

import httpx
import orjson

from security.alerts import digests
from security.alerts.messages import incident_url, list_url, message_id
from security.conf import settings
from security.models import Delivery

DIGEST: Final = "incidents.digest"
# A webhook's URL is often its secret, and httpx logs each that it asks for.
_posting: ContextVar[bool] = ContextVar("security_webhook_posting", default=False)
logging.getLogger("httpx").addFilter(lambda record: not _posting.get())


class Refused(Exception):
    """The receiver did not take it: the answer is no success, or did not come in time."""


def post(delivery: Delivery) -> None:
    """Post the alert or the digest. Raises Refused unless the answer is 2xx; a redirect is not followed. Raises httpx.HTTPError where nobody
    answers, httpx.InvalidURL, UnicodeError for a URL that names nothing."""
    body = orjson.dumps(content(delivery))
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "chatter-events",
        "X-Delivery-ID": message_id(delivery),
        "X-Timestamp": timestamp,
        "X-Signature": signature(settings().WEBHOOK_SECRET.get_secret_value(), timestamp, body),
    }
    seconds = settings().DELIVERY_TIMEOUT
    try:
        status = asyncio.run(_status(delivery.target, body, headers, seconds))
    except TimeoutError:
        raise Refused(f"no answer within {seconds:g} s") from None
    if not 200 <= status < 300:
        raise Refused(f"answered {status}")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `X-Signature`: the HMAC-SHA256 of timestamp, dot and body, in hexadecimal digits."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def content(delivery: Delivery) -> dict[str, Any]:
    """What is posted."""
    incident = delivery.incident
    if incident is None:
        return {"id": message_id(delivery), "type": DIGEST, "digest": _counted(delivery)}
    names = (
        "id", "kind", "severity", "state", "subject", "summary", "address", "account", "numbers", "events", "opened_at",
        "last_event_at", "correlation_id",
    )  # fmt: skip
    told = {name: getattr(incident, name) for name in names} | {"url": incident_url(incident)}
    return {"id": message_id(delivery), "type": f"suspicious.{incident.kind}", "incident": told}


def _counted(digest: Delivery) -> dict[str, Any]:
    lines = digests.lines(digest)
    return {
        "since": digest.held_since,
        "until": digest.held_until,
        "incidents": sum(line.number for line in lines),
        "counts": [line._asdict() for line in lines],
        "url": list_url(),
    }


async def _status(url: str, body: bytes, headers: dict[str, str], seconds: float) -> int:
    _posting.set(True)  # ends with the task
    async with (
        httpx.AsyncClient(timeout=seconds, follow_redirects=False, verify=_authorities()) as client,
        # A deadline for all of it: httpx's own timeouts begin anew with each byte of a receiver that answers slowly on purpose.
        asyncio.timeout(seconds),
        client.stream("POST", url, content=body, headers=headers) as response,
    ):
        return response.status_code


@cache
def _authorities() -> ssl.SSLContext:
    """Who certifies receivers. Read once: that takes longer than to post."""
    return httpx.create_ssl_context()
