"""How the demo splits a text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatter_site.demo.chunking import split


def test_a_short_text_is_one_chunk() -> None:
    assert split("  Hello there.\n") == ["Hello there."]


@pytest.mark.parametrize("text", ["", " \n\t \r\n"])
def test_a_blank_text_has_no_chunks(text: str) -> None:
    assert split(text) == []


def test_a_chunk_ends_at_the_end_of_a_paragraph_where_there_is_one() -> None:
    first, second = "a" * 60, "b" * 60
    assert split(f"{first}\n\n{second}", size=100, overlap=0) == [first, second]


def test_a_long_paragraph_is_split_after_a_sentence() -> None:
    chunks = split("The first sentence is this one. The second one is here. The third one too.", size=60, overlap=0)
    assert chunks == ["The first sentence is this one. The second one is here.", "The third one too."]


def test_a_text_without_a_break_is_split_hard() -> None:
    assert split("x" * 250, size=100, overlap=0) == ["x" * 100, "x" * 100, "x" * 50]


def test_a_chunk_begins_with_the_last_words_of_the_one_before() -> None:
    words = " ".join(f"word{n}" for n in range(40))
    chunks = split(words, size=100, overlap=20)

    for before, after in pairwise(chunks):
        shared = after.split()[0]
        assert shared in before.split()[-4:]


def test_line_ends_of_windows_are_taken_for_line_ends() -> None:
    assert split("one\r\n\r\ntwo") == ["one\n\ntwo"]


@pytest.mark.parametrize(("size", "overlap"), [(100, -1), (100, 26), (0, 0)])
def test_an_overlap_with_which_it_would_not_get_on_is_refused(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        split("text", size, overlap)


@given(st.text(alphabet="abc .\n\r\t", max_size=400), st.integers(8, 60), st.data())
def test_no_word_is_lost_and_no_chunk_is_too_long(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size // 4))
    chunks = split(text, size, overlap)

    assert all(chunk.strip() and len(chunk) <= size for chunk in chunks)
    rest = "".join(text.split())
    seen = 0
    for chunk in chunks:
        letters = "".join(chunk.split())
        # Each chunk lies in the text where the one before ended, or begins in its last characters.
        start = next((at for at in range(seen, max(-1, seen - overlap - 1), -1) if rest.startswith(letters, at)), None)
        assert start is not None
        seen = max(seen, start + len(letters))
    assert seen == len(rest)
