"""Make .venv and install pinned requirements into it, unless that is done. Needs nothing but Python and its venv module.

python3 scripts/bootstrap.py requirements.txt [requirements-dev.txt]
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def main(names: list[str]) -> int:
    """Install the requirements files of these names. The exit status."""
    with Path(__file__).open() as lock:  # two makes at once must not fill one .venv
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_ours():
            make_venv()
        return 0 if all(install(ROOT / name) for name in names) else 1


def is_ours() -> bool:
    """Whether .venv works and is of this Python's version."""
    if not PYTHON.exists():
        return False
    version = subprocess.run(
        [PYTHON, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=False
    )
    return version.stdout.strip() == str(sys.version_info[:2])


def make_venv() -> None:
    """A new .venv with pip. Debian keeps what that needs in a package of its own: root gets it, others are told."""
    say(f"Making .venv with Python {sys.version.split()[0]}")
    try:
        import ensurepip  # noqa: F401, PLC0415
    except ImportError:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            sys.exit(
                f"This Python has no ensurepip, which the venv module needs. On Debian and Ubuntu: apt-get install {package}"
            )
        say(f"Installing {package}")
        apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
        subprocess.run([*apt, "update"], check=True)
        subprocess.run([*apt, "install", "-y", "--no-install-recommends", package], check=True, stdout=subprocess.DEVNULL)
    # In a process of its own: an ensurepip that was just installed is not known to this one.
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)


def install(requirements: Path) -> bool:
    """Have pip install what the file pins, unless that was done. Tells how far it is."""
    stamp = VENV / f".installed-{requirements.stem}"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return True
    total = sum(line[:1].isalnum() for line in requirements.read_text().splitlines())
    say(f"Installing up to {total} packages from {requirements.name}, this once")
    command = [str(PYTHON), *["-m", "pip", "--disable-pip-version-check", "install", "--no-input", "-r"], str(requirements)]
    pip = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert pip.stdout is not None
    lines = []
    for line in pip.stdout:
        lines.append(line)
        show_progress(line.split(" (from")[0].strip())
    show_progress("")
    if pip.wait() != 0:
        print("".join(lines[-40:]), file=sys.stderr)
        return False
    stamp.write_text(digest)
    return True


def say(text: str) -> None:
    """A line for the person who waits."""
    print(text, flush=True)


def show_progress(text: str) -> None:
    """Rewrite the line at the bottom of a terminal."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
