"""Days are counted once, in whatever order their rows come."""

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from personalization.daybook import REMEMBERED, Burst, DayBook, day_of

BASE = 20_000


def kept(days: list[int], amounts: list[float] | None = None) -> DayBook:
    book = DayBook()
    for day, amount in zip(days, amounts or [0.0] * len(days), strict=True):
        book = book.after(day, amount)
    return book


def truth(days: list[int], amounts: list[float]) -> DayBook:
    """From all days at once."""
    known = sorted(set(days))
    opening = sum(amount for day, amount in zip(days, amounts, strict=True) if day == known[0])
    return DayBook(
        days=len(known),
        first=known[0],
        last=known[-1],
        before=known[-2] if len(known) > 1 else known[0],
        recent=sum(1 << known[-1] - day for day in known if known[-1] - day < REMEMBERED),
        log_gaps=sum(math.log(b - a) for a, b in pairwise(known)),
        opening=opening,
        again=sum(amounts) - opening,
    )


@pytest.mark.parametrize("seed", range(20))
def test_rows_of_nine_weeks_find_their_place_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    days = (BASE + rng.integers(REMEMBERED, size=n)).tolist()
    amounts = rng.integers(100, size=n).astype(float).tolist()
    assert msgspec.structs.astuple(kept(days, amounts)) == pytest.approx(msgspec.structs.astuple(truth(days, amounts)))


@pytest.mark.parametrize("seed", range(5))
def test_rows_in_order_are_counted_to_the_bit_however_far_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    days = (BASE + np.cumsum(rng.integers(0, 200, size=50))).tolist()
    amounts = rng.integers(100, size=50).astype(float).tolist()
    assert kept(days, amounts) == truth(days, amounts)


def test_a_row_before_the_first_day_is_the_first_however_late_it_comes() -> None:
    assert kept([BASE, BASE - 400], [5.0, 3.0]) == truth([BASE - 400, BASE], [3.0, 5.0])
    assert kept([BASE, BASE + 1, BASE - 400]).days == 3


def test_a_late_row_from_before_the_nine_weeks_counts_for_no_new_day() -> None:
    book = kept([BASE, BASE + 100], [1.0, 1.0])
    late = book.after(BASE + 20, 4.0)
    assert (late.days, late.last, late.again) == (2, BASE + 100, 5.0)
    assert book.after(BASE + 20) is book


def test_a_day_known_already_changes_nothing() -> None:
    book = kept([BASE, BASE + 3])
    assert book.after(BASE + 3) is book


def test_the_last_gaps_together_are_a_burst() -> None:
    book = kept([BASE, BASE + 30, BASE + 32, BASE + 33, BASE + 40])
    assert book.burst(3) == Burst(10, pytest.approx(math.log(2) + math.log(7)))
    assert book.burst(4) == Burst(40, pytest.approx(math.log(30) + math.log(2) + math.log(7)))
    assert book.burst(5) is None
    assert kept([BASE, BASE + 100]).burst(1) is None


def test_a_day_is_the_person_s() -> None:
    evening = day_of(0, 0) * 86_400_000_000 + 23 * 3_600_000_000
    assert (day_of(evening, 0), day_of(evening, 120), day_of(evening, -120)) == (0, 1, 0)
