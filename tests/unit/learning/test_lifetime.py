"""Laws of the models of purchases: BG/NBD, gamma-gamma and lifetime value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalization.errors import ArrayInvalid
from personalization.learning.bgnbd import BGNBD, fit_bgnbd
from personalization.learning.gammagamma import GammaGamma, fit_gammagamma
from personalization.learning.laplace import LOG_ODDS, Array, Interval, interval
from personalization.learning.lifetime import lifetime_interval, lifetime_value
from personalization.learning.purchases import History, Purchases

TRUE = (0.6, 5.0, 0.8, 2.5)
MONEY = (6.0, 4.0, 15.0)


def made(frequency: Sequence[float], recency: Sequence[float], age: Sequence[float]) -> Purchases:
    return Purchases(frequency=np.array(frequency, float), recency=np.array(recency, float), age=np.array(age, float))


def lived(n: int, seed: int, until: float = 39.0, after: float = 39.0) -> tuple[Purchases, Array]:
    """n customers as the model has them, and how often each bought in the weeks after."""
    rng, (r, alpha, a, b) = np.random.default_rng(seed), TRUE
    rows, later = [], []
    for rate, chance in zip(rng.gamma(r, 1.0 / alpha, n), rng.beta(a, b, n), strict=True):
        times, at = [], rng.exponential(1.0 / max(rate, 1e-9))
        while at < until + after:
            times.append(at)
            if rng.random() < chance:
                break
            at += rng.exponential(1.0 / rate)
        before = [time for time in times if time < until]
        rows.append((len(before), before[-1] if before else 0.0, until))
        later.append(len(times) - len(before))
    return made(*zip(*rows, strict=True)), np.array(later, float)


def paid(frequency: Array, seed: int) -> Array:
    rng, (p, q, v) = np.random.default_rng(seed), MONEY
    return np.where(frequency > 0.0, rng.gamma(p * np.maximum(frequency, 1.0)) / np.maximum(frequency, 1.0), 0.0) / rng.gamma(
        q, 1.0 / v, len(frequency)
    )


def past(bought: Purchases, monetary: Array) -> History:
    return History(np.arange(len(bought)), bought, monetary, np.zeros(len(bought)))


def finite(found: Interval) -> bool:
    ordered = (found.low <= found.value).all() and (found.value <= found.high).all()
    return bool(ordered and all(np.isfinite(values).all() for values in found))


def test_the_parameters_that_made_the_customers_are_found() -> None:
    model = fit_bgnbd(lived(6_000, seed=1)[0])
    assert (np.abs(model.logs - np.log(TRUE)) < 3.0 * model.deviations).all()
    assert (model.deviations < 0.3).all()
    frequency = np.random.default_rng(2).integers(1, 8, 3_000).astype(float)
    spending = fit_gammagamma(frequency, paid(frequency, seed=3))
    p, q, v = MONEY
    assert (np.abs(spending.logs - np.log([p, q - 1.0, v])) < 3.0 * spending.deviations).all()


def test_intervals_hold_the_true_expectation_about_as_often_as_they_say() -> None:
    truth = BGNBD(logs=np.log(TRUE), covariance=np.eye(4), log_likelihood=0.0)
    ask = made([0, 1, 5], [0, 10, 36], [39, 39, 39])
    held = []
    for seed in range(40):
        model = fit_bgnbd(lived(250, seed)[0])
        found = interval(lambda m: m.expected(ask, 39.0), model)
        held.append((found.low <= truth.expected(ask, 39.0)) & (truth.expected(ask, 39.0) <= found.high))
    assert np.mean(held) > 0.87


def test_who_will_buy_is_told_better_than_by_chance() -> None:
    for seed in range(3):
        bought, later = lived(1_000, seed)
        expected = fit_bgnbd(bought).expected(bought, 39.0)
        assert np.corrcoef(expected, later)[0, 1] > 0.4
        assert expected.sum() == pytest.approx(later.sum(), rel=0.2)


def test_the_same_customers_in_any_order_give_the_same_model_and_stay_as_they_were() -> None:
    bought, _ = lived(300, seed=5)
    kept, order = bought.frequency.copy(), np.random.default_rng(1).permutation(300)
    one = fit_bgnbd(bought)
    turned = fit_bgnbd(Purchases(frequency=bought.frequency[order], recency=bought.recency[order], age=bought.age[order]))
    assert (one.logs == fit_bgnbd(bought).logs).all()
    assert turned.logs == pytest.approx(one.logs, abs=1e-6)
    assert (bought.frequency == kept).all()


def test_other_units_of_money_scale_the_forecast() -> None:
    frequency = np.arange(1.0, 60.0)
    monetary = paid(frequency, seed=1)
    euros, cents = fit_gammagamma(frequency, monetary), fit_gammagamma(frequency, 100.0 * monetary)
    assert cents.expected(frequency, 100.0 * monetary) == pytest.approx(100.0 * euros.expected(frequency, monetary), rel=1e-6)


def test_a_model_is_frozen_and_comes_back_from_its_arrays_to_the_bit() -> None:
    bought, _ = lived(200, seed=2)
    monetary = paid(bought.frequency, seed=2)
    buying, spending = fit_bgnbd(bought), fit_gammagamma(bought.frequency, monetary)
    again = BGNBD.unpack(buying.pack()), GammaGamma.unpack(spending.pack())
    whole = past(bought, monetary)
    for ours, restored in zip(lifetime_interval(buying, spending, whole), lifetime_interval(*again, whole), strict=True):
        assert (ours == restored).all()
    with pytest.raises(FrozenInstanceError):
        buying.log_likelihood = 0.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        buying.logs[0] = 0.0
    with pytest.raises(ArrayInvalid, match="unpack what was packed"):
        BGNBD.unpack({**buying.pack(), "covariance": np.eye(3)})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-9.0, 9.0), min_size=4, max_size=4),
    st.integers(0, 5_000),
    st.floats(0.0, 1.0),
    st.floats(0.01, 1e4),
    st.floats(0.0, 1e4),
)
def test_forecasts_are_finite_and_probabilities_whatever_the_parameters(
    logs: list[float], x: int, share: float, age: float, weeks: float
) -> None:
    model, one = BGNBD(logs=np.array(logs), covariance=np.eye(4), log_likelihood=0.0), made([x], [share * age * (x > 0)], [age])
    expected, some, alive = model.expected(one, weeks)[0], model.some(one, weeks)[0], model.alive(one)[0]
    assert 0.0 <= some <= alive <= 1.0
    assert np.isfinite(expected)
    assert expected >= some * (1.0 - 1e-3) - 1e-9
    assert model.expected(one, 0.0)[0] == pytest.approx(0.0, abs=1e-6)


def test_the_pole_at_a_equal_to_1_is_none() -> None:
    ask = made([0, 3], [0, 20], [39, 39])
    values = [
        BGNBD(logs=np.log([0.25, 4.4, a, 2.4]), covariance=np.eye(4), log_likelihood=0.0).expected(ask, 39.0)
        for a in (1.0 - 1e-4, 1.0, 1.0 + 1e-4)
    ]
    assert values[1] == pytest.approx(values[0], rel=1e-3)
    assert values[1] == pytest.approx((values[0] + values[2]) / 2.0, rel=1e-5)


@pytest.mark.parametrize(
    "bought",
    [
        made([0], [0], [10]),
        made([5], [8], [10]),
        made([0] * 500, [0] * 500, [30] * 500),
        made([5] * 300, [28] * 300, [30] * 300),
        made([0, 0], [0, 0], [0, 0.14]),
        made([3_000] * 50, [100] * 50, [104] * 50),
        made([0, 1, 2_000], [0, 1, 50], [50] * 3),
        lived(100, seed=9)[0],
    ],
    ids=["one", "one who bought", "no repeats", "all alike", "no time", "very many", "one of many", "a hundred"],
)
def test_poor_histories_give_finite_answers(bought: Purchases) -> None:
    model = fit_bgnbd(bought)
    assert finite(interval(lambda m: m.expected(bought, 52.0), model))
    assert finite(interval(lambda m: m.some(bought, 52.0), model, link=LOG_ODDS))
    assert finite(interval(lambda m: m.alive(bought), model, link=LOG_ODDS))


def test_one_customer_leaves_much_more_doubt_than_a_thousand() -> None:
    one, many = made([2], [20], [39]), lived(1_000, seed=1)[0]
    wide, narrow = (interval(lambda m: m.expected(one, 39.0), fit_bgnbd(these)) for these in (one, many))
    assert wide.high[0] / wide.low[0] > 5.0 * narrow.high[0] / narrow.low[0]


@pytest.mark.parametrize("amounts", [[5.0], [10.0] * 300, [1e-9, 1e12], [1e8] * 50], ids=["one", "constant", "far apart", "large"])
def test_poor_amounts_give_finite_answers(amounts: list[float]) -> None:
    monetary = np.array(amounts)
    frequency = np.ones(len(monetary))
    model = fit_gammagamma(frequency, monetary)
    found = interval(lambda m: m.expected(np.append(frequency, 0.0), np.append(monetary, 0.0)), model)
    assert finite(found)
    assert (found.value > 0.0).all()


def test_what_cannot_be_is_refused_with_what_to_change() -> None:
    with pytest.raises(ArrayInvalid, match="end the observation after the last purchase"):
        made([1], [11], [10])
    with pytest.raises(ArrayInvalid, match="count repeat purchases"):
        made([0.5], [1], [10])
    with pytest.raises(ArrayInvalid, match="none was observed"):
        fit_bgnbd(made([], [], []))
    with pytest.raises(ArrayInvalid, match="wait for repeat purchases"):
        fit_gammagamma(np.zeros(3), np.zeros(3))
    for bad in (-1.0, np.inf, np.nan):
        with pytest.raises(ArrayInvalid, match="leave returns and broken rows out"):
            fit_gammagamma(np.ones(1), np.array([bad]))
    with pytest.raises(ArrayInvalid, match="weeks"):
        fit_bgnbd(made([1], [1], [2])).expected(made([1], [1], [2]), -1.0)


def test_a_year_is_worth_less_when_it_is_discounted_and_more_than_half_a_year() -> None:
    bought, _ = lived(300, seed=4)
    monetary = paid(bought.frequency, seed=4)
    models, whole = (fit_bgnbd(bought), fit_gammagamma(bought.frequency, monetary)), past(bought, monetary)
    plain, discounted = (lifetime_value(*models, whole, discount=d) for d in (0.0, 0.02))
    assert (discounted < plain).all()
    assert (lifetime_value(*models, whole, months=6) < lifetime_value(*models, whole)).all()
    undiscounted = models[0].expected(bought, 365.25 / 7.0) * models[1].expected(bought.frequency, monetary)
    assert plain == pytest.approx(undiscounted)
    with pytest.raises(ArrayInvalid, match="months"):
        lifetime_value(*models, whole, months=0)
