"""What the kernel knows of a process and its children: the CPU time that they took and the memory that they hold."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

PAGE_KB = os.sysconf("SC_PAGE_SIZE") / 1024
# The server on one core, the load on the other: else the load's cost would slow down what is measured.
SERVER_CORE, LOAD_CORE = ("0", "1") if {0, 1} <= os.sched_getaffinity(0) else ("", "")


def pinned(core: str, command: list[str]) -> list[str]:
    """The command, to be run on that core; as it is where there is only one."""
    return ["taskset", "-c", core, *command] if core else command


def pin(pid: int) -> None:
    """Keep a process that runs already, with the threads it starts from now on, on the server's core."""
    if SERVER_CORE:
        os.sched_setaffinity(pid, {int(SERVER_CORE)})


def tree(pid: int) -> Iterator[int]:
    """The process and all below it: Granian serves from a child."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from tree(int(child))


def cpu_seconds(pid: int) -> float:
    """CPU time of the process and its children, of all their threads. /proc/PID/stat would tell it in hundredths of a second."""
    return sum(time.clock_gettime((~process << 3) | 2) for process in tree(pid))


def memory_kb(pid: int) -> float:
    """Resident memory of the process and its children."""
    return sum(int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_KB for process in tree(pid))
