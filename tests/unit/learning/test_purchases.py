from __future__ import annotations

import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.learning.purchases import History, history

#: customer, day, amount: 7 buys thrice on two days, 3 once, 9 after the end.
ROWS = [(7, 10, 5.0), (7, 24, 20.0), (3, 17, 8.0), (7, 24, 10.0), (7, 31, 6.0), (9, 40, 1.0)]


def of(rows: list[tuple[int, int, float]], until: int = 38) -> History:
    customers, days, amounts = zip(*rows, strict=True)
    return history(np.array(customers), np.array(days), np.array(amounts, float), until)


def test_transactions_of_a_day_are_one_purchase_and_the_first_is_no_repeat() -> None:
    found = of(ROWS)
    assert found.customers.tolist() == [3, 7]
    assert found.made.frequency.tolist() == [0.0, 2.0]
    assert found.made.recency.tolist() == [0.0, 3.0]
    assert found.made.age.tolist() == [3.0, 4.0]
    assert found.monetary.tolist() == [0.0, 18.0]
    assert found.pause.tolist() == [0.0, 1.0]


def test_the_order_of_the_rows_does_not_matter() -> None:
    one, other = of(ROWS), of(ROWS[::-1])
    assert one.made.recency.tolist() == other.made.recency.tolist()
    assert one.monetary.tolist() == other.monetary.tolist()


def test_no_transactions_or_broken_amounts_are_refused() -> None:
    with pytest.raises(ArrayInvalid, match="give at least one, or a later end"):
        of(ROWS, until=9)
    with pytest.raises(ArrayInvalid, match="hold no transaction"):
        history(np.array([], int), np.array([], int), np.array([]), 10)
    for bad in (-1.0, np.inf, np.nan):
        with pytest.raises(ArrayInvalid, match="leave returns and broken rows out"):
            of([(1, 1, bad)])
    with pytest.raises(ArrayInvalid, match="differ in length"):
        history(np.array([1]), np.array([1, 2]), np.array([1.0]), 10)
