"""The words of the security sources: each is documented, has its names, and nothing breaks out of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.types import check_type
from security.sources.vocabulary import VOCABULARY, owasp_event
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/how-to/watch-security.md").read_text()


@pytest.mark.parametrize("event_type", VOCABULARY)
def test_a_word_is_a_type_and_documented(event_type: str) -> None:
    word = VOCABULARY[event_type]
    for name in filter(None, (event_type, word.many)):
        check_type(name)
        assert f"`{name}`" in PAGE or f"`.{name.partition('.')[2]}`" in PAGE


def test_summaries_have_types_of_their_own() -> None:
    many = [word.many for word in VOCABULARY.values() if word.many]
    assert len(set(many)) == len(many)
    assert not set(many) & VOCABULARY.keys()


@given(st.text())
def test_a_detail_is_one_detail(detail: str) -> None:
    name = owasp_event("auth.login_failure", detail, "last")
    assert name.isprintable()
    assert (name.count(":"), name.count(",")) == (1, 1)


def test_a_word_that_owasp_does_not_have_has_no_name() -> None:
    assert owasp_event("token.new_address", "7") == ""
    assert owasp_event("auth.login_failure", None) == "authn_login_fail"
