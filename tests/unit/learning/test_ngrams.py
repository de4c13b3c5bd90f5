"""Texts as bags of hashed n-grams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalization.learning.ngrams import CHARACTERS, Recipe, counts, plain, windows

INSIDE = Recipe(characters=(2, 3), words=2, bits=20)
ACROSS = Recipe(characters=(1, 2, 3), words=1, across=True, bits=20)


def bag(text: str, recipe: Recipe) -> list[tuple[int, int]]:
    row = counts([text], recipe)
    return sorted(zip(row.indices.tolist(), row.data.tolist(), strict=True))


def brute(text: str) -> int:
    """Windows of ACROSS, counted one by one."""
    cleaned = plain(text)
    single = sum(c != " " for c in cleaned)
    return single + sum(max(len(cleaned) - n + 1, 0) for n in (2, 3)) + len(cleaned.split())


@given(st.lists(st.text(max_size=40), max_size=6))
def test_a_text_has_the_same_bag_in_every_batch(texts: list[str]) -> None:
    together = counts(texts, INSIDE)
    for i, text in enumerate(texts):
        alone = counts([text], INSIDE)
        assert (together[[i]] != alone).nnz == 0


@given(st.text(max_size=60))
def test_every_window_is_counted_once(text: str) -> None:
    assert counts([text], ACROSS).sum() == brute(text)


def test_case_spaces_links_accounts_and_which_digit_make_no_difference() -> None:
    assert bag("Call  me\nat 12:30 @ada https://x.example/y?z", INSIDE) == bag("call me at 99:00", INSIDE)


def test_a_mark_or_a_picture_is_a_word_of_its_own_and_a_vowel_sign_is_not() -> None:
    assert plain("good!😀") == " good ! 😀 "
    assert plain("हिन्दी।") == " हिन्दी । "
    assert plain("don't") == " don't "


def test_a_word_is_not_the_same_letters_inside_another() -> None:
    words = Recipe(characters=(), words=1, bits=20)
    assert not set(counts(["art"], words).indices) & set(counts(["party"], Recipe(characters=(3,), bits=20)).indices)


def test_word_pairs_have_an_order() -> None:
    pairs = Recipe(characters=(), words=2, bits=20)
    assert bag("not good", pairs) != bag("good not", pairs)


def test_n_grams_inside_words_never_cross_a_space() -> None:
    inside, across = (counts(["ab cd"], Recipe(characters=(4,), across=flag, bits=20)).sum() for flag in (False, True))
    assert (inside, across) == (2.0, 4.0)  # " ab ", " cd "; and "ab c", "b cd"


def test_slots_are_spread_evenly() -> None:
    slots = counts([f"w{i:05d}".translate({48 + d: 97 + d for d in range(10)}) for i in range(20_000)], Recipe((), 1, bits=16))
    taken = len(np.unique(slots.indices)) / 65_536
    assert taken == pytest.approx(1.0 - np.exp(-20_000 / 65_536), abs=0.01)


def test_only_the_first_characters_of_a_long_text_count() -> None:
    assert bag("ab " * CHARACTERS, INSIDE) == bag("ab " * (CHARACTERS * 10), INSIDE)


def test_a_batch_is_cut_into_parts_that_hold_every_text_once() -> None:
    parts = list(windows(["word " * 100] * 90, INSIDE))
    assert len(parts) > 1
    assert sum(part.n for part in parts) == 90


@pytest.mark.parametrize("text", ["", " ", "\ud800", "\x00", "\u202e", "😀" * 50, "a" * 100_000])
def test_any_text_has_a_bag(text: str) -> None:
    assert np.isfinite(counts([text], ACROSS).sum())
