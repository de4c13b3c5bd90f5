from __future__ import annotations

import math
from datetime import date

import msgspec
import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.learning.tables import Encoder, Table, encoder, leaks

TABLE = {"age": [20.0, 30.0, None, 40.0], "plan": ["a", "b", "a", ""], "one": [1.0] * 4, "none": [None] * 4}


def test_numbers_are_standardised_and_categories_and_gaps_get_indicators() -> None:
    x = encoder({"age": [0.0, 1.0, None, 1.0], "plan": ["a", "b", "a", None]}).design(
        {"age": [1.0, None, 0.0, 1.0], "plan": ["a", "b", "zebra", None]}
    )
    assert x[:, -3:].tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert x[:, -4].tolist() == [0, 1, 0, 0]
    assert x[1, 0] == pytest.approx(0.0)


def test_what_does_not_vary_is_dropped() -> None:
    assert encoder({"one": [1.0] * 4, "none": [None] * 4, "word": ["a"] * 4}).design(TABLE | {"word": ["b"] * 4}).shape == (4, 0)


def test_the_columns_that_bend_a_line_are_known() -> None:
    learned = encoder({"age": [20.0, 30.0, None, 40.0], "plan": ["a", "b", "a", ""]})
    x = learned.design({"age": [20.0, 40.0], "plan": ["a", "a"]})
    assert learned.bent.tolist() == [False, *[True] * 8, False, False, False, False]
    assert x.shape == (2, 13)
    assert not encoder({"word": ["a"] * 4}).bent.size


def test_infinities_count_as_missing_and_nothing_is_ever_infinite() -> None:
    learned = encoder({"v": [1.0, math.inf, -math.inf, math.nan, 3.0, 1e308]})
    gone, none = (learned.design({"v": [value]}) for value in (math.inf, None))
    assert (gone == none).all()
    assert np.isfinite(learned.design({"v": [-1e308, 1e308, 0.0]})).all()


def test_numbers_beyond_those_seen_count_as_the_nearest_seen() -> None:
    x = encoder(TABLE).design({"age": [40.0, 1e9], "plan": ["a", "a"], "one": [1, 1], "none": [None, None]})
    assert (x[0] == x[1]).all()


def test_a_design_packs_to_plain_data_and_back_and_leaves_its_table_alone() -> None:
    before = {name: list(values) for name, values in TABLE.items()}
    learned = encoder(TABLE)
    again = Encoder.unpack(msgspec.msgpack.decode(msgspec.msgpack.encode(learned.pack())))
    assert again == learned
    assert (again.design(TABLE) == learned.design(TABLE)).all()
    assert before == TABLE


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ({"at": [date(2020, 1, 1)]}, "at"),
        ({"age": [1.0, "x"]}, "age"),
        ({"plan": ["x", 1.0]}, "plan"),
        ({"a": [1.0], "b": []}, "b"),
    ],
)
def test_columns_of_a_wrong_type_or_length_are_named(table: Table, name: str) -> None:
    with pytest.raises(ArrayInvalid, match=f"^{name}: "):
        encoder(table)


def test_a_column_of_another_type_than_learned_from_is_named() -> None:
    for name, values in {"age": ["x"] * 4, "plan": [1.0] * 4}.items():
        with pytest.raises(ArrayInvalid, match=f"^{name}: "):
            encoder(TABLE).design(TABLE | {name: values})


def test_a_column_that_is_absent_is_named() -> None:
    with pytest.raises(ArrayInvalid, match="age: is not in the table"):
        encoder(TABLE).design({"plan": ["a"]})
    with pytest.raises(ArrayInvalid, match="no columns"):
        encoder({})


def test_a_feature_that_knows_the_outcome_is_named_and_honest_ones_and_identifiers_are_not() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(1_000) < 0.3).astype(float)
    table = {
        "told": (y + 0.01 * rng.random(1_000)).tolist(),
        "left_at": [5.0 if left else None for left in y],
        "hint": (y + 2.0 * rng.normal(size=1_000)).tolist(),
        "id": [f"c{i}" for i in range(1_000)],
    }
    assert set(leaks(table, y, np.random.default_rng(2))) == {"told", "left_at"}


def test_leaks_are_not_looked_for_without_outcomes() -> None:
    with pytest.raises(ArrayInvalid, match=r"^outcomes: "):
        leaks({"x": [1.0, 2.0]}, np.ones(3), np.random.default_rng(1))
    assert leaks({"x": [1.0, 2.0], "none": [None, None]}, np.ones(2), np.random.default_rng(1)) == {}
