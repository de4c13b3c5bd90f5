"""Whether hours or days stand out, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from personalization.clock import DAY, HOUR
from personalization.engines.analyses import timing
from personalization.profile import PersonalizationProfile
from tests.people import NOW, Answering, lived, simulated


def analysed(profile: PersonalizationProfile) -> dict[str, Any]:
    return timing.analysis(profile, NOW, {})


def hour(at: int) -> int:
    return at // HOUR % 24


def weekend(at: int) -> bool:
    return (at // DAY + 3) % 7 >= 5


PLANTED: dict[str, Answering] = {
    "between ": lambda at, channel, before: 0.9 if hour(at) in (19, 20) else 0.05,
    "at weekends": lambda at, channel, before: 0.9 if weekend(at) else 0.08,
    "on Mondays": lambda at, channel, before: 0.9 if (at // DAY + 3) % 7 == 0 else 0.05,
}


@pytest.mark.parametrize("words", PLANTED)
def test_a_planted_pattern_is_told(words: str) -> None:
    found = [analysed(simulated(seed, PLANTED[words], a_day=8, days=35)) for seed in range(20)]
    assert sum(words in each["summary"] and each["summary"].endswith(", local time.") for each in found) >= 18
    assert words in found[0]["implication"]


def test_thin_evidence_is_silent() -> None:
    found = analysed(lived([(NOW - ago * DAY, "opened", "email", None) for ago in (0, 7, 14)]))
    assert found["summary"] == "No hour stands out yet."
    assert found["implication"] == "Let send time explore."
    assert found["strength"] < 0.5


def test_hours_and_days_stand_in_the_order_of_their_engagement() -> None:
    ago = [0, 7 * 24, 14 * 24, 14 * 24 + 1, 24]
    found = analysed(lived([(NOW - hours * HOUR, "opened", "email", None) for hours in ago]))
    hours = [each for each in found["patterns"] if each["name"] == "hour"]
    days = [each for each in found["patterns"] if each["name"] == "day"]
    assert (hours[0]["day"], hours[0]["hour"], hours[0]["hour_of_week"]) == ("Monday", 10, 10)
    assert [each["day"] for each in days] == ["Monday", "Sunday"]
    assert hours[0]["times_usual"] > 1.0
    assert hours[0]["rate"] is None


def test_an_hour_that_only_got_more_sends_is_as_usual() -> None:
    at_nine = [simulated(seed, hours=(9,), a_day=3, lag=0.1) for seed in range(20)]
    found = [analysed(profile) for profile in at_nine]
    assert all(each["summary"] == "No hour stands out yet." for each in found)
    rates = [pattern for each in found for pattern in each["patterns"] if pattern["name"] == "day"]
    assert sum(pattern["low"] <= 0.4 <= pattern["high"] for pattern in rates) >= 0.9 * len(rates)


def test_the_families_name_their_window_and_what_is_usual() -> None:
    found = analysed(simulated(3, PLANTED["at weekends"], a_day=8))
    kind = next(pattern for pattern in found["patterns"] if pattern["name"] == "kind_of_day")
    assert (kind["start"], kind["length"]) == (5, 2)
    assert kind["share"] > 0.6 > kind["usual_share"]
    assert kind["words"].startswith("Stands out: ")
