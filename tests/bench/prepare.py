"""What a run needs beside the project: the load client, built with cc, and the peers in a virtual environment of their own."""

from __future__ import annotations

import hashlib
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

HERE = Path(__file__).parent
# Under var/, which git ignores: installed once, however often the benchmark runs.
PLACE = ROOT / "var" / "bench"
CLIENT = PLACE / "client"
PEERS_PYTHON = PLACE / "venv" / "bin" / "python"
REQUIREMENTS = HERE / "requirements-bench.txt"
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


def prepare() -> None:
    """Build and install what is missing. Raises SystemExit with what to do."""
    PLACE.mkdir(parents=True, exist_ok=True)
    allow_files()
    build_client()
    install_peers()


def allow_files() -> None:
    """As many open files as the system lets us have: a connection is one. Processes that are started inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def most_clients() -> int:
    """How many clients one server may have, with some files left over."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200


def build_client() -> None:
    """Compile client.c, unless that was done."""
    source = HERE / "client.c"
    if CLIENT.exists() and CLIENT.stat().st_mtime > source.stat().st_mtime:
        return
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        sys.exit("The load client is written in C and there is no compiler. On Debian and Ubuntu: apt-get install gcc libc6-dev")
    subprocess.run([compiler, "-O2", "-o", CLIENT, source], check=True)


def install_peers() -> None:
    """Make the virtual environment of the peers, unless that was done."""
    stamp = PLACE / "installed"
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    print("Installing the peers into var/bench/venv, this once", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", PLACE / "venv"], check=True)
    pip = [
        str(PEERS_PYTHON),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--quiet",
        "install",
        "--no-input",
        "-r",
        str(REQUIREMENTS),
    ]
    subprocess.run(pip, check=True)
    stamp.write_text(digest)


def nchan() -> str | None:
    """The path of nginx, where it is installed with nchan."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    return program if NCHAN_MODULE.exists() else None
