from __future__ import annotations

import numpy as np
import pytest

from personalization.errors import Invalid
from personalization.learning.concentration import LEAST, Array, concentration


def people(true: float, n: int = 1_500, seed: int = 1) -> tuple[Array, Array]:
    """Counts of people drawn from a Dirichlet of that concentration, and its mean."""
    rng = np.random.default_rng(seed)
    mean = rng.dirichlet(np.full(24, 3.0))
    return np.array([rng.multinomial(rng.integers(2, 60), rng.dirichlet(true * mean)) for _ in range(n)], float), mean


@pytest.mark.parametrize("true", [3.0, 20.0, 80.0])
def test_the_concentration_people_were_drawn_with_is_recovered(true: float) -> None:
    counts, mean = people(true)
    before = counts.copy()
    found = concentration(counts, mean)
    assert found == pytest.approx(true, rel=0.1)
    assert concentration(counts, mean) == found
    assert concentration(counts, mean, start=300.0) == pytest.approx(found, rel=1e-2)
    assert (counts == before).all()


def test_people_who_are_all_alike_are_far_from_people_with_nothing_in_common() -> None:
    assert concentration(np.full((50, 4), 10.0), np.full(4, 0.25)) > 1_000.0
    assert concentration(np.eye(4)[[0, 1, 2, 3] * 20] * 50.0, np.full(4, 0.25)) == pytest.approx(LEAST, abs=0.05)


def test_people_of_one_event_say_nothing() -> None:
    assert concentration(np.eye(24), np.full(24, 1 / 24), start=20.0) == 20.0


def test_what_is_no_count_or_no_mean_is_refused() -> None:
    with pytest.raises(Invalid):
        concentration(np.array([[1.0, -1.0]]), np.array([0.5, 0.5]))
    with pytest.raises(Invalid):
        concentration(np.array([[1.0, np.nan]]), np.array([0.5, 0.5]))
    with pytest.raises(Invalid):
        concentration(np.ones((3, 3)), np.array([0.5, 0.5]))
    with pytest.raises(Invalid):
        concentration(np.ones((3, 2)), np.array([1.0, 0.0]))
