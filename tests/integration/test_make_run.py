"""What `make run` starts: `python -m scripts.serve`."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.databases import base_environment
from tests.support.paths import ROOT, free_port
from tests.support.streams import open_sse
from tests.support.waiting import wait_for

pytestmark = pytest.mark.once


# Seconds. 3 and 5 are the bars on a quiet machine; tests run beside others, so here only what hangs is a failure.
NOT_STUCK = 15


class Site:
    """The site as a person runs it, on an empty database."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        return (self.var / "output").read_text()

    def start(self, **env: str) -> float:
        """Start it, and wait until it says where it is. The seconds that it took."""
        known = base_environment() | {"VAR_DIR": str(self.var), "PORT": str(self.port)} | env
        started = time.monotonic()
        with (self.var / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.serve"], cwd=ROOT, env=known, stdout=output, stderr=output
            )
        wait_for(lambda: "Open http" in self.output or self.process.poll() is not None, "make run to serve", 60)
        return time.monotonic() - started

    def stop(self, how: signal.Signals) -> float:
        """Stop it. The seconds that it took."""
        started = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(10)
        return time.monotonic() - started

    @contextmanager
    def sign_in(self, name: str, password: str) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client:
            client.get("/accounts/login/")
            form = {"username": name, "password": password, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
            client.post("/accounts/login/", data=form)
            yield client


@pytest.fixture
def site(tmp_path: Path, collected_static: Path) -> Iterator[Site]:
    (tmp_path / "static").symlink_to(collected_static)
    site = Site(tmp_path)
    yield site
    if site.process and site.process.poll() is None:
        site.process.kill()
        site.process.wait()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_the_demo_accounts_and_ends_with_a_stream_open(site: Site, how: signal.Signals) -> None:
    site.start()
    password = re.search(r"password +(\S+)", site.output)[1]
    with site.sign_in("alice", password) as alice:
        headers = {"Cookie": f"sessionid={alice.cookies['sessionid']}"}
        async with open_sse(f"http://127.0.0.1:{site.port}/events/stream", headers) as stream:
            assert site.stop(how) < NOT_STUCK
            assert (await stream.close_frame())["reason"] == "server_stopping"
    assert "Traceback" not in site.output


def test_a_second_start_keeps_accounts_and_sessions(site: Site) -> None:
    site.start(DEMO_PASSWORD="a password of my own")
    with site.sign_in("admin", "a password of my own") as admin:
        assert admin.get("/admin/").status_code == 200
        site.stop(signal.SIGTERM)
        assert site.start() < NOT_STUCK
        assert admin.get("/admin/").status_code == 200


def test_a_port_that_is_taken_is_told_in_one_line(site: Site) -> None:
    site.start()
    done = subprocess.run(
        [sys.executable, "-m", "scripts.serve"], cwd=ROOT, env=base_environment() | {"PORT": str(site.port)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"Can't listen on 127.0.0.1:{site.port}: Address already in use. For another port: make run PORT=8001\n"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("EVENTS_SSE_QUEUE_MAXSIZE", "many", "(events.E001) EVENTS_SSE_QUEUE_MAXSIZE: "),
        ("EVENTS_TRUSTED_PROXIES", "10.0.0.0/8,proxy", "(events.E001) EVENTS_TRUSTED_PROXIES: "),
        ("DATABASE_URL", "nonsense", "DATABASE_URL: "),
        ("DATABASE_URL", "postgres://root@127.0.0.1:1/chatter", "The database can't be used: "),
        ("REDIS_URL", "nonsense", "REDIS_URL: "),
        ("DEBUG", "maybe", "DEBUG: "),
    ],
)
def test_a_mistake_in_the_environment_is_told_before_anything_is_served(site: Site, variable: str, value: str, told: str) -> None:
    site.start(**{variable: value})
    assert site.process.wait(NOT_STUCK) == 1
    assert told in site.output
    assert "Traceback" not in site.output


def test_lists_in_the_environment_have_commas_between(site: Site) -> None:
    site.start(ALLOWED_HOSTS="127.0.0.1, chatter.example", EVENTS_TRUSTED_PROXIES="10.0.0.0/8,192.0.2.1")
    answers = [
        httpx.get(f"http://127.0.0.1:{site.port}/accounts/login/", headers={"Host": host}, trust_env=False).status_code
        for host in ("chatter.example", "127.0.0.1", "other.example")
    ]
    assert answers == [200, 200, 400]
