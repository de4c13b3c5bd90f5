"""Hours and days that stand out are found, those that only got more sends are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from personalization.learning.peaks import FAMILIES, Window, peaks

WEEKS = range(168)
SENT = {w: 1.0 for w in WEEKS if 7 <= w % 24 < 22}


def drawn(seed: int, n: int, chances: Callable[[int], float], lag: Callable[[np.random.Generator], float]) -> dict[int, float]:
    """n engagements, each after a send at an hour drawn by `chances`."""
    rng, p = np.random.default_rng(seed), np.array([chances(w) for w in WEEKS])
    hours = [int(w + rng.random() + lag(rng)) % 168 for w in rng.choice(168, n, p=p / p.sum())]
    return {w: float(hours.count(w)) for w in set(hours)}


def exponential(mean: float) -> Callable[[np.random.Generator], float]:
    return lambda rng: float(rng.exponential(mean))


def lognormal(rng: np.random.Generator) -> float:
    """Hours; median 1.3, one in ten over 7."""
    return float(rng.lognormal(0.3, 1.3))


def test_nothing_known_is_an_even_chance_and_one_engagement_says_nothing() -> None:
    assert peaks({}, {}).probability == pytest.approx(0.5)
    assert peaks({9: 1.0}, {}).probability == pytest.approx(0.5, abs=0.02)
    assert peaks({9: 1.0}, {8: 1.0}).probability <= 0.52


@pytest.mark.parametrize("n", [5, 60, 300])
@pytest.mark.parametrize(
    ("sent", "lag"),
    [
        ({}, exponential(1.0)),
        (SENT, exponential(2.0)),
        ({w: 1.0 for w in WEEKS if w % 24 in (8, 12, 18)}, lognormal),
        ({w: 1.0 for w in WEEKS if w % 24 == 9 and w < 120}, lognormal),
    ],
    ids=["no sends", "all day", "three hours", "working days at nine"],
)
def test_who_answers_whatever_the_hour_has_none_that_stands_out(
    sent: dict[int, float], lag: Callable[[np.random.Generator], float], n: int
) -> None:
    found = [peaks(drawn(seed, n, lambda w: sent.get(w, 0.0) if sent else 1.0, lag), sent).probability for seed in range(60)]
    assert sum(p >= 0.95 for p in found) <= 3


@pytest.mark.parametrize(
    ("family", "window", "inside"),
    [
        ("hour_of_day", Window(19, 2), lambda w: w % 24 in (19, 20)),
        ("part_of_day", Window(6, 6), lambda w: 6 <= w % 24 < 12),
        ("day_of_week", Window(2, 1), lambda w: w // 24 == 2),
        ("kind_of_day", Window(5, 2), lambda w: w >= 120),
    ],
)
def test_a_planted_pattern_is_found_with_its_window(family: str, window: Window, inside: Callable[[int], bool]) -> None:
    found = [
        peaks(drawn(s, 60, lambda w: (10.0 if inside(w) else 1.0) * SENT.get(w, 0.0), exponential(0.2)), SENT) for s in range(50)
    ]
    assert sum(each.families[family].probability >= 0.95 for each in found) >= 45
    assert sum(each.families[family].window == window for each in found) >= 40


def test_the_same_shares_say_more_the_more_there_are() -> None:
    evening = {18: 2.0, 19: 4.0, 44: 1.0, 68: 2.0, 10: 1.0}
    strengths = [peaks({w: n * count for w, count in evening.items()}, SENT).probability for n in (0.0, 0.2, 0.5, 1.0, 3.0, 9.0)]
    assert strengths == sorted(strengths)
    assert strengths[-1] > 0.999


def test_the_hour_of_the_sends_alone_does_not_stand_out() -> None:
    at_nine: Sequence[int] = [24 * day + 9 for day in range(7)]
    found = peaks(dict.fromkeys(at_nine, 5.0), dict.fromkeys(at_nine, 10.0))
    assert found.probability < 0.5
    assert float(found.expected[list(at_nine)].sum()) > 0.5


def test_it_is_finite_for_whatever_counts() -> None:
    rng = np.random.default_rng(2)
    for scale in (1e-12, 1e-3, 1.0, 1e6):
        counts = {int(w): float(scale * rng.random()) for w in rng.integers(0, 168, 20)}
        for sent in ({}, counts, {3: scale}):
            found = peaks(counts, sent)
            assert 0.0 <= found.probability <= 1.0
            assert found.expected.sum() == pytest.approx(1.0)
            assert all(0.0 <= peak.probability <= 1.0 for peak in found.families.values())


def test_windows_lie_on_the_circle() -> None:
    family = FAMILIES["hour_of_day"]
    night = family.inside[family.windows.index(Window(23, 3))]
    assert [int(w) for w in np.flatnonzero(night[:24])] == [0, 1, 23]
    assert np.array_equal(night[:24], night[144:])
