"""One customer in plain floats is told what the array functions tell."""

import math
import warnings

import numpy as np
import pytest

from personalization.learning.bgnbd import BGNBD
from personalization.learning.buyer import Buyer, Spender, horizons
from personalization.learning.gammagamma import GammaGamma
from personalization.learning.laplace import Array
from personalization.learning.lifetime import lifetime_value
from personalization.learning.purchases import History, Purchases

CDNOW = BGNBD(logs=np.log([0.243, 4.414, 0.793, 2.426]), covariance=np.eye(4), log_likelihood=0.0)
NOTE = GammaGamma(logs=np.log([6.25, 2.74, 15.44]), covariance=np.eye(3), log_likelihood=0.0)


def models(seed: int) -> BGNBD:
    """Parameters over three thousandfold, one of them at the pole a = 1."""
    logs = np.random.default_rng(seed).uniform(-4.0, 4.0, 4)
    return BGNBD(logs=logs if seed else np.array([0.0, 1.0, 0.0, 1.0]), covariance=np.eye(4), log_likelihood=0.0)


def people(seed: int) -> Purchases:
    rng = np.random.default_rng(seed)
    age = rng.choice([0.0, 1.0 / 7.0, 3.0, 40.0, 200.0], size=50)
    x = np.where(age > 0.0, rng.choice([0.0, 1.0, 2.0, 9.0, 80.0], size=50), 0.0)
    return Purchases(frequency=x, recency=np.where(x > 0.0, age * rng.random(50), 0.0), age=age)


def one_by_one(found: Array, forecast: object, made: Purchases) -> None:
    told = [forecast(*person) for person in zip(made.frequency.tolist(), made.recency.tolist(), made.age.tolist(), strict=True)]  # type: ignore[operator]
    np.testing.assert_allclose(told, found, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_one_at_a_time_is_as_all_at_once(seed: int) -> None:
    model, made = models(seed), people(seed)
    buyer = Buyer.of(model)
    one_by_one(model.alive(made), buyer.alive, made)
    one_by_one(model.some(made, 4.0), lambda *person: buyer.some(*person, 4.0), made)
    one_by_one(model.expected(made, 52.0), lambda *person: buyer.expected(*person, 52.0), made)


@pytest.mark.parametrize(("months", "discount"), [(12, 0.01), (6, 0.03), (1, 0.5), (12, 0.0)])
def test_a_year_discounted_by_month_needs_six_horizons(months: int, discount: float) -> None:
    assert len(horizons(months, discount)) <= 6
    spender = Spender.of(NOTE)
    for seed in range(12):
        made = people(seed)
        past = History(np.arange(len(made)), made, np.where(made.frequency > 0.0, 20.0, 0.0), made.recency)
        buyer, ahead = Buyer.of(models(seed)), horizons(months, discount)
        worth = lifetime_value(models(seed), NOTE, past, months=months, discount=discount)
        one_by_one(
            worth,
            lambda *p, b=buyer, h=ahead: b.alive(*p) * b.counted(p[0], p[2], h) * spender.expected(p[0], 20.0 * (p[0] > 0.0)),
            made,
        )


def test_the_next_purchase_is_even_money_at_even_odds() -> None:
    buyer = Buyer.of(CDNOW)
    for x, t_x, age in ((0.0, 0.0, 5.0), (2.0, 30.43, 38.86), (9.0, 38.0, 39.0)):
        weeks = buyer.even_odds(x, age, buyer.alive(x, t_x, age))
        assert weeks is not None
        assert buyer.some(x, t_x, age, weeks) == pytest.approx(0.5)
    assert buyer.even_odds(0.0, 5.0, 1.0) == pytest.approx((4.414 + 5.0) * (2.0 ** (1.0 / 0.243) - 1.0))


def test_who_has_more_likely_stopped_has_no_next_purchase() -> None:
    alive = Buyer.of(CDNOW).alive(9.0, 10.0, 39.0)
    assert alive < 0.5
    assert Buyer.of(CDNOW).even_odds(9.0, 39.0, alive) is None


def test_extreme_customers_stay_finite_and_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for parameters in ((1e-3, 1e-3, 300.0, 300.0), (1e3, 1e3, 1e-3, 1e-3), (1e-3, 1e-3, 1e-3, 1e3)):
            buyer = Buyer(*parameters)
            for person in ((0.0, 0.0, 0.0), (5_000.0, 700.0, 700.0), (5_000.0, 1.0, 7_000.0)):
                assert 0.0 <= buyer.some(*person, 4.0) <= 1.0
                assert math.isfinite(buyer.expected(*person, 52.0))
                assert math.isfinite(buyer.even_odds(person[0], person[2], buyer.alive(*person)) or 0.0)
