"""A silence or a burst is as surprising as it is rare among people of that rhythm."""

import math
import warnings

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gammaln

from personalization.errors import ArrayInvalid
from personalization.learning.laplace import Array
from personalization.learning.rhythm import SHAPES, Gaps, Pulse, Rhythm, fit_rhythm

EVEN = Rhythm.elsewhere(np.log([0.8, 1.2, 1.0, 1.0, 1.0, 1.0]))


def lived(people: int, gaps: int, seed: int, shapes: tuple[float, ...] = SHAPES) -> Array:
    """(people, gaps) in weeks."""
    rng = np.random.default_rng(seed)
    k, mu = rng.choice(shapes, people), rng.gamma(3.0, 1.0 / 2.0, people)
    return rng.gamma(k[:, None], 1.0 / (k * mu)[:, None], (people, gaps))


def fitted(gaps: Array) -> Rhythm:
    return fit_rhythm(np.full(len(gaps), float(gaps.shape[1])), gaps.sum(axis=1), np.log(gaps).sum(axis=1))


def known(gaps: Array) -> Gaps:
    return Gaps(float(len(gaps)), float(gaps.sum()), float(np.log(gaps).sum()))


def test_the_tail_is_the_integral_over_all_rates() -> None:
    """Equations (2) and (3) by quadrature over mu."""
    gaps, weeks = np.array([0.5, 1.5, 0.7]), 2.5
    r, alpha = np.exp(EVEN.logs[:2])

    def density(mu: float, k: float, m: float | None) -> float:
        logs = r * math.log(alpha) - math.lgamma(r) + (r - 1.0) * math.log(mu) - alpha * mu
        logs += float(np.sum(k * np.log(k * mu) - gammaln(k) + (k - 1.0) * np.log(gaps) - k * mu * gaps))
        later = 1.0 if m is None else quad(lambda g: (k * mu * g) ** (k * m) / g * math.exp(-k * mu * g), weeks, np.inf)[0]
        return math.exp(logs) * later / (1.0 if m is None else math.gamma(k * m))

    for m in (1.0, 3.0):
        mass = [quad(density, 0.0, np.inf, args=(k, None))[0] for k in SHAPES]
        tail = [quad(density, 0.0, np.inf, args=(k, m))[0] for k in SHAPES]
        assert Pulse.of(EVEN).longer(known(gaps), m, weeks) == pytest.approx(sum(tail) / sum(mass), rel=1e-5)


def test_the_chances_of_longer_and_shorter_are_one_together() -> None:
    pulse, gaps = Pulse.of(EVEN), Gaps(4.0, 5.0, 0.3)
    for weeks in (0.0, 0.1, 1.0, 30.0):
        assert pulse.longer(gaps, 2.0, weeks) + pulse.shorter(gaps, 2.0, weeks) == pytest.approx(1.0)


def test_without_regularity_it_is_lomax() -> None:
    poisson = Rhythm.elsewhere(np.array([math.log(0.8), math.log(1.2), 60.0, 0.0, 0.0, 0.0]))
    found = Pulse.of(poisson).longer(Gaps(3.0, 2.0, -1.0), 1.0, 4.0)
    assert found == pytest.approx(((1.2 + 2.0) / (1.2 + 2.0 + 4.0)) ** 3.8, rel=1e-6)


@pytest.mark.parametrize("shapes", [SHAPES, (1.0,), (8.0,), (0.5,)])
def test_gaps_of_steady_people_are_as_rare_as_they_are_called(shapes: tuple[float, ...]) -> None:
    gaps = lived(4_000, 9, seed=1, shapes=shapes)
    pulse = Pulse.of(fitted(gaps[:, :8]))
    tails = np.array([pulse.longer(known(row[:8]), 1.0, row[8]) for row in gaps])
    fits = np.array([pulse.shorter(known(row[:4]), 4.0, row[4:8].sum()) for row in gaps])
    for q in (0.01, 0.05, 0.5):
        error = math.sqrt(q * (1.0 - q) / len(gaps))
        assert float((tails <= q).mean()) == pytest.approx(q, abs=4.0 * error)
        assert float((fits <= q).mean()) == pytest.approx(q, abs=4.0 * error)


def test_the_regular_are_missed_sooner() -> None:
    pulse = Pulse.of(fitted(lived(2_000, 8, seed=2)))
    clockwork, chance = known(np.ones(12)), known(np.array([0.1, 2.0, 0.3, 3.0, 0.2, 1.0, 0.9, 2.5, 0.1, 0.9, 0.5, 0.5]))
    assert clockwork.total == pytest.approx(chance.total)
    assert pulse.longer(clockwork, 1.0, 3.0) < 0.005 < 0.02 < pulse.longer(chance, 1.0, 3.0)


def test_the_parameters_that_made_the_people_are_found() -> None:
    model = fitted(lived(6_000, 10, seed=3))
    assert (np.abs(model.logs[:2] - np.log([3.0, 2.0])) < 4.0 * model.deviations[:2]).all()
    assert model.weights == pytest.approx(np.full(5, 0.2), abs=0.06)


def test_few_and_equal_people_end_finite() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n, total in ((1.0, 1.0), (500.0, 500.0 / 7.0)):
            model = fit_rhythm(np.full(3, n), np.full(3, total), np.full(3, n * math.log(total / n)))
            assert np.isfinite(model.covariance).all()
            assert 0.0 <= Pulse.of(model).longer(Gaps(n, total, n * math.log(total / n)), 1.0, 100.0) <= 1.0


def test_nobody_who_came_back_teaches_nothing() -> None:
    with pytest.raises(ArrayInvalid, match="nobody was active on two days"):
        fit_rhythm(np.zeros(5), np.zeros(5), np.zeros(5))
    with pytest.raises(ArrayInvalid, match="NaN"):
        fit_rhythm(np.array([np.nan]), np.zeros(1), np.zeros(1))
