from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.learning.worsening import FALSE_ALARMS, FEWEST, _boundary, loss, worsening

LIVES, LOOKS = 150, 25


Losses = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def squared(rng: np.random.Generator, rates: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    return ((rng.random(len(clusters)) < rates[clusters]) - 0.25) ** 2


def log(rng: np.random.Generator, rates: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    return np.where(rng.random(len(clusters)) < rates[clusters], -np.log(0.25), -np.log(0.75))


def life(seed: int, losses: Losses, shape: tuple[float, float], rows: int) -> bool:
    """Whether any look at a model that does not get worse raises an alarm: 100 people held out, then 300, each met so often."""
    rng = np.random.default_rng(seed)
    held, seen = np.repeat(np.arange(100), rows), rng.permutation(np.repeat(np.arange(300), rows))
    then = loss(losses(rng, rng.beta(*shape, 100), held), held)
    met = losses(rng, rng.beta(*shape, 300), seen)
    return any(worsening(then, met[:end], seen[:end]).alarm for end in len(met) * np.arange(1, LOOKS + 1) // LOOKS)


@pytest.mark.parametrize(("losses", "shape"), [(squared, (2.0, 6.0)), (log, (2.0, 6.0)), (log, (0.4, 19.6))])
@pytest.mark.parametrize("rows", [1, 5])
def test_a_model_as_good_as_held_out_raises_no_more_alarms_than_stated_looked_at_after_every_batch(
    losses: Losses, shape: tuple[float, float], rows: int
) -> None:
    """Rates differ from person to person, and are rare in the last case. Stated: 1 of 100 lives, so at most 1 of these 150."""
    alarms = [life(seed, losses, shape, rows) for seed in range(LIVES)]
    assert np.mean(alarms) <= FALSE_ALARMS


@pytest.mark.parametrize("before", [0, 2_000, 8_000])
def test_a_loss_two_fifths_of_a_deviation_higher_is_found_within_1500_rows_however_late_it_comes(before: int) -> None:
    """500 rows held out. Found so in at least 9 of 10 lives."""
    late = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        losses = rng.normal(size=before + 1_500)
        losses[before:] += 0.4
        then = loss(rng.normal(size=500))
        late.append(worsening(then, losses).always)
    assert np.mean(np.array(late) > 0.0) >= 0.9


@pytest.mark.parametrize("a", [0.2, 0.02])
def test_a_walk_without_drift_gets_over_the_boundary_at_most_as_often_as_stated_and_nearly_so(a: float) -> None:
    """4,000 walks of 2,000 steps. Never to look again after the last step leaves some of the probability unused."""
    rng, v = np.random.default_rng(1), np.arange(1.0, 2_001.0)
    bounds = np.array([_boundary(t, 500.0, a) for t in v])
    over = np.mean([(rng.normal(size=2_000).cumsum() > bounds).any() for _ in range(4_000)])
    assert a / 4.0 < over < a


def test_the_boundary_is_near_its_lowest_where_it_is_meant_to_be() -> None:
    best = min(_boundary(500.0, 500.0 * scale, 0.01) for scale in np.geomspace(0.01, 100.0, 200))
    assert _boundary(500.0, 500.0, 0.01) < 1.01 * best


def test_a_single_look_is_wrong_as_often_as_stated_and_many_looks_are_not_for_it() -> None:
    looked = []
    for seed in range(1_000):
        rng = np.random.default_rng(seed)
        then, losses = loss(rng.normal(size=100)), rng.normal(size=100)
        looked.append(worsening(then, losses).rise > 0.0)
    assert 0.001 < np.mean(looked) < 0.02


def test_rows_of_one_person_count_as_one() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(50), 40)
    own = rng.normal(size=50)[clusters]
    found = loss(own, clusters)
    assert (found.rows, found.people) == (2_000, 50)
    assert found.standard_error == pytest.approx(own.std() / math.sqrt(49))
    assert loss(own).standard_error < 0.2 * found.standard_error


def test_the_numbers_people_go_by_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    then, losses, clusters = loss(rng.random(500)), rng.random(1_700) + 0.1, rng.integers(0, 200, 1_700)
    assert worsening(then, losses, clusters) == worsening(then, losses, 10**15 * (clusters - 100))
    assert worsening(then, losses) == worsening(then, losses, rng.permutation(1_700))


def test_a_rise_is_said_with_the_row_it_dates_from() -> None:
    rng = np.random.default_rng(1)
    losses = rng.normal(size=5_000)
    losses[4_000:] += 1.0
    found = worsening(loss(rng.normal(size=500)), losses)
    assert (found.level, found.since, found.people) == ("drifted", 4_000, 500)
    assert found.now - found.then > found.rise > found.always > 0.5
    assert "drifted" in found.sentence


def test_a_lower_loss_is_steady_and_so_are_a_few_alike_rows() -> None:
    rng = np.random.default_rng(1)
    then = loss(rng.normal(size=500))
    assert worsening(then, rng.normal(size=500) - 1.0).level == "steady"
    wrong = loss((np.arange(1_000) < 950).astype(float))
    assert worsening(wrong, np.ones(FEWEST)).level == "steady"


def test_losses_all_alike_are_judged_too() -> None:
    """A third summed up 100 or 1,700 times differs in the last bits."""
    then = loss(np.full(100, 1 / 3))
    assert worsening(then, np.full(1_700, 1 / 3)).level == "steady"
    assert worsening(then, np.full(100, 0.6)).level == "drifted"


def test_nothing_is_judged_before_there_are_enough_people() -> None:
    rng = np.random.default_rng(1)
    few = worsening(loss(rng.random(500)), np.full(400, 9.0), np.repeat(np.arange(FEWEST - 1), 400)[:400])
    assert (few.always, few.rise, few.level) == (-math.inf, -math.inf, "steady")
    assert "not judged yet" in few.sentence


def test_losses_that_are_none_are_refused() -> None:
    for losses in (np.empty(0), np.array([np.nan]), np.ones((2, 2))):
        with pytest.raises(ArrayInvalid, match=r"^losses: "):
            loss(losses)
    with pytest.raises(ArrayInvalid, match=r"^clusters: "):
        loss(np.ones(2), np.array([0]))
