from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from personalization.clock import DAY, HOUR
from personalization.lab.datasets import DEFAULT_FOLDER, ActLog, email_eu, enron
from personalization.lab.hours import FILES, SHIPPED, Known, Losses, everyone, following, frozen, judged, judges, send_hour
from personalization.settings import settings_from

FOLDER = Path(settings_from().data_dir or DEFAULT_FOLDER)
with_data = pytest.mark.skipif(
    any(not (FOLDER / name).exists() for name in FILES), reason=f"not both logs are in {FOLDER}; set PERSONALIZATION_DATA"
)


def log(people: int, days: int, seed: int = 1, alike: bool = False) -> ActLog:
    """Each person acts once a day, at an hour near their own; near 12:00 when all are alike."""
    rng = np.random.default_rng(seed)
    own = np.full(people, 12) if alike else rng.integers(24, size=people)
    acts = sorted((d * DAY + (own[p] + rng.integers(-1, 2)) % 24 * HOUR + p, p) for d in range(days) for p in range(people))
    return ActLog(name="made up", people=[int(p) for _, p in acts], at=[int(at) for at, _ in acts])


def test_people_with_hours_of_their_own_gain_and_people_who_are_alike_lose_little() -> None:
    before, after = log(30, 40).apart(0.7)
    assert frozen(before, after, SHIPPED).mean < everyone(before, after).mean - 0.7
    before, after = log(30, 40, alike=True).apart(0.7)
    assert frozen(before, after, SHIPPED).mean == pytest.approx(everyone(before, after).mean, abs=0.1)


def test_a_forecast_knows_nothing_of_what_comes_after() -> None:
    before, after = log(10, 40).apart(0.7)
    turned = replace(after, at=[at + 5 * HOUR for at in after.at])
    known = [Known(SHIPPED, since=after.at[0]) for _ in range(2)]
    for one, people in zip(known, (before, replace(before)), strict=True):
        for person, at in zip(people.people, people.at, strict=True):
            one.see(person, at)
    first, second = (one.hours(one.population(after.at[0]), 3, after.at[0]) for one in known)
    assert first == second
    assert frozen(before, turned, SHIPPED).mean > frozen(before, after, SHIPPED).mean + 0.5


def test_who_learns_on_follows_a_change_that_came_after_the_split() -> None:
    whole = log(20, 60)
    turned = replace(whole, at=[at + (8 * HOUR if at >= 42 * DAY else 0) for at in whole.at])
    before, after = turned.apart(0.7)
    assert following(before, after, SHIPPED).mean < frozen(before, after, SHIPPED).mean - 0.5


def test_only_people_with_enough_acts_on_both_sides_judge() -> None:
    before = ActLog(name="b", people=[1] * 10 + [2] * 9 + [3] * 10, at=list(range(29)))
    after = ActLog(name="a", people=[1] * 3 + [2] * 3 + [3] * 2 + [4] * 9, at=list(range(100, 117)))
    assert judges(before, after) == [1]


def test_the_base_rate_of_people_who_act_at_any_hour_is_the_uniform_one() -> None:
    acts = ActLog(name="u", people=[0] * 960, at=[i * HOUR for i in range(960)])
    assert everyone(*acts.apart(0.5)).mean == pytest.approx(math.log(24))


def test_the_setting_is_chosen_in_the_part_that_teaches() -> None:
    """The clock turns after the split alone: no setting may be chosen for it."""
    quick, slow = replace(SHIPPED, half_life=1.0 * DAY), replace(SHIPPED, half_life=math.inf)
    whole = log(20, 60)
    turned = replace(whole, at=[at + (8 * HOUR if at >= 50 * DAY else 0) for at in whole.at])
    assert judged(whole, settings=(quick, slow)).chosen == judged(turned, settings=(quick, slow)).chosen == slow


def test_progress_reaches_its_end() -> None:
    seen: list[tuple[int, int]] = []
    judged(log(5, 40), lambda done, total: seen.append((done, total)), settings=(SHIPPED,))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_intervals_are_of_people_and_the_same_every_time() -> None:
    losses = Losses(losses=np.array([2.0, 30.0, 4.0]), acts=np.array([1.0, 10.0, 1.0]))
    draws = [losses.drawn(np.random.default_rng(3)) for _ in range(2)]
    assert (draws[0] == draws[1]).all()
    assert draws[0].min() == pytest.approx(2.0)
    assert draws[0].max() == pytest.approx(4.0)


@with_data
def test_persons_beat_one_distribution_for_all_on_real_logs() -> None:
    """Quickly: as shipped, without choosing anything, judged by every act of half of the people."""
    gains = []
    for whole in (enron(FOLDER), email_eu(FOLDER)):
        some = [i for i, person in enumerate(whole.people) if person % 2]
        before, after = ActLog(name=whole.name, people=[whole.people[i] for i in some], at=[whole.at[i] for i in some]).apart(0.7)
        gains.append(everyone(before, after).mean - frozen(before, after, SHIPPED).mean)
    assert min(gains) > 0.0
    assert sum(gains) / 2 >= 0.08


@pytest.mark.long
@with_data
def test_send_hours_of_real_logs_are_predicted_as_well_as_asked() -> None:
    scores = send_hour(FOLDER, lambda done, total: None)
    assert [score.met for score in scores if score.must is not None] == [True, True]
    assert len(scores) == 13
    base = {
        score.metric.partition(":")[0]: score.value for score in scores if "global, " in score.metric and "people" in score.metric
    }
    assert base["enron"] == pytest.approx(3.196, abs=5e-4)
