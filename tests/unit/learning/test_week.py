from __future__ import annotations

import pytest
from scipy.special import polygamma

from personalization.learning.week import CELLS, CHAIN, HOUR_OF, KIND_OF, descended, shares, smoothed, summed, trigamma

EVEN = [1.0 / CELLS] * CELLS


def test_every_partition_puts_each_cell_into_one_group_and_the_last_knows_them_all() -> None:
    assert [max(partition.groups) + 1 for partition in CHAIN] == [24, 7, 48, CELLS]
    assert all(len(partition.groups) == CELLS for partition in CHAIN)
    assert summed(KIND_OF, [1.0] * CELLS) == [120.0, 48.0]


def test_much_evidence_is_followed_and_little_is_not() -> None:
    pattern = shares([1.0 + (w % 24 == 9) * 20.0 for w in range(CELLS)])
    for evidence, least, most in ((0.0, 0.0, 1e-9), (50.0, 0.5, 0.7), (1e7, 0.999, 1.001)):
        counts = [evidence * share for share in pattern]
        found, _ = descended(counts, [evidence / CELLS] * CELLS, EVEN)
        reached = (found[9] - 1.0) / (pattern[9] * CELLS - 1.0)
        assert least <= reached <= most


def test_what_is_expected_changes_nothing() -> None:
    found, _ = descended([2.0] * CELLS, [2.0] * CELLS)
    assert found == pytest.approx([1.0] * CELLS)


def test_a_pattern_of_weekend_hours_is_found_without_a_word_on_single_days() -> None:
    counts = [5.0 + 5.0 * (KIND_OF[w] == 1 and HOUR_OF[w] == 12) for w in range(CELLS)]
    total = sum(counts)
    found, _ = descended([100.0 * n for n in counts], [100.0 * total / CELLS] * CELLS)
    assert found[5 * 24 + 12] == pytest.approx(found[6 * 24 + 12])
    assert found[5 * 24 + 12] > 1.7 * found[2 * 24 + 12]


def test_smoothing_goes_around_the_circle_and_keeps_its_weight() -> None:
    assert smoothed([4.0, 0.0, 0.0, 0.0, 2.0]) == [5.0, 2.0, 0.0, 1.0, 4.0]
    assert sum(smoothed([1.0, 2.0, 3.0, 4.0])) == pytest.approx(20.0)


def test_the_trigamma_function_is_within_its_stated_error() -> None:
    for exponent in range(-30, 60):
        x = 10.0 ** (exponent / 10)
        assert trigamma(x) == pytest.approx(float(polygamma(1, x)), rel=0.015)
