"""replay_events as a process: browsers elsewhere see it, and Ctrl-C stops it where it can go on."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from os import kill
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.server import Server, Servers
from tests.support.waiting import wait_for

NUMBER = 60
RESUME = re.compile(r"To go on: (--after \d+ --upto \d+)")

REPLAYED = """
from events.models import JournalEntry
bodies = [entry.event for entry in JournalEntry.objects.all()]
result = [event.data["number"] for event in bodies if event.metadata.get("replayed")]
"""
HANDLED_REPLAY = """
import sys
from io import StringIO
from django.core.management import call_command
from events import event_router

def note(event):
    assert event.metadata["replayed"] is True
    with open(path, "a") as file:
        file.write(f"{event.data['number']}\\n")

handler = event_router.add_type_handler("tick.*", note)
out = StringIO()
call_command("replay_events", "--to", "handlers", "--rate", "100", *arguments, stdout=out, stderr=out)
event_router.remove_handler(handler)
result = out.getvalue()
"""


@pytest.fixture
def server(serve: Servers) -> Server:
    server = serve()
    server.other.run(f"from events import emit\nfor number in range({NUMBER}): emit('tick.tock', {{'number': number}})")
    return server


async def test_browsers_of_another_process_see_a_replay_that_says_so(server: Server) -> None:
    async with server.sse("alice") as stream:
        server.emit("tick.last")
        while (await stream.event())["type"] != "tick.last":
            pass  # a server that is a little behind delivers what was emitted before the stream opened
        done = server.manage("replay_events", "--to", "browsers", "--types", "tick.tock")
        events = await stream.events(NUMBER)

    assert [event["data"]["number"] for event in events] == list(range(NUMBER))
    assert all(event["metadata"]["replayed"] is True for event in events)
    assert not {event["id"] for event in events} & {event["metadata"]["replay_of"] for event in events}
    assert f"Replayed {NUMBER} events to browsers." in done.stdout


def test_a_replay_stopped_by_ctrl_c_and_resumed_covers_each_event_once(server: Server) -> None:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "replay_events", "--to", "browsers", "--types", "tick.*", "--rate", "20"],
        cwd=ROOT,
        env=server.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(server.other.run(REPLAYED)) >= 3, "a few to be replayed", 30)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, "")
    stopped = RESUME.search(out)
    assert stopped, out
    wait_for(lambda: f"Stopped after {len(server.other.run(REPLAYED))} events" in out, "the outbox to be published")
    assert 3 <= len(server.other.run(REPLAYED)) < NUMBER

    server.emit("tick.tock", {"number": "emitted meanwhile"})
    server.manage("replay_events", "--to", "browsers", "--types", "tick.*", *stopped[1].split())

    assert Counter(server.other.run(REPLAYED)) == Counter(range(NUMBER))


def test_handlers_get_each_event_once_over_a_stop(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "handled"
    path.touch()

    def replay(*arguments: str) -> str:
        output: str = process.run(HANDLED_REPLAY, path=str(path), arguments=arguments)
        return output

    with server.process() as process, ThreadPoolExecutor(1) as thread:
        running = thread.submit(replay)
        wait_for(lambda: len(path.read_text().splitlines()) >= 5, "a few to be handled", 30)
        kill(process.pid, signal.SIGINT)
        stopped = RESUME.search(running.result(30))
        assert stopped
        assert len(path.read_text().splitlines()) < NUMBER
        assert RESUME.search(replay(*stopped[1].split())) is None

    assert [int(line) for line in path.read_text().splitlines()] == list(range(NUMBER))
