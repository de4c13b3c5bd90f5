"""A change of a person's own rhythm is found; steady people are left alone."""

import numpy as np
import pytest

from personalization.models.rhythm import FAMILY
from tests.unit.models.lives import TODAY, cases, known

KINDS = (0.5, 1.0, 2.0, 4.0, 8.0)


def steady(rng: np.random.Generator, weeks: float | None = None, kind: float | None = None) -> list[int]:
    """Active days of a year and more until today, in a rhythm of their own."""
    gap = 7.0 * (rng.gamma(4.0, 0.4) + 0.15 if weeks is None else weeks)
    k = float(rng.choice(KINDS)) if kind is None else kind
    at, days = float(TODAY - rng.integers(200, 500)), []
    while at <= TODAY:
        days.append(int(at))
        at += rng.gamma(k, gap / k)
    return sorted(set(days))


def people(n: int, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [steady(rng) for _ in range(n)]


MODEL = FAMILY.fit(cases(people(800, 1)), np.random.default_rng(0))


def kinds(lives: list[list[int]], today: int = TODAY) -> dict[str, float]:
    found = [MODEL.predict(known(days, today=today))["anomaly_kind"] for days in lives]
    return {kind: found.count(kind) / len(found) for kind in ("silent", "burst", "none")}


def test_steady_people_hardly_ever_stand_out() -> None:
    """At a moment like any other, of 4,000 people. One gap in 200 becomes that long, and long gaps have more moments."""
    found = kinds(people(4_000, 2))
    assert found["silent"] < 0.015
    assert found["burst"] < 0.01


def test_of_the_gaps_of_steady_people_as_many_were_called_silent_as_are_rare() -> None:
    judged = FAMILY.judge(MODEL, cases(people(4_000, 3)))
    assert judged.metrics["false_alarms"] == pytest.approx(0.005, abs=0.004)


@pytest.mark.parametrize(("kind", "gaps", "share"), [(8.0, 3.0, 0.95), (2.0, 5.0, 0.9), (1.0, 8.0, 0.95)])
def test_a_silence_of_some_gaps_is_found_the_sooner_the_more_regular_they_are(kind: float, gaps: float, share: float) -> None:
    rng = np.random.default_rng(4)
    lives = [steady(rng, weeks=1.0, kind=kind) for _ in range(300)]
    silent = [[day for day in days if day <= TODAY - round(7 * gaps)] for days in lives]
    assert kinds(silent)["silent"] > share


@pytest.mark.parametrize(("kind", "share"), [(8.0, 0.95), (2.0, 0.95), (1.0, 0.95)])
def test_five_days_in_a_row_of_people_who_come_every_other_week_are_a_burst(kind: float, share: float) -> None:
    rng = np.random.default_rng(5)
    lives = [steady(rng, weeks=2.0, kind=kind) for _ in range(300)]
    busy = [[day for day in days if day < TODAY - 7] + [TODAY - k for k in range(4, -1, -1)] for days in lives]
    assert kinds(busy)["burst"] > share


def test_the_same_silence_is_nothing_to_those_who_come_by_seldom() -> None:
    often, seldom = [list(range(TODAY - 400, TODAY - 20, step)) for step in (3, 25)]
    assert MODEL.predict(known(often))["anomaly_kind"] == "silent"
    assert MODEL.predict(known(seldom))["anomaly_kind"] == "none"


def test_with_one_day_nothing_stands_out() -> None:
    found = MODEL.predict(known([TODAY - 10]))
    assert found["anomaly_kind"] == "none"
    assert float(found["anomaly"] or 0.0) < 0.99


def test_an_anomaly_grows_with_silence() -> None:
    days = list(range(TODAY - 200, TODAY, 5))
    found = [float(MODEL.predict(known(days, today=TODAY + later))["anomaly"] or 0.0) for later in range(3, 60, 3)]
    assert found == sorted(found)
    assert found[-1] > 0.999
