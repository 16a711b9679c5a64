"""What a search finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whosonline.core.entries import Profile
from whosonline.core.search import LONGEST, fold, haystack, matches, needle, tails

ANN = Profile("ann.smith", "Mary Ann O'Neill")

letters = st.sampled_from([*"aAbß1 .-_'(\n\0\t", "é", "É", "\u0301", "ﬁ", "\u0940", "日", "😀", "İ", "ς"])
texts = st.text(letters, max_size=8) | st.text(max_size=5)


@pytest.mark.parametrize(
    "query", ["ann", "ANN", "a", "ann.s", "smith", "mary ann", "ann o'n", "neill", "o'", "", "  ann   O'N "]
)
def test_a_query_finds_by_the_beginning_of_a_name_or_of_any_word_of_it(query: str) -> None:
    assert matches(ANN, query)


@pytest.mark.parametrize("query", ["nn", "mith", "ary", "mary o'neill", "ann mary", "annx", ".smith", "'n"])
def test_a_query_does_not_find_by_the_middle_of_a_word(query: str) -> None:
    assert not matches(ANN, query)


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("Émile", "émi"),
        ("Straße", "STRASSE"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
        ("e\u0301mile", "É"),
        ("日本 語", "語"),
        ("😀y", "😀"),
        ("ﬁn", "FI"),
    ],
)
def test_case_and_spelling_in_unicode_do_not_count(name: str, query: str) -> None:
    assert matches(Profile("x", name), query)


def test_a_vowel_sign_begins_no_word() -> None:
    assert not matches(Profile("x", "की\u0940ब"), "ब")


def test_a_word_of_one_name_does_not_go_on_in_the_other() -> None:
    assert not matches(Profile("ann", "bob"), "ann bob")


@given(st.builds(Profile, texts, texts), texts)
def test_the_words_of_a_user_say_the_same_as_the_text_that_is_looked_through(
    profile: Profile, query: str
) -> None:
    by_words = any(tail.startswith(fold(query)) for tail in tails(profile))
    assert by_words == (needle(query) in haystack(profile)) == matches(profile, query)


@given(st.text(max_size=3) | texts, st.integers(1, 120))
def test_a_folded_text_stays_as_it_is_and_is_not_too_long(text: str, times: int) -> None:
    folded = fold(text * times)
    assert len(folded) <= LONGEST
    assert fold(folded) in (folded, folded.rstrip())


@given(texts)
def test_everybody_is_found_by_each_beginning_of_the_own_name(name: str) -> None:
    folded = fold(name)
    for length in range(len(folded) + 1):
        assert matches(Profile(name, "Somebody"), folded[:length])
