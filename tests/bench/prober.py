"""Asks a server for a page at a steady pace and measures how long each answer takes: `python -m tests.bench.prober URL COOKIE`.

A line on stdin ends a span: what it saw since the last one is printed as JSON, the latencies in milliseconds. They count from when
a request was due, so that a server that stands still is not asked less.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

PACE = 0.02
# What a request counts that is answered with an error.
NEVER = 60_000.0


class Prober:
    """`latencies` are those of the answers that came."""

    def __init__(self, port: int, request: bytes) -> None:
        self.port = port
        self.request = request
        self.latencies: list[float] = []

    async def ask(self, due: float) -> None:
        """One request on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(self.request)
        answer = await reader.read()
        writer.close()
        answered = answer.startswith(b"HTTP/1.1 200")
        self.latencies.append((time.perf_counter() - due) * 1000 if answered else NEVER)

    async def run(self) -> None:
        """Ask for ever."""
        loop = asyncio.get_running_loop()
        due, asked = time.perf_counter(), set()
        while True:
            asked.add(loop.create_task(self.ask(due)))
            for task in [task for task in asked if task.done()]:
                asked.discard(task)
                task.result()
            due += PACE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))


async def main(port: int, path: str, cookie: str) -> None:
    """Ask until stdin ends."""
    lines = ("GET " + path + " HTTP/1.1", f"Host: 127.0.0.1:{port}", cookie, "Connection: close", "", "")
    prober = Prober(port, "\r\n".join(lines).encode())
    asking = asyncio.create_task(prober.run())
    while await asyncio.to_thread(sys.stdin.readline) and not asking.done():
        print(json.dumps(prober.latencies), flush=True)
        prober.latencies = []
    if asking.done():
        asking.result()
    asking.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
