"""Type patterns: one matcher for handlers, streams, replay and the API."""

from __future__ import annotations

import contextlib
import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.exceptions import InvalidFilter
from events.patterns import check_pattern, is_exact, matcher

names = st.from_regex(r"[a-z][a-z_]{0,5}(\.[a-z_]{1,6}){1,3}", fullmatch=True)
patterns = st.from_regex(r"[a-z_.]{0,6}(\*[a-z_.]{0,6}){0,2}", fullmatch=True).filter(bool)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("document.uploaded", ["document.uploaded"], ["document.uploaded_twice", "my.document.uploaded", "documentxuploaded"]),
        ("document.*", ["document.uploaded", "document.page.read"], ["documents.uploaded", "document"]),
        ("*.failed", ["backup.failed", "a.b.failed"], ["backup.failed_twice", "failed"]),
        ("*", ["document.uploaded"], []),
        ("*.processing_*", ["document.processing_failed"], ["document.processed"]),
        ("a.*.z", ["a.b.z", "a.b.c.z"], ["a.z", "a.b.zz"]),
    ],
)
def test_a_star_stands_for_any_run_of_characters(pattern: str, matching: list[str], other: list[str]) -> None:
    matches = matcher([check_pattern(pattern)])
    assert all(map(matches, matching))
    assert not any(map(matches, other))


@given(patterns, names)
def test_a_pattern_matches_as_in_a_shell(pattern: str, name: str) -> None:
    assert bool(matcher([pattern])(name)) == fnmatch.fnmatchcase(name, pattern)


@given(st.lists(patterns, min_size=1, max_size=4), names)
def test_of_several_patterns_one_is_enough(several: list[str], name: str) -> None:
    assert bool(matcher(several)(name)) == any(matcher([pattern])(name) for pattern in several)


@pytest.mark.parametrize(
    "pattern", ["", "Document.*", "a b", "a?", "[a]", "a.*.*.*", "***", "a\n", "ä.*", "a" * 101, None, 3, b"a.*"]
)
def test_what_is_no_pattern_is_an_error_that_names_the_field(pattern: object) -> None:
    with pytest.raises(InvalidFilter) as caught:
        check_pattern(pattern, "pattern")  # type: ignore[arg-type]
    assert caught.value.field == "pattern"


@given(st.text(max_size=120))
def test_any_text_is_a_pattern_or_an_error(text: str) -> None:
    with contextlib.suppress(InvalidFilter):
        matcher([check_pattern(text)])("document.uploaded")


def test_a_pattern_without_a_star_names_one_type() -> None:
    assert is_exact("document.uploaded")
    assert not is_exact("document.*")


def test_the_worst_pattern_on_the_longest_type_takes_under_a_millisecond() -> None:
    matches = matcher([check_pattern("*" + "a" * 49 + "*" + "a" * 48 + "b")])
    longest = "a." + "a" * 98
    begun = time.perf_counter()
    for _ in range(100):
        matches(longest)
    assert time.perf_counter() - begun < 0.1
