"""How much somebody engages, in words and numbers."""

from __future__ import annotations

from typing import Any

import pytest

from personalization.clock import DAY, HOUR, rfc3339
from personalization.engines.analyses import engagement
from personalization.engines.pace import pace
from personalization.profile import PersonalizationProfile
from tests.people import NOW, Row, lived, simulated


def analysed(profile: PersonalizationProfile, now: int = NOW) -> dict[str, Any]:
    return engagement.analysis(profile, now, {})


def row(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(pattern for pattern in found["patterns"] if pattern["name"] == name)


def at(type_: str, *days: float, channel: str = "email") -> list[Row]:
    """Events so many days ago."""
    return [(NOW - round(ago * DAY), type_, channel, None) for ago in days]


def test_it_says_in_words_and_numbers_what_is_too_much() -> None:
    profile = lived(at("decided", 0.1, 0.2, 0.3, 0.4, 1) + at("opened", 60))
    found = analysed(profile)
    assert found["summary"].startswith("This person rarely engages, with 1")
    assert found["summary"].endswith("and gets more in a week than they answer, and is tired of unanswered sends.")
    assert found["implication"] == f"Wait until {rfc3339(pace(profile.patterns, NOW).recovers_at or 0)}, or for them to engage."
    saturation = row(found, "saturation")
    assert (saturation["saturation"], saturation["sends_in_7_days"], saturation["appetite_a_week"]) == ("over", 5, 1.0392)
    assert 0.5 < saturation["probability"] < 1.0
    assert row(found, "fatigue")["unanswered_in_3_days"] == 5


def test_the_share_of_sends_is_the_beta_posterior() -> None:
    found = row(analysed(lived(at("decided", *[0.0] * 8) + at("opened", 0.0, 0.0))), "share")
    assert found["rate"] == round(3 / 12, 4)
    assert found["low"] < 0.25 < found["high"]
    assert found["sends"] == 8.0
    assert found["words"] == "Engages with 25 % of sends (95 % interval 6 % to 52 %): now and then."


def test_a_send_that_was_opened_and_clicked_was_answered_once() -> None:
    twice = lived(at("decided", *[0.0] * 4) + at("opened", 0.0, 0.0) + at("clicked", 0.0, 0.0))
    assert row(analysed(twice), "share")["rate"] == round(3 / 8, 4)


def test_sends_to_come_are_not_unanswered() -> None:
    asked, planned = lived(at("decided", 1.0)), lived(at("decided", 1.0, -1.0, -2.0, -3.0))
    assert row(analysed(planned), "share")["rate"] == row(analysed(asked), "share")["rate"]


def test_each_kind_that_occurred_has_a_rate_and_an_interval() -> None:
    found = analysed(simulated(1))
    assert [
        each for each in ("opened", "clicked", "converted", "replied") if any(each == p["name"] for p in found["patterns"])
    ] == [
        "opened",
        "clicked",
    ]
    clicked, opened = row(found, "clicked"), row(found, "opened")
    assert clicked["low"] < clicked["rate"] < clicked["high"] < opened["rate"]
    assert clicked["words"].startswith("Clicks ")


def test_who_is_hardly_known_is_not_judged() -> None:
    for profile in (lived([]), lived(at("decided", 1.0))):
        assert analysed(profile)["summary"] == "This person is too little known to say how often they engage."
        assert analysed(profile)["strength"] < 0.2


def test_engagement_with_what_nobody_said_was_sent_is_no_share() -> None:
    found = analysed(lived(at("opened", *[float(k) for k in range(20)])))
    assert found["summary"].startswith("This person engages with more than is known to be sent, so how often cannot be said")
    assert (found["strength"], row(found, "share")["rate"]) == (0.0, 0.25)
    assert (row(found, "opened")["words"], row(found, "opened")["rate"]) == ("Opened 16.0 times of late.", None)


def test_a_rise_in_the_last_week_is_found_and_told() -> None:
    rising = [simulated(seed, lambda at, channel, before: 0.8 if at > NOW - 7 * DAY else 0.15, days=60) for seed in range(20)]
    found = [analysed(profile) for profile in rising]
    assert sum(row(each, "momentum")["trend"] == "up" for each in found) >= 18
    assert "lately more than before" in found[0]["summary"]
    assert row(found[0], "momentum")["rate_lately"] > row(found[0], "momentum")["rate_before"]


def test_a_fall_is_found_too_and_fewer_sends_are_none() -> None:
    falling = [simulated(seed, lambda at, channel, before: 0.05 if at > NOW - 10 * DAY else 0.7, days=60) for seed in range(20)]
    assert sum(row(analysed(profile), "momentum")["trend"] == "down" for profile in falling) >= 18
    left_alone = [simulated(seed) for seed in range(20)]
    assert all(row(analysed(profile, NOW + 10 * DAY), "momentum")["trend"] is None for profile in left_alone)


@pytest.mark.parametrize("a_day", [1, 4, 8])
def test_steady_people_have_no_trend(a_day: int) -> None:
    found = [row(analysed(simulated(seed, days=60, a_day=a_day)), "momentum") for seed in range(40)]
    assert sum(each["trend"] is not None for each in found) <= 2


def test_without_sends_the_trend_is_one_of_days() -> None:
    found = row(analysed(lived(at("opened", *[30.0 + k for k in range(30)]))), "momentum")
    assert (found["rate_of"], found["trend"]) == ("day", "down")
    steady = row(analysed(lived(at("opened", *[1.0 + 2 * k for k in range(40)]))), "momentum")
    assert steady["trend"] is None


def test_answers_in_streaks_are_told_from_answers_at_random() -> None:
    streaky = [simulated(seed, lambda at, channel, before: 0.9 if before else 0.1, days=60, a_day=1) for seed in range(20)]
    assert sum(row(analysed(profile), "spacing")["spacing"] == "bursty" for profile in streaky) >= 18
    random = [simulated(seed, days=60, a_day=1) for seed in range(40)]
    assert sum(row(analysed(profile), "spacing")["spacing"] is not None for profile in random) <= 2


def test_every_other_answer_is_evenly_spread() -> None:
    alternating = simulated(1, lambda at, channel, before: 0.02 if before else 0.98, days=40, a_day=1)
    found = row(analysed(alternating), "spacing")
    assert found["spacing"] == "regular"
    assert found["words"].startswith("Answers are evenly spread: ")


def test_sends_of_the_same_hour_do_not_look_like_every_other_answer() -> None:
    """The answer to the first of two goes by the second."""
    found = [row(analysed(simulated(seed, days=30, a_day=2, hours=(9,))), "spacing") for seed in range(40)]
    assert sum(each["spacing"] is not None for each in found) <= 2


def test_a_send_of_the_last_day_is_not_yet_unanswered() -> None:
    sends = [(NOW - k * DAY - HOUR, "decided", "email", None) for k in range(5)]
    assert row(analysed(lived(sends)), "spacing")["sends"] == 4
