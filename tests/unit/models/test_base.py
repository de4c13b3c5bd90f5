"""Examples keep to their order of time, and what judges was not known to what teaches."""

import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.models.base import Examples


def _examples(at: list[int], horizon: int = 0) -> Examples:
    n = len(at)
    return Examples(
        table={"x": list(map(float, range(n)))},
        outcomes={"y": np.zeros(n)},
        at=np.array(at, np.int64),
        people=np.arange(n),
        horizon=horizon,
    )


def test_a_split_leaves_out_what_was_not_known_yet() -> None:
    teach, judge = _examples([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], horizon=3).split(0.7)
    assert judge.at.tolist() == [7, 8, 9]
    assert teach.at.tolist() == [0, 1, 2, 3, 4]
    assert teach.table["x"] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_no_examples_split_into_none() -> None:
    teach, judge = _examples([]).split(0.7)
    assert len(teach) == len(judge) == 0


def test_examples_out_of_order_or_of_unequal_length_are_refused() -> None:
    with pytest.raises(ArrayInvalid, match="order of time"):
        _examples([1, 0])
    with pytest.raises(ArrayInvalid, match="differ in length"):
        Examples(table={"x": [1.0]}, outcomes={}, at=np.zeros(2, np.int64), people=np.zeros(2, np.int64), horizon=0)
