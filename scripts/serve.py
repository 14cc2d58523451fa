"""Prepare the site and serve it on HOST:PORT until Ctrl-C or SIGTERM. In one process, because Django takes a second to load."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress

import uvicorn

from scripts.prepare import prepare

HOST = os.environ.get("HOST") or "127.0.0.1"
PORT = os.environ.get("PORT") or "8000"
# Streams end when the server is told to stop; this is for what does not.
SHUTDOWN_TIMEOUT = 2


class Server(uvicorn.Server):
    """Uvicorn, which tells where it is once it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started:
            host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(HOST, f"[{HOST}]" if ":" in HOST else HOST)  # noqa: S104
            print(f"\nOpen http://{host}:{PORT}/ in a browser. Ctrl-C ends the server.", flush=True)


def main() -> None:
    """Take the port, prepare, serve."""
    try:
        listener = socket.create_server(
            (HOST, int(PORT)), family=socket.AF_INET6 if ":" in HOST else socket.AF_INET, backlog=2048
        )
    except (OSError, ValueError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        sys.exit(f"Can't listen on {HOST}:{PORT}: {reason}. For another port: make run PORT=8001")
    prepare()
    config = uvicorn.Config(
        "chatter_site.asgi:application", log_level="warning", timeout_graceful_shutdown=SHUTDOWN_TIMEOUT, server_header=False
    )
    with suppress(KeyboardInterrupt):  # Uvicorn raises the signal again once it has ended
        Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
