"""Splits text into chunks: about as long as asked, at the ends of paragraphs where there are some. Needs no database."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_SIZE = 1_000
OVERLAP = 100
# Where to split, the best first.
BREAKS = ("\n\n", "\n", ". ", " ")


def split(text: str, size: int = CHUNK_SIZE, overlap: int = OVERLAP) -> list[str]:
    """The chunks of a text, in order: at most `size` characters each, none of them blank.

    A chunk begins with about the last `overlap` characters of the one before, so that no sentence is lost at an edge.
    Raises ValueError unless size >= 1 and 0 <= overlap <= size / 4, without which the chunks would hardly get on.
    """
    if size < 1 or not 0 <= overlap <= size // 4:
        raise ValueError(f"overlap must be between 0 and a quarter of the size, not {overlap} of {size}")
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    pieces = (text[start:end].strip() for start, end in _spans(text, size, overlap))
    return [piece for piece in pieces if piece]


def _spans(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    start = 0
    while len(text) - start > size:
        end = _best_break(text, start, size)
        yield start, end
        start = _word_start(text, end - overlap, end)
    if start < len(text):
        yield start, len(text)


def _best_break(text: str, start: int, size: int) -> int:
    """Where a chunk ends that begins at `start`: in its second half, so that every chunk is worth having."""
    for mark in BREAKS:
        found = text.rfind(mark, start + size // 2, start + size)
        if found >= 0:
            return found + len(mark)
    return start + size


def _word_start(text: str, earliest: int, latest: int) -> int:
    """The first beginning of a word between the two places; the latter of them if there is none."""
    return next((at for at in range(earliest, latest) if text[at - 1].isspace() and not text[at].isspace()), latest)
