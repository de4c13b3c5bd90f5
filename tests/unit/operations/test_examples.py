"""A tenant's own table as cases: any names, plain errors, and no column that knows the outcome."""

from typing import Any

import numpy as np
import pytest

from personalization.clock import instant
from personalization.errors import ArrayInvalid
from personalization.learning.tables import Table
from personalization.operations.examples import examples_of_table

ROWS = 200


def table(**more: Any) -> Table:
    rng = np.random.default_rng(0)
    return {
        "plan": rng.choice(["free", "pro"], ROWS).tolist(),
        "age": rng.normal(40.0, 10.0, ROWS).tolist(),
        "left": ["Yes" if left else "no" for left in rng.random(ROWS) < 0.3],
        **more,
    }


def test_columns_become_traits_unless_they_are_features() -> None:
    found = examples_of_table(table(events=[1.0] * ROWS, **{"trait:x": [2.0] * ROWS}), "left")
    assert sorted(found.table) == ["events", "trait:age", "trait:plan", "trait:x"]
    assert set(found.outcomes) == {"left"}
    assert found.outcomes["left"].sum() == sum(value == "Yes" for value in table()["left"])


def test_without_a_time_rows_are_shuffled_always_alike() -> None:
    """A file may be sorted by the outcome, and what judges is its end."""
    ordered = {"x": [float(k) for k in range(ROWS)], "left": [float(k >= 100) for k in range(ROWS)]}
    once, again = (examples_of_table(ordered, "left", allowed=["x"]) for _ in range(2))
    assert once.table == again.table
    assert 0.3 < once.outcomes["left"][:100].mean() < 0.7


def test_with_a_time_they_are_in_its_order() -> None:
    times = [f"2026-01-{1 + k % 28:02}" for k in range(ROWS)]
    found = examples_of_table(table(when=times, row=[float(k) for k in range(ROWS)]), "left", time="when")
    assert "trait:when" not in found.table
    assert found.at[0] == instant("2026-01-01T00:00:00Z")
    assert (np.diff(found.at) >= 0).all()
    assert [row % 28 for row in found.table["trait:row"][:3]] == [0.0, 0.0, 0.0]  # type: ignore[operator]
    seconds = examples_of_table(table(when=[float(ROWS - k) for k in range(ROWS)]), "left", time="when")
    assert seconds.at[0] == 1_000_000


def test_rows_of_one_person_are_told_apart_from_others() -> None:
    found = examples_of_table(table(who=[f"user{k % 7}" for k in range(ROWS)]), "left", person="who")
    assert len(set(found.people.tolist())) == 7
    assert "trait:who" not in found.table


def test_a_column_that_tells_the_outcome_is_refused_by_name_unless_it_is_allowed() -> None:
    known = [1.0 if value == "Yes" else 0.0 for value in table()["left"]]
    with pytest.raises(ArrayInvalid, match=r"cancelled.*leave the column out, or allow it"):
        examples_of_table(table(cancelled=known), "left")
    assert "trait:cancelled" in examples_of_table(table(cancelled=known), "left", allowed=["cancelled"]).table


@pytest.mark.parametrize(
    ("change", "arguments", "named"),
    [
        ({}, {"outcome": "gone"}, "gone.*age, left, plan"),
        ({}, {"outcome": "left", "time": "when"}, "when"),
        ({"left": ["maybe"] * ROWS}, {"outcome": "left"}, "maybe"),
        ({"left": [2.0] * ROWS}, {"outcome": "left"}, "2.0"),
        ({"left": [None] * ROWS}, {"outcome": "left"}, "None"),
        ({"when": ["soon"] * ROWS}, {"outcome": "left", "time": "when"}, "soon"),
        ({"age": ["old", *[1.0] * (ROWS - 1)]}, {"outcome": "left"}, "age"),
        ({"age": [1.0]}, {"outcome": "left"}, "age|plan"),
        ({"age": [object()] * ROWS}, {"outcome": "left"}, "age"),
    ],
)
def test_what_cannot_teach_is_said(change: dict[str, Any], arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ArrayInvalid, match=named):
        examples_of_table({**table(), **change}, **arguments)
