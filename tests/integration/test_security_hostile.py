"""Bytes that no browser sends, to real servers: no server error, nothing raw in the log, in what is told, in a page or an export."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import pytest

from tests.support.raw import OTHER_CHARSETS, multipart, request, send
from tests.support.server import Server, Servers

HOSTILE: dict[str, bytes] = {
    "no UTF-8": b"\xff\xfe\x80abc",
    "a lone surrogate": b"a\xed\xa0\x80b",
    "a lone surrogate in UTF-7": b"+2AA-",
    "NUL": b"a\0b",
    "ANSI": b"a\x1b[31m\x1b]0;x\x07b",
    "C1": b"a\x9b31m\xc2\x9b31mb",
    "a bidi override": "a\u202eb\u2028c".encode(),
    "markup": b"<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
    "a formula": b"=cmd|' /C calc'!A0",
    "a line": b"a\nINJECTED line",
    "a header": b"a\r\nX-INJECTED: b",
    "octal": b'"\\000\\001\\033[31m\\377=cmd"',
    "a megabyte": b"A" * 1_000_000,
    "a format": b"%s %(x)s {0} {x.__class__}",
}
HEADERS = (b"User-Agent", b"X-Forwarded-For", b"X-Request-ID", b"X-Correlation-ID", b"Authorization", b"Referer", b"Origin")
CSRF = b"c" * 32
FORM = {b"Cookie": b"csrftoken=" + CSRF, b"Content-Type": b"application/x-www-form-urlencoded"}
SOCKET = {
    b"Connection": b"Upgrade",
    b"Upgrade": b"websocket",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
}
# Uvicorn hangs on to a larger handshake without an answer.
LARGEST_OF_SOCKETS = 4_000
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")
# The last line of a traceback. Django logs its own for a host that is not allowed.
RAISED = re.compile(r"(?:\w+\.)*(\w*(?:Error|Exception|Host|Warning|Violation))\b")
TOLD = """
from events import unified_event_manager
from security.sources.floods import floods
from events.models import JournalEntry
from audit.models import AuditEntry
from security.models import Incident
import orjson
result = {
    "events": [[row.event_type, row.event.data, row.event.metadata] for row in JournalEntry.objects.filter(category="security")],
    "entries": [[row.actor_label, row.user_agent, row.resource_label, row.correlation_id] for row in AuditEntry.objects.all()],
}
"""


@pytest.fixture(params=["uvicorn", "daphne"], scope="module")
def server(request: pytest.FixtureRequest, serve_module: Servers) -> Server:
    """One that believes what it is told of addresses, and tells all one by one."""
    server = serve_module(
        request.param, EVENTS_TRUSTED_PROXIES="127.0.0.1/32", SECURITY_FLOOD_AFTER="100000", SECURITY_FLOOD_AFTER_SITE="100000"
    )
    server.errors_expected = True  # which ones, the tests say
    return server


def attacks(value: bytes) -> Iterator[tuple[str, bytes]]:
    """The value in each place, by name."""
    yield from of_requests(value, quote_from_bytes(value, safe="").encode())
    short = value[:LARGEST_OF_SOCKETS]
    yield from of_sockets(short, quote_from_bytes(short, safe="").encode())


def of_requests(value: bytes, quoted: bytes) -> Iterator[tuple[str, bytes]]:
    for name in HEADERS:
        header = {name: b"Token " + value if name == b"Authorization" else value}
        yield f"{name!r} of a stream", request(b"/events/stream", header)
        yield f"{name!r} of the API", request(b"/api/events/", header)
        yield f"{name!r} of a form", request(b"/accounts/login/", header, b"username=x", b"POST")
    for cookie in (b"sessionid", b"csrftoken", value):
        # Django itself asks PostgreSQL for a session with a NUL in its key, which raises. Streams do not.
        for_django = value.replace(b"\\000", b"")
        yield "a cookie of a page", request(b"/", {b"Cookie": cookie + b"=" + for_django})
        yield "a cookie of the API", request(b"/api/events/", {b"Cookie": cookie + b"=" + for_django})
        yield "a cookie of a stream", request(b"/events/stream", {b"Cookie": cookie + b"=" + value})
    yield "host", request(b"/accounts/login/", host=value)
    yield "method", request(b"/accounts/login/", method=value)
    for target in (value, quoted):
        yield "path", request(b"/nothing/" + target)
        yield "path of the API", request(b"/api/events/" + target + b"/")
        yield "query", request(b"/api/events/?types=" + target)
        yield "query of a stream", request(b"/events/stream?types=" + target + b"&" + target + b"=1")
        form = b"csrfmiddlewaretoken=%b&username=%b&password=%b" % (CSRF, target, target)
        yield "form", request(b"/accounts/login/", FORM, form, b"POST")
        yield "token of a form", request(b"/accounts/login/", FORM, b"csrfmiddlewaretoken=%b" % target, b"POST")
    for charset in OTHER_CHARSETS:
        values = {"csrfmiddlewaretoken": CSRF, "username": value, "password": value}
        body, content_type = multipart(values, charset)
        for path in (b"/accounts/login/", b"/admin/login/"):
            yield f"form in {charset}", request(path, FORM | {b"Content-Type": content_type.encode()}, body, b"POST")
    named = FORM | {b"Content-Type": b"multipart/form-data; boundary=x; charset=" + value}
    yield "charset", request(b"/accounts/login/", named, multipart({"username": b"x"}, "")[0], b"POST")
    yield "content type", request(b"/accounts/login/", FORM | {b"Content-Type": value}, b"username=x", b"POST")


def of_sockets(value: bytes, quoted: bytes) -> Iterator[tuple[str, bytes]]:
    for name in HEADERS:
        header = {name: b"Token " + value if name == b"Authorization" else value}
        yield f"{name!r} of a socket", request(b"/ws/events/", SOCKET | header)
    for cookie in (b"sessionid", value):
        yield "a cookie of a socket", request(b"/ws/events/", SOCKET | {b"Cookie": cookie + b"=" + value})
    yield "host of a socket", request(b"/ws/events/", SOCKET | {b"Origin": b"http://" + value}, host=value)
    for target in (value, quoted):
        yield "path of a socket", request(b"/ws/" + target, SOCKET)
        yield "query of a socket", request(b"/ws/events/?types=" + target, SOCKET)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_bytes_are_no_server_error(server: Server, kind: str) -> None:
    answers = [(name, send(server.port, data)) for name, data in attacks(HOSTILE[kind])]
    assert [(name, status) for name, status in answers if status is not None and status >= 500] == []
    with server.client() as client:
        assert client.get("/healthz").status_code == 200
    lines = server.log.split("\n")
    assert [line for line in lines if CONTROL.search(line) or line.lstrip().startswith(("INJECTED", "X-INJECTED"))] == []
    assert [line for line in lines if (found := RAISED.match(line)) and found[1] != "DisallowedHost"] == []
    assert_told_is_clean(server.other.run(TOLD))


def assert_told_is_clean(told: dict[str, Any]) -> None:
    """What events and entries hold is text that breaks nothing."""
    assert told["events"], "nothing was told"
    assert [text for text in texts(told) if CONTROL.search(text) or len(text) > 2_000] == []


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for part in value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value


def test_what_was_told_of_hostile_bytes_is_no_markup_and_no_formula(server: Server) -> None:
    for kind in ("markup", "a formula", "no UTF-8"):
        for _, data in attacks(HOSTILE[kind]):
            send(server.port, data)
    with server.client("admin") as client:
        for page in ("events/journalentry/", "audit/auditentry/", "security/incident/", "security/incident/dashboard/"):
            found = client.get(f"/admin/{page}")
            assert found.status_code == 200
            assert "<script>alert(1)" not in found.text
            assert "<img src=x" not in found.text
    table = list(csv.reader(io.StringIO(server.manage("export_audit", "--format", "csv").stdout)))
    assert [cell for row in table[1:] for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []


PAGES = ("security/incident/", "security/incident/dashboard/", "security/cooloff/", "audit/auditentry/", "events/journalentry/")
QUERIES = (
    "q",
    "kind",
    "state",
    "severity",
    "opened_at",
    "opened_at__gte",
    "account",
    "p",
    "o",
    "e",
    "period",
    "user",
    "category",
)


@pytest.mark.parametrize("server", ["uvicorn"], indirect=True)
@pytest.mark.parametrize("kind", ["NUL", "a lone surrogate", "markup"])
def test_hostile_queries_of_the_pages_are_no_server_error_and_no_markup(server: Server, kind: str) -> None:
    text = quote_from_bytes(HOSTILE[kind], safe="")
    asked = [f"{page}?{query}" for page in PAGES for query in (*(f"{name}={text}" for name in QUERIES), f"{text}={text}")]
    with server.client("admin") as client:
        for path in (*asked, f"security/incident/{text}/change/", f"audit/auditentry/{text}/change/"):
            answer = client.get(f"/admin/{path}")
            assert answer.status_code < 500, path
            assert "<script>alert(1)" not in answer.text, path
