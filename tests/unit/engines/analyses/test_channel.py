"""Which channel is the best, how surely, and what goes wrong by which."""

from __future__ import annotations

from typing import Any

from personalization.clock import DAY
from personalization.engines.analyses import channel
from personalization.profile import PersonalizationProfile
from tests.people import NOW, Row, lived, simulated


def analysed(profile: PersonalizationProfile) -> dict[str, Any]:
    return channel.analysis(profile, NOW, {})


def named(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [pattern for pattern in found["patterns"] if pattern["name"] == name]


def times(type_: str, channel_: str, n: int) -> list[Row]:
    return [(NOW, type_, channel_, None)] * n


def test_a_channel_that_is_better_is_found() -> None:
    better = [simulated(seed, lambda at, name, before: 0.7 if name == "email" else 0.15) for seed in range(20)]
    found = [analysed(profile) for profile in better]
    assert sum(each["summary"].startswith("email works best: ") for each in found) >= 18
    assert found[0]["implication"] == "Prefer email."
    assert found[0]["strength"] > 0.9


def test_channels_that_are_alike_are_not_told_apart() -> None:
    found = [analysed(simulated(seed, channels=("email", "push", "sms"))) for seed in range(40)]
    assert sum(not each["summary"].startswith("No channel stands out yet (") for each in found) <= 2


def test_the_chances_to_be_the_best_sum_to_one() -> None:
    found = named(analysed(simulated(2, channels=("email", "push", "sms"))), "channel")
    assert abs(sum(row["probability"] for row in found) - 1.0) < 1e-3
    assert all(row["low"] < row["engagement_rate"] < row["high"] for row in found)


def test_of_three_the_two_that_may_be_the_best_are_named() -> None:
    rows = [
        *times("decided", "email", 60),
        *times("opened", "email", 30),
        *times("decided", "push", 60),
        *times("opened", "push", 30),
    ]
    found = analysed(lived([*rows, *times("decided", "sms", 60)]))
    assert found["summary"] == "Channels differ, and the best is one of email and push."
    assert found["implication"] == "Prefer email and push."


def test_a_single_channel_is_not_compared() -> None:
    found = analysed(lived(times("decided", "email", 10) + times("opened", "email", 4)))
    assert found["summary"] == "Only email was used so far: 36 % of its sends are engaged with."
    assert named(found, "difference") == []
    assert 0.0 < found["strength"] < 0.6


def test_a_channel_never_answered_is_named() -> None:
    found = analysed(lived(times("decided", "email", 6) + times("opened", "email", 3) + times("decided", "sms", 6)))
    (never,) = named(found, "never_answered")
    assert never["channel"] == "sms"
    assert never["words"] == "Nothing sent by sms was ever engaged with."
    assert 0.5 < never["probability"] < 0.95


def test_bounces_and_losses_are_told_by_channel() -> None:
    rows = (
        times("decided", "sms", 8) + times("bounced", "sms", 4) + times("decided", "email", 4) + times("unsubscribed", "email", 1)
    )
    found = analysed(lived(rows))
    (bounces,) = named(found, "bounces")
    assert (bounces["channel"], bounces["events"]) == ("sms", 4.0)
    assert bounces["low"] < bounces["rate"] == 0.375 < bounces["high"]
    assert found["implication"].endswith(" Check the address for sms: it bounces.")
    (left,) = named(found, "unsubscribed")
    assert (left["words"], left["probability"]) == ("Unsubscribed from email.", None)


def test_old_evidence_counts_less() -> None:
    fresh = lived(times("decided", "email", 10) + times("opened", "email", 4))
    assert channel.analysis(fresh, NOW + 56 * DAY, {})["strength"] < analysed(fresh)["strength"]


def test_without_sends_channels_are_ranked_by_engagement_and_not_judged() -> None:
    found = analysed(lived(times("opened", "email", 2) + times("opened", "push", 9)))
    assert [row["channel"] for row in named(found, "channel")] == ["push", "email"]
    assert found["strength"] == 0.0
    assert found["summary"] == "Too little is known of what was sent by which channel."
    alone = analysed(lived(times("opened", "push", 9)))
    assert alone["summary"] == "Only push was used so far, and too little is known of what was sent by it."
