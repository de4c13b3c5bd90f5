"""The family `churn` where laws of all families do not reach: whose outcome can be said, a method without a posterior."""

import numpy as np
import pytest

from personalization.clock import DAY
from personalization.errors import ArrayInvalid
from personalization.models.base import Examples
from personalization.models.churn import FAMILY


def _people(n: int, seed: int = 0, **more: np.ndarray) -> Examples:
    """Who leaves are those with exactly one of two habits: no sum of curves tells them apart, a network does."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=n), rng.normal(size=n)
    left = (rng.random(n) < np.where(x * y > 0.0, 0.9, 0.1)).astype(np.float64)
    table = {"trait:x": x.tolist(), "trait:y": y.tolist()}
    return Examples(table=table, outcomes={"left": left, **more}, at=np.arange(n) * DAY, people=np.arange(n), horizon=0)


def test_a_method_without_posterior_serves_where_it_is_better_and_its_groups_are_the_interval() -> None:
    model = FAMILY.fit(_people(1_500), np.random.default_rng(1))
    assert model.table.classifiers["churn"].method in ("network", "trees")
    judged = FAMILY.judge(model, _people(1_000, seed=2))
    assert judged.metrics["churn_auc"] > 0.8
    told = model.explain({"trait:x": 1.5, "trait:y": 1.5})["churn"]
    assert told.low is not None
    assert told.high is not None
    assert 0.7 < told.low < float(told.value or 0.0) < told.high < 1.0
    assert {name for name, _ in told.reasons} <= {"trait:x", "trait:y"}


def test_whose_outcome_cannot_be_said_neither_teaches_nor_judges() -> None:
    cases = _people(600)
    unsaid = cases.outcomes["left"].copy()
    unsaid[::2] = np.nan
    half = Examples(table=cases.table, outcomes={"churned": unsaid, "spend": unsaid}, at=cases.at, people=cases.people, horizon=0)
    rows = np.arange(1, 600, 2)
    alone = Examples(
        table={name: list(values)[1::2] for name, values in cases.table.items()},
        outcomes={"churned": unsaid[rows]},
        at=cases.at[rows],
        people=rows,
        horizon=0,
    )
    of = {"trait:x": 1.0, "trait:y": -1.0}
    model = FAMILY.fit(half, np.random.default_rng(1))
    assert model.predict(of) == FAMILY.fit(alone, np.random.default_rng(1)).predict(of)
    judged = FAMILY.judge(model, half)
    assert len(judged.losses) == 600
    assert not judged.losses[::2].any()
    assert len(judged.p["churn"]) == len(judged.y["churn"]) == 300


def test_of_several_outcomes_it_asks_which() -> None:
    with pytest.raises(ArrayInvalid, match="churned"):
        FAMILY.fit(_people(200, other=np.zeros(200)), np.random.default_rng(1))


def test_outcomes_that_are_no_yes_or_no_are_refused() -> None:
    cases = _people(200)
    with pytest.raises(ArrayInvalid, match="0 and 1"):
        FAMILY.fit(
            Examples(table=cases.table, outcomes={"churned": np.arange(200.0)}, at=cases.at, people=cases.people, horizon=0),
            np.random.default_rng(1),
        )


def test_where_nobody_can_leave_nothing_is_judged() -> None:
    cases = _people(200)
    model = FAMILY.fit(cases, np.random.default_rng(1))
    nobody = Examples(table=cases.table, outcomes={"churned": np.full(200, np.nan)}, at=cases.at, people=cases.people, horizon=0)
    with pytest.raises(ArrayInvalid, match="nobody"):
        FAMILY.judge(model, nobody)
