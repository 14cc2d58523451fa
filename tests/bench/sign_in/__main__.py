"""Run the attack scripts on each contestant and write docs/security-comparison.md: `python -m tests.bench.sign_in`.

Contestants take turns, each in a process and a database of its own, on SQLite. `--quick`: one turn, and only print.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.support.paths import ROOT

HERE = Path(__file__).parent
PLACE = ROOT / "var" / "bench" / "sign-in"
PAGE = ROOT / "docs" / "security-comparison.md"
TEMPLATE = HERE / "page.md"
REQUIREMENTS = HERE / "requirements.txt"
CONTESTANTS = {
    "bare": "Django alone",
    "axes": "axes, as it comes",
    "axes-account": "axes, by account",
    "axes-pair": "axes, by pair",
    "ours": "ours, as it comes",
    "ours-enforcing": "ours, enforcing",
}
TURNS = 3
# Script, what of its outcome is shown, what the line says.
LINES = (
    ("brute_force", "checked", "40 passwords, one address, one account: passwords checked"),
    ("parallel", "checked", "100 passwords at the same moment: passwords checked"),
    ("targeted_lock_out", "owner", "20 wrong passwords for an account: its owner, from home, is let in"),
    ("lock_out_by_many", "owner", "the same from 100 addresses, its owner from a known one"),
    ("lock_out_by_many", "checked", "… passwords checked of those 102"),
    ("office", "kept out of 30", "30 colleagues behind one address who each mistype once: kept out"),
    ("attacker_in_the_office", "kept out of 30", "an attacker behind the address of 30 colleagues: colleagues kept out"),
    ("stuffing", "checked", "60 accounts from one address: passwords checked"),
    ("spraying", "checked", "200 accounts from 200 addresses: passwords checked"),
    ("guessing_by_many", "checked", "one account from 30 addresses: passwords checked"),
    *((name, "seen", f"{name.replace('_', ' ')}: seen as") for name in ("brute_force", "stuffing", "spraying", "guessing_by_many", "office")),
    ("right password", "ms", "a login, ms"),
    ("right password", "queries", "a login, queries"),
    ("right password", "rows of 10", "10 logins, rows written"),
    ("wrong password", "ms", "a failed login, ms"),
    ("wrong password", "queries", "a failed login, queries"),
    ("wrong password", "rows of 10", "10 failed logins, rows written"),
)  # fmt: skip


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one turn, and only print the table")
    quick = parser.parse_args().quick
    python = _python_of_axes()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
    for turn in range(1 if quick else TURNS):
        for name in CONTESTANTS:
            print(f"{name}, turn {turn + 1}", file=sys.stderr, flush=True)
            runs[name].append(_measure(name, sys.executable if name.startswith("ours") else python))
    table = _table(runs)
    print(table)
    if not quick:
        PAGE.write_text(TEMPLATE.read_text().replace("{table}", table).replace("{date}", f"{datetime.now(UTC):%Y-%m-%d}"))


def _python_of_axes() -> str:
    """The Python of an environment that has django-axes and nothing of ours; made once."""
    python = PLACE / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", PLACE], check=True)
    pip = ["-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-input", "-r", str(REQUIREMENTS)]
    subprocess.run([str(python), *pip], check=True)
    return str(python)


def _measure(name: str, python: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sign-in-") as directory:
        settings = f"tests.bench.sign_in.{'ours' if name.startswith('ours') else 'plain'}"
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
            "SECRET_KEY": "bench-" * 8,
            "CONTESTANT": name,
            "DJANGO_SETTINGS_MODULE": settings,
            "BENCH_DATABASE": str(Path(directory) / "db.sqlite3"),
            "VAR_DIR": directory,
        }
        done = subprocess.run(
            [python, "-m", "tests.bench.sign_in.scripts"], cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True, timeout=900
        )
    found: dict[str, Any] = json.loads(done.stdout)["found"]
    return found


def _table(runs: dict[str, list[dict[str, Any]]]) -> str:
    lines = [f"| | {' | '.join(CONTESTANTS.values())} |", "|---" * (len(CONTESTANTS) + 1) + "|"]
    for script, key, words in LINES:
        cells = [_cell([run[script].get(key) for run in runs[name]]) for name in CONTESTANTS]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: list[Any]) -> str:
    if isinstance(values[0], bool):
        return "yes" if all(values) else "**no**"
    if isinstance(values[0], list):
        return ", ".join(word.replace("_", " ") for word in values[0]) or "—"
    if isinstance(values[0], float):
        return f"{median(values):.1f}"
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)} to {max(values)}"


if __name__ == "__main__":
    main()
