"""Laws of every classifier, and what is particular of each."""

from __future__ import annotations

import math
import sys
from functools import partial
from importlib.util import find_spec

import msgspec
import numpy as np
import pytest
from scipy.special import expit

from personalization.errors import ArrayInvalid, ExtraMissing
from personalization.learning.calibration import AS_IT_IS, auc, log_loss
from personalization.learning.classifying import METHODS, Classifier, Fit, classifier, methods_of
from personalization.learning.logit import Logit, logit
from personalization.learning.network import network
from personalization.learning.tables import encoder
from personalization.learning.trees import trees

FITS = {**METHODS, "chosen": classifier, "chosen of one": partial(classifier, methods={"logit 1": METHODS["logit 1"]})}
with_trees = pytest.mark.skipif(find_spec("lightgbm") is None, reason="the extra trees is not installed")
every_model = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)


def people(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    return x, (rng.random(n) < expit(x @ [1.0, -1.0, 0.5, 0.0] - 0.5)).astype(float)


@every_model
def test_the_same_seed_gives_the_same_answer_and_the_input_stays(fit: Fit) -> None:
    x, y = people(300)
    kept = x.copy(), y.copy()
    first, second = (fit(x, y, np.random.default_rng(3)).probabilities(x) for _ in range(2))
    assert (first == second).all()
    assert (x == kept[0]).all()
    assert (y == kept[1]).all()


@every_model
def test_a_packed_model_predicts_to_the_bit_alike(fit: Fit) -> None:
    x, y = people(300)
    model = fit(x, y, np.random.default_rng(3))
    assert (type(model).unpack(model.pack()).probabilities(x) == model.probabilities(x)).all()  # type: ignore[attr-defined]


@every_model
def test_every_model_ranks_better_than_chance_and_stays_in_range(fit: Fit) -> None:
    for seed in range(3):
        p = fit(*people(600, seed), np.random.default_rng(seed)).probabilities(people(2_000, 99)[0] * 3.0)
        assert p.shape == (2_000,)
        assert ((p >= 0.0) & (p <= 1.0)).all()
        assert auc(people(2_000, 99)[1], p) > 0.75


@every_model
def test_a_hundred_people_are_enough_for_a_finite_answer(fit: Fit) -> None:
    x, y = people(100)
    assert np.isfinite(log_loss(people(500, 2)[1], fit(x, y, np.random.default_rng(1)).probabilities(people(500, 2)[0])))


@every_model
def test_features_and_outcomes_that_are_none_are_refused(fit: Fit) -> None:
    x, y = people(100)
    with pytest.raises(ArrayInvalid, match="NaN or an infinity"):
        fit(np.where(x > 1.0, math.inf, x), y, np.random.default_rng(1))
    with pytest.raises(ArrayInvalid, match="other than 0 and 1"):
        fit(x, y + 1.0, np.random.default_rng(1))
    with pytest.raises(ArrayInvalid, match="shapes"):
        fit(x, y[:-1], np.random.default_rng(1))
    with pytest.raises(ArrayInvalid, match="columns that were learned"):
        fit(x, y, np.random.default_rng(1)).probabilities(x[:, :2])


@pytest.mark.parametrize("n", [0, 1, 10])
def test_one_class_only_and_nobody_at_all_have_finite_wide_answers(n: int) -> None:
    x = np.zeros((n, 2))
    found = classifier(x, np.ones(n), np.random.default_rng(1))
    assert found.calibration == AS_IT_IS
    assert isinstance(found.model, Logit)
    low, high = found.model.interval(np.ones((1, 2)))
    assert high - low > 0.1
    assert low < found.probabilities(np.ones((1, 2))) < high


def test_intervals_narrow_with_people_and_hold_the_truth() -> None:
    x, truth = people(400, 7)[0], expit(people(400, 7)[0] @ [1.0, -1.0, 0.5, 0.0] - 0.5)
    few, many = (logit(*people(n, 3)).interval(x) for n in (100, 10_000))
    assert (few[1] - few[0]).mean() > 4.0 * (many[1] - many[0]).mean()
    held = [np.mean((low <= truth) & (truth <= high)) for low, high in (logit(*people(500, s)).interval(x) for s in range(20))]
    assert 0.9 < np.mean(held) < 0.99


def test_classes_that_a_line_parts_have_finite_weights() -> None:
    x = np.linspace(-1.0, 1.0, 50)[:, None] * 1e3
    assert np.isfinite(logit(x, (x[:, 0] > 0.0).astype(float)).mode).all()


def test_a_penalty_that_is_none_is_refused() -> None:
    with pytest.raises(ArrayInvalid, match="penalty"):
        logit(*people(10), penalty=0.0)


def test_from_a_table_with_gaps_to_a_probability() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(200) < 0.4).astype(float)
    table = {"days": [None if i % 5 == 0 else 10.0 * v for i, v in enumerate(y)], "flat": [1.0] * 200, "plan": ["a", "b"] * 100}
    design = encoder(table)
    found = classifier(design.design(table), y, rng)
    p = found.probabilities(design.design({"days": [0.0, 10.0, math.inf], "flat": [2.0, 3.0, None], "plan": ["a", "new", None]}))
    assert p[0] < p[2] < p[1]
    assert Classifier.unpack(found.pack()).method == found.method


def test_a_network_learns_what_no_line_parts_and_is_chosen_for_it() -> None:
    x = np.random.default_rng(1).normal(size=(1_500, 2))
    y = (x[:, 0] * x[:, 1] > 0.0).astype(float)
    found = classifier(x[:1_000], y[:1_000], np.random.default_rng(2))
    assert found.method == "network"
    assert auc(y[1_000:], found.probabilities(x[1_000:])) > 0.97
    assert auc(y[1_000:], logit(x[:1_000], y[:1_000]).probabilities(x[1_000:])) < 0.65


def test_a_network_of_noise_stops_near_the_base_rate() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(600, 10)), (rng.random(600) < 0.2).astype(float)
    p = network(x, y, rng).probabilities(rng.normal(size=(500, 10)))
    assert p.mean() == pytest.approx(0.2, abs=0.07)
    assert p.std() < 0.15


@pytest.mark.parametrize("fit", [network, pytest.param(trees, marks=with_trees)])
def test_what_must_know_when_to_stop_refuses_one_class_only(fit: Fit) -> None:
    with pytest.raises(ArrayInvalid, match=r"one class only.*learning.logit"):
        fit(np.zeros((50, 2)), np.ones(50), np.random.default_rng(1))
    with pytest.raises(ArrayInvalid, match=r"too few rows"):
        fit(np.zeros((2, 2)), np.array([0.0, 1.0]), np.random.default_rng(1))


@every_model
def test_what_never_varies_and_no_columns_at_all_give_about_the_base_rate(fit: Fit) -> None:
    y = np.tile([0.0, 0.0, 0.0, 1.0], 50)
    for x in (np.ones((200, 2)), np.empty((200, 0))):
        assert fit(x, y, np.random.default_rng(1)).probabilities(x[:3]) == pytest.approx([0.25] * 3, abs=0.07)


@every_model
def test_nobody_asked_about_is_nobody_answered(fit: Fit) -> None:
    assert fit(*people(100), np.random.default_rng(1)).probabilities(np.empty((0, 4))).shape == (0,)


@with_trees
def test_trees_take_part_where_installed_and_learn_what_no_line_parts() -> None:
    x = np.random.default_rng(1).integers(-3, 4, size=(2_000, 3)).astype(float)
    y = ((x[:, 0] > 0.0) ^ (x[:, 1] > 0.0)).astype(float)
    assert "trees" in METHODS
    assert auc(y[1_000:], trees(x[:1_000], y[:1_000], np.random.default_rng(2)).probabilities(x[1_000:])) > 0.97


@with_trees
def test_trees_pack_to_plain_data() -> None:
    x, y = people(300)
    found = trees(x, y, np.random.default_rng(1))
    again = type(found).unpack(msgspec.msgpack.decode(msgspec.msgpack.encode(found.pack())))
    assert (again.probabilities(x) == found.probabilities(x)).all()


def test_without_lightgbm_trees_say_which_extra_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ExtraMissing, match="trees"):
        trees(*people(100), np.random.default_rng(1))


def test_no_other_method_s_loss_hangs_on_whether_trees_take_part() -> None:
    few = {name: METHODS[name] for name in ("logit 10", "logit 1", "network")}
    losses = [classifier(*people(300), np.random.default_rng(1), methods).losses for methods in (few, METHODS)]
    assert losses[0] == {name: losses[1][name] for name in few}


def test_a_straight_line_keeps_the_bends_out() -> None:
    x, y = people(500)
    bent = np.array([True, False, False, False])
    found = methods_of(bent)["logit straight"](x, y, np.random.default_rng(1))
    assert isinstance(found, Logit)
    assert abs(found.mode[1]) < 1e-9 < abs(found.mode[2])
    assert np.isfinite(found.interval(x)).all()


def drifting(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seven steps of time, which tell how often it happened in each of eight months, and a column that tells little and always."""
    rng = np.random.default_rng(1)
    month = np.arange(n) * 8 // n
    y = (rng.random(n) < np.array([0.8, 0.2, 0.2, 0.8, 0.8, 0.2, 0.2, 0.8])[month]).astype(float)
    return np.column_stack([month[:, None] >= np.arange(1, 8), y + rng.normal(size=n)]), y, np.arange(n)


def test_what_serves_later_is_chosen_by_what_foretold_later_rows() -> None:
    x, y, at = drifting(2_000)
    methods = methods_of(np.arange(8) < 7)
    mixed, ordered = (classifier(x, y, np.random.default_rng(1), methods, at=time) for time in (None, at))
    assert mixed.method != "logit straight"
    assert ordered.method == "logit straight"


def test_rows_are_put_in_order_by_their_time() -> None:
    x, y, at = drifting(600)
    mixed = np.random.default_rng(3).permutation(600)
    straight = {"logit straight": methods_of(np.arange(8) < 7)["logit straight"]}
    first, again = (
        classifier(x[rows], y[rows], np.random.default_rng(1), straight, at=at[rows]) for rows in (np.arange(600), mixed)
    )
    assert first.losses == pytest.approx(again.losses, rel=1e-9)
    with pytest.raises(ArrayInvalid, match="one time a row"):
        classifier(x, y, np.random.default_rng(1), straight, at=at[:-1])


def test_first_rows_of_one_class_only_leave_nothing_to_choose_by() -> None:
    x, y = people(400)
    found = classifier(x, y, np.random.default_rng(1), at=y)
    assert (found.method, dict(found.losses)) == ("logit 10", {})
