"""How hard a text is to read, against sums done by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalization.content.readability import MIN_WORDS, grade, lix

EASY = "The cat sat on the mat. " * 4
HARD = "Notwithstanding considerable organisational difficulties, international collaboration " * 4


def test_the_grade_is_kincaids_sum() -> None:
    assert grade(EASY) == pytest.approx(0.39 * 6 + 11.8 * 1 - 15.59)
    assert (grade(HARD) or 0) > 20 > (grade(EASY) or 0)


def test_the_index_is_bjornssons_sum() -> None:
    assert lix(EASY) == pytest.approx(6)
    assert lix("Vi köpte äpplen, jordgubbar och päron igår kväll.\n" * 3) == pytest.approx(8 + 100 / 8)


def test_a_line_is_a_sentence_and_a_number_with_a_point_is_none() -> None:
    assert lix("one two three four five\n" * 4) == pytest.approx(5)
    assert lix("one 2.5 two three 3.5 four five. " * 4) == pytest.approx(5)


@pytest.mark.parametrize("text", ["", "...", "Congratulations", "word " * (MIN_WORDS - 1), "優惠優惠"])
def test_a_text_of_few_words_has_no_figure(text: str) -> None:
    assert grade(text) is None
    assert lix(text) is None


@given(st.text(max_size=400))
def test_any_text_has_a_finite_figure_or_none(text: str) -> None:
    for figure in (grade(text), lix(text)):
        assert figure is None or -20 < figure < 10_000
