"""An HTTP client that sends any bytes: what is hostile, no library lets one send."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

TIMEOUT = 20.0
# What Python can decode besides UTF-8: text, halves of characters, no text at all, and nothing.
OTHER_CHARSETS = ("utf-7", "latin-1", "idna", "unicode_escape", "base64", "zip", "rot13", "undefined")


def request(
    target: bytes,
    headers: dict[bytes, bytes] | None = None,
    body: bytes = b"",
    method: bytes = b"GET",
    host: bytes = b"127.0.0.1",
) -> bytes:
    """The bytes of a request, which the server is to answer and then to close the connection."""
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    fields = {b"Host": host, b"Connection": b"close"} | ({b"Content-Length": b"%d" % len(body)} if body else {}) | (headers or {})
    return b"\r\n".join([*lines, *(b"%b: %b" % field for field in fields.items()), b"", body])


def multipart(values: Mapping[str, bytes], charset: str) -> tuple[bytes, str]:
    """The body and the content type of a form that says which charset it is in, as no browser does."""
    parts = [b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (k.encode(), v) for k, v in values.items()]
    return b"".join([*parts, b"--x--\r\n"]), f"multipart/form-data; boundary=x; charset={charset}"


def send(port: int, data: bytes) -> int | None:
    """The status of the answer; None where the server only hangs up."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a server need not read it all
            connection.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while b"\r\n" not in answer and (part := connection.recv(4096)):
                answer += part
    words = answer.split(b"\r\n", 1)[0].split(b" ")
    return int(words[1]) if len(words) > 1 else None
