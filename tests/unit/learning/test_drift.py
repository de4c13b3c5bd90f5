from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.lab.datasets import DEFAULT_FOLDER, bank_marketing
from personalization.learning.drift import Drift, chance, drift, psi
from personalization.learning.reference import Reference, reference
from personalization.learning.tables import Table
from personalization.learning.worsening import FEWEST, loss
from personalization.settings import settings_from

FOLDER = Path(settings_from().data_dir or DEFAULT_FOLDER)
with_data = pytest.mark.skipif(
    not (FOLDER / "bank_marketing.csv.gz").exists(), reason=f"bank_marketing.csv.gz is not in {FOLDER}; set PERSONALIZATION_DATA"
)


def people(n: int, seed: int, moved: float = 0.0, gone: float = 0.0) -> Table:
    """moved : deviations by which ages rise and share that joins plan b    gone : share of ages that go missing"""
    rng = np.random.default_rng(seed)
    ages = rng.normal(40.0 + 12.0 * moved, 12.0, n)
    plans = rng.choice(["a", "b", "c"], n, p=[0.6 * (1.0 - moved), 0.3 + 0.6 * moved, 0.1])
    return {
        "age": [None if lost else float(age) for age, lost in zip(ages, rng.random(n) < gone, strict=True)],
        "orders": rng.poisson(0.3, n).astype(float).tolist(),
        "plan": plans.tolist(),
        "weekly": (rng.random(n) < 0.97).tolist(),
        "town": [f"t{int(town)}" for town in rng.zipf(1.7, n)],
    }


def levels(found: Drift) -> dict[str, str]:
    return {shift.name: shift.level for shift in found.shifts}


def test_psi_is_that_by_hand_with_half_a_row_more_in_each_bin() -> None:
    q, p = np.array([20.5, 80.5]) / 101.0, np.array([50.5, 50.5]) / 101.0
    assert psi(np.array([50, 50, 0]), np.array([20, 80, 0])) == pytest.approx([*((q - p) * np.log(q / p)), 0.0])


def test_psi_of_a_bin_that_emptied_or_appeared_is_finite_and_that_of_equal_shares_is_nothing() -> None:
    assert np.isfinite(psi(np.array([100, 0]), np.array([0, 100]))).all()
    assert psi(np.array([30, 60, 10]), np.array([30, 60, 10])).sum() == 0.0


def test_chance_is_the_scaled_point_of_chi_square_for_the_bins_that_are_not_empty() -> None:
    found = chance(np.array([100, 60, 40, 0]), np.array([20, 20, 10, 0]), 0.05)
    assert found == pytest.approx((1 / 200 + 1 / 50) * 5.991, rel=1e-3)
    assert chance(np.array([10]), np.array([10]), 0.05) == 0.0


@pytest.mark.parametrize(("then", "now"), [(100, 20), (1_000, 50), (20_000, 100), (1_000, 1_000), (100, 1_000)])
@pytest.mark.parametrize("shares", [np.full(10, 0.1), 1 / np.arange(1, 22), 1 / np.arange(1, 22) ** 2, np.array([0.97, 0.03])])
def test_psi_of_unchanged_shares_exceeds_chance_no_more_often_than_stated(then: int, now: int, shares: np.ndarray) -> None:
    """2,000 pairs at a rate of 1 %: above 1.8 % lies 1 of 1,000 honest tables."""
    rng, shares = np.random.default_rng(1), shares / shares.sum()
    old, new = rng.multinomial(then, shares, 2_000), rng.multinomial(now, shares, 2_000)
    beyond = [psi(a, b).sum() > chance(a, b, 0.01) for a, b in zip(old, new, strict=True)]
    assert np.mean(beyond) < 0.018


@pytest.mark.parametrize("rows", [1, 20, 100, 1_000])
def test_newer_rows_of_the_same_kind_are_steady_however_few(rows: int) -> None:
    taught = reference(people(2_000, seed=0))
    found = [drift(taught, people(rows, seed)) for seed in range(1, 61)]
    assert not any(one.alarm for one in found)
    assert all(set(levels(one).values()) == {"steady"} for one in found)


def test_columns_that_moved_are_found_in_300_rows_and_named_worst_first() -> None:
    found = drift(reference(people(2_000, seed=0)), people(300, seed=1, moved=0.9))
    assert levels(found) == {"age": "drifted", "plan": "drifted", "orders": "steady", "weekly": "steady", "town": "steady"}
    assert found.alarm
    assert [sentence.split()[0] for sentence in found.sentences] == ["plan", "age"]
    assert "retrain" in found.sentences[0]


def test_a_move_of_less_is_shifting_and_raises_no_alarm() -> None:
    found = drift(reference(people(20_000, seed=0)), people(20_000, seed=1, moved=0.35))
    assert (levels(found)["age"], levels(found)["plan"]) == ("shifting", "shifting")
    assert not found.alarm


def test_values_that_go_missing_are_drift_and_said_so() -> None:
    found = drift(reference(people(2_000, seed=0)), people(500, seed=1, gone=0.3))
    assert levels(found)["age"] == "drifted"
    assert "missing: 0.0% of rows then" in found.sentences[0]


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ([5.0] * 100, [3.0] * 100),
        ([5.0] * 100, [7.0] * 100),
        ([0.0] * 95 + list(range(1, 6)), [-1.0] * 95 + list(range(1, 6))),
        ([True] * 50 + [False] * 50, [True] * 100),
        (["a"] * 50 + ["b"] * 50, ["a"] * 50 + ["new"] * 50),
        ([0.0] * 100, [-5e-324] * 100),
    ],
)
def test_a_value_many_share_is_a_bin_of_its_own(then: list[object], now: list[object]) -> None:
    found = drift(reference({"x": then}), {"x": now})  # type: ignore[dict-item]
    assert levels(found) == {"x": "drifted"}


def test_identifiers_are_steady_and_none_of_them_is_kept() -> None:
    taught = reference({"id": [f"person {i}" for i in range(500)]})
    assert "person" not in json.dumps(taught.pack())
    assert levels(drift(taught, {"id": [f"person {i}" for i in range(500, 900)]})) == {"id": "steady"}


def test_a_reference_goes_through_json_to_the_bit() -> None:
    rng = np.random.default_rng(1)
    taught = reference(people(300, seed=0, gone=0.1), loss(rng.random(100)))
    assert Reference.unpack(json.loads(json.dumps(taught.pack()))) == taught
    bare = reference(people(300, seed=0))
    assert Reference.unpack(json.loads(json.dumps(bare.pack()))) == bare


def test_a_reference_counts_every_row_in_every_column_and_leaves_out_what_taught_nothing() -> None:
    table = people(777, seed=0, gone=0.2)
    columns = reference({**table, "never": [None] * 777}).columns
    assert [column.name for column in columns] == list(table)
    assert {sum(column.counts) for column in columns} == {777}
    assert all(len(column.counts) == len(column.cuts) + 2 for column in columns)
    assert columns[0].counts[0] == sum(age is None for age in table["age"])


def test_every_bin_says_in_words_which_values_it_holds() -> None:
    table = {"age": list(range(20, 40)), "plan": ["a"] * 12 + ["b"] * 8, "orders": [0.0] * 15 + [1.0] * 3 + [2.5, 7.0]}
    age, plan, orders = ([c.label(which) for which in range(len(c.counts))] for c in reference(table).columns)
    assert (age[:3], age[-1]) == (["missing", "up to 21", "above 21, up to 23"], "above 37")
    assert plan == ["missing", "'a'", "'b'", "other values"]
    assert orders == ["missing", "below 0", "0", "above 0, below 1", "1", "above 1"]


def test_what_a_model_loses_is_judged_where_losses_were_held_out_and_are_known() -> None:
    rng = np.random.default_rng(1)
    table, held = people(500, seed=0), loss(rng.random(500))
    assert drift(reference(table), table, rng.random(500)).loss is None
    assert drift(reference(table, held), table).loss is None
    assert drift(reference(table, held), table, np.empty(0)).loss is None
    found = drift(reference(table, held), table, rng.random(1_000) + 0.3)
    assert found.alarm
    assert "Retrain" in found.sentences[0]
    assert found.sentences[1] == "All columns are steady. Nothing to do."
    few = drift(reference(table, held), table, rng.random(FEWEST - 1) + 0.5).loss
    assert few is not None
    assert few.always == -math.inf
    assert "not judged yet" in few.sentence


def test_columns_that_do_not_fit_the_reference_are_named() -> None:
    taught = reference(people(100, seed=0))
    with pytest.raises(ArrayInvalid, match="plan: is not in the table"):
        drift(taught, {name: values for name, values in people(100, seed=1).items() if name != "plan"})
    with pytest.raises(ArrayInvalid, match=r"^age: holds the text"):
        drift(taught, people(100, seed=1) | {"age": ["old"] * 100})
    with pytest.raises(ArrayInvalid, match="no rows"):
        drift(taught, people(0, seed=1))
    with pytest.raises(ArrayInvalid, match="no rows"):
        reference({"x": []})


@with_data
def test_calls_of_a_bank_are_steady_in_random_order_and_drift_in_that_of_time() -> None:
    """28,831 calls from May 2008 on: the first 10,000 against the next 3,000."""
    table = bank_marketing(FOLDER).table
    rows = np.random.default_rng(1).permutation(len(table["age"]))
    for order, moved in ((rows, set()), (np.sort(rows), {"month", "contact", "euribor3m"})):
        then, now = (
            {name: [values[i] for i in part] for name, values in table.items()} for part in np.split(order[:13_000], [10_000])
        )
        found = {name for name, level in levels(drift(reference(then), now)).items() if level == "drifted"}
        assert found >= moved
        assert bool(found) == bool(moved)
