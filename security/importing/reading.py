"""Lines of a log: a file, a compressed one, or standard input. One line at a time is in memory."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

# No log has longer lines: what is, is bad, and read past without being kept.
MAX_LINE: Final = 65_536


@contextmanager
def open_log(path: str) -> Iterator[tuple[IO[bytes], Callable[[], int], int | None]]:
    """The log's bytes, how far it was read (bytes of the file, as it is stored), and its size; None where that is not known. Raises OSError.
    `-` is standard input; gzip is recognised by its first bytes."""
    if path == "-":
        yield sys.stdin.buffer, lambda: 0, None
        return
    with Path(path).open("rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        compressed = raw.peek(2)[:2] == b"\x1f\x8b"
        with gzip.GzipFile(fileobj=raw) if compressed else raw as file:
            yield file, raw.tell, size  # type: ignore[misc]  # a GzipFile is as good as an IO[bytes]


def lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """The lines, without their ends. None for one that is too long."""
    while chunk := file.readline(MAX_LINE):
        if chunk.endswith(b"\n") or len(chunk) < MAX_LINE:
            yield chunk.rstrip(b"\r\n")
            continue
        while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            pass
        yield None
