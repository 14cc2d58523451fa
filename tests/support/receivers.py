"""What receives alerts: a webhook that behaves as it is told, on a real socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver(ThreadingHTTPServer):
    """Answers each POST with the next of `answers` (the last one again and again): a status, or HANG or DRIP. `got` is what came, headers
    and body."""

    daemon_threads = True
    HANG, DRIP = "hang", "drip"

    def __init__(self, *answers: int | str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.ending = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/alerts"

    def next_answer(self) -> int | str:
        """What to answer now."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        answer = self.server.next_answer()
        if isinstance(answer, str):
            return self._stall(drips=answer == Receiver.DRIP)
        self.send_response(answer)
        if 300 <= answer < 400:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def _stall(self, *, drips: bool) -> None:
        """Say nothing, or a byte of a header now and then, until the client has gone or the test is over."""
        if drips:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.server.ending.wait(0.05):
            try:
                if drips:
                    self.wfile.write(b"x")
            except OSError:
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def receiver(*answers: int | str) -> Iterator[Receiver]:
    """A receiver that runs."""
    server = Receiver(*answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()


class BrokenBackend:
    """A mail backend that raises what none of Django's would."""

    def __init__(self, **options: Any) -> None:
        pass

    def send_messages(self, messages: list[Any]) -> int:
        raise RuntimeError("it is broken\0")
