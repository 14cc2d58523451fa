"""Run the tests on PostgreSQL (those that use the database) and on SQLite (all), with the services that they need.

What is missing is installed where we are root and there is apt-get. A service that doesn't run already is started for the run.
Arguments are handed to pytest. With REQUIRE_SERVICES=1 a missing service is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

from tests.support import services

# Programs, any of which will do, and Debian's packages that have them.
PACKAGES = (
    (("postgres",), ["postgresql"]),
    (("redis-server",), ["redis-server"]),
    (("chromium", "chromium-browser", "google-chrome"), ["chromium"]),
    (("node",), ["nodejs"]),
    (("npm",), ["npm"]),
)
# Tests wait more than they compute.
WORKERS = max(2, round(1.5 * (os.cpu_count() or 2)))

# A module's tests share their servers, so they run in one process. Modules start in order: the slowest are the first.
DISTRIBUTION = ["--dist", "loadfile", "--no-loadscope-reorder"]


def main() -> int:
    """Both runs. The exit status."""
    install_missing()
    with ExitStack() as stack:
        os.environ |= {
            name: url
            for name, url in (
                ("TEST_REDIS_URL", services.running_redis() or start(stack, services.OwnRedis)),
                ("TEST_POSTGRESQL_URL", services.running_postgresql() or start(stack, services.OwnPostgreSQL)),
            )
            if url
        }
        return run_both(os.environ.get("TEST_POSTGRESQL_URL"))


def install_missing() -> None:
    """Install the programs that are missing, where we may."""
    packages = [package for programs, names in PACKAGES if not is_here(programs) for package in names]
    if not packages or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print(f"Installing {', '.join(packages)}", flush=True)
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in ([*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(command, env=env, check=False, stdout=subprocess.DEVNULL)
        if done.returncode:
            print(f"{' '.join(command)} failed; the tests that need it are skipped", file=sys.stderr)
            return


def is_here(programs: tuple[str, ...]) -> bool:
    """Whether one of the programs is installed."""
    try:
        services.find_program(*programs)
    except services.Unavailable:
        return False
    return True


def start(stack: ExitStack, make: Callable[[], services.OwnRedis | services.OwnPostgreSQL]) -> str | None:
    """A service of this run's own, and its URL. None where it isn't installed: the tests will say so."""
    try:
        service = make()
        stack.callback(service.discard)
        service.start()
    except services.Unavailable as reason:
        print(reason, file=sys.stderr)
        return None
    return service.url


def run_both(postgresql_url: str | None) -> int:
    """Pytest on PostgreSQL where there is one, then on SQLite. The first exit status that isn't 0."""
    statuses = []
    if postgresql_url:
        statuses.append(run("PostgreSQL", ["--database-tests"], DATABASE_URL=postgresql_url))
    elif services.are_required():
        print("REQUIRE_SERVICES is set and there is no PostgreSQL", file=sys.stderr)
        statuses.append(1)
    else:
        print("No PostgreSQL: the tests run on SQLite only")
    statuses.append(run("SQLite", []))
    return next(filter(None, statuses), 0)


def run(title: str, options: list[str], **env: str) -> int:
    """Run pytest. Its exit status."""
    started = time.monotonic()
    print(f"\nTests on {title}", flush=True)
    known = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    command = [sys.executable, "-m", "pytest", "-n", str(WORKERS), *DISTRIBUTION, "-q", *options, *sys.argv[1:]]
    status = subprocess.run(command, cwd=ROOT, env=known | env, check=False).returncode
    if status:
        print(f"Tests on {title} failed after {time.monotonic() - started:.0f} s", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
