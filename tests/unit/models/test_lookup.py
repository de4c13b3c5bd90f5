"""A look into tables gives what design, logit and calibration give one after the other."""

import math

import numpy as np
import pytest

from personalization.learning.calibration import AS_IT_IS, Isotonic, Platt
from personalization.learning.classifying import Classifier
from personalization.learning.logit import logit
from personalization.learning.network import network
from personalization.learning.tables import Value, encoder
from personalization.models.lookup import Lookup
from personalization.models.tabular import Groups, Tabular

CALIBRATIONS = (AS_IT_IS, Platt(1.7, -0.4), Platt(0.0, 0.3), Isotonic((0.2, 0.3, 0.6), (0.1, 0.1, 0.9)))


def _table(n: int, rng: np.random.Generator) -> dict[str, list[Value]]:
    amounts = np.where(rng.random(n) < 0.3, np.nan, rng.gamma(1.0, 50.0, n)).tolist()
    return {
        "amount": [None if math.isnan(x) else x for x in amounts],
        "whole": [float(k) for k in rng.poisson(1.0, n)],
        "flag": [bool(k) for k in rng.integers(2, size=n)],
        "constant": [3.0] * n,
        "sometimes": [None if k else 3.0 for k in rng.integers(2, size=n)],
        "never": [None] * n,
        "plan": [str(k) for k in rng.choice(["free", "pro", " ", "team"], n)],
    }


@pytest.fixture(scope="module")
def model() -> Tabular:
    rng = np.random.default_rng(4)
    table = _table(400, rng)
    design = encoder(table)
    x = design.design(table)
    logits = [logit(x, (rng.random(400) < share).astype(np.float64), 1.0) for share in (0.5, 0.2, 0.05, 0.5)]
    classifiers = {f"y{k}": Classifier("logit 1", one, CALIBRATIONS[k], {}) for k, one in enumerate(logits)}
    return Tabular(design, classifiers, x.mean(axis=0), {})


def test_it_equals_the_long_way(model: Tabular) -> None:
    table = _table(300, np.random.default_rng(5))
    many = model.many(table)
    for row in range(300):
        alone = model.one({name: values[row] for name, values in table.items()})
        assert alone == pytest.approx([p[row] for p in many.values()], abs=1e-12)


@pytest.mark.parametrize(
    "amount", [-1e300, -1.0, 0.0, 1e-12, 49.9, 1e4, 1e300, math.inf, -math.inf, math.nan, None, "text", 7, True]
)
@pytest.mark.parametrize("plan", ["pro", "unseen", " ", "", None, 4.0, "free"])
def test_at_the_edges_too(model: Tabular, amount: Value, plan: Value) -> None:
    of: dict[str, Value] = {"amount": amount, "plan": plan, "whole": 2}
    assert model.one(of) == pytest.approx(
        [p[0] for p in model.many({name: [value] for name, value in of.items()}).values()], abs=1e-12
    )


def test_far_log_odds_are_cut_where_a_calibration_cuts_them() -> None:
    table: dict[str, list[Value]] = {"x": [0.0, 1.0] * 50}
    design = encoder(table)
    steep = logit(design.design(table), np.array([0.0, 1.0] * 50), 1e-6)
    for scale in (1.0, 1e3):
        model = Tabular(design, {"y": Classifier("logit", steep, Platt(scale, 0.0), {})}, np.zeros(1), {})
        for x in (0.0, 1.0):
            assert model.one({"x": x})[0] == pytest.approx(model.many({"x": [x]})["y"][0], abs=1e-12)


def test_where_nothing_varies_the_rate_is_told() -> None:
    table: dict[str, list[Value]] = {"x": [1.0] * 40}
    design = encoder(table)
    rate = logit(design.design(table), np.array([1.0] + [0.0] * 39), 10.0)
    model = Tabular(design, {"y": Classifier("logit 10", rate, AS_IT_IS, {})}, np.zeros(0), {})
    assert model.one({"x": 5.0}) == model.one({}) == pytest.approx([1.5 / 41], abs=1e-6)


def test_another_method_has_no_lookup_and_is_explained_by_its_groups() -> None:
    rng = np.random.default_rng(1)
    table: dict[str, list[Value]] = {"x": rng.normal(size=300).tolist(), "idle": rng.normal(size=300).tolist()}
    design = encoder(table)
    x = design.design(table)
    y = (np.array(table["x"]) > 0.0).astype(np.float64)
    served = Classifier("network", network(x, y, rng), AS_IT_IS, {})
    assert Lookup.of(design, [served]) is None
    groups = Groups(np.array([0.5]), np.array([150.0, 150.0]), np.array([3.0, 147.0]))
    model = Tabular(design, {"y": served}, x.mean(axis=0), {"y": groups})
    told = model.explain({"x": 2.0, "idle": 0.0})["y"]
    assert told.low is not None
    assert told.low > 0.9
    assert told.reasons[0][0] == "x"
    assert told.reasons[0][1] > 0.0
