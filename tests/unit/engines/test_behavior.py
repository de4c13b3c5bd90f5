"""What the behaviour engine says of somebody's pace."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from personalization.clock import DAY, instant
from personalization.engines import behavior
from personalization.engines.pace import pace
from personalization.messages import LogEntry, PersonalizationRequest
from personalization.profile import PersonalizationProfile

NOW = instant("2026-11-23T10:00:00Z")  # a Monday
ASKED = PersonalizationRequest(tenant_id="t")


def person(sends: Iterable[float] = (), opens: Iterable[float] = ()) -> PersonalizationProfile:
    """sends, opens: days ago."""
    profile = PersonalizationProfile(tenant_id="t", user_ref=b"u" * 16, version=1)
    rows = [("decided", days) for days in sends] + [("opened", days) for days in opens]
    for seq, (type_, days) in enumerate(sorted(rows, key=lambda found: -found[1]), 1):
        at = NOW - round(days * DAY)
        profile = profile.after(LogEntry(seq=seq, type=type_, at=at, recorded_at=at, user_ref=b"u" * 16, channel="email"))
    return profile


def words(profile: PersonalizationProfile, now: int = NOW) -> dict[str, str]:
    return dict(behavior.read(profile, ASKED, now).found)


def test_a_steady_reader_is_steady_and_makes_no_feature() -> None:
    every_other_day = [1 + 2 * k for k in range(60)]
    found = behavior.read(person(every_other_day, every_other_day[::2]), ASKED, NOW)
    assert dict(found.found) == {"momentum": "steady", "saturation": "on_target", "fatigue": "rested"}
    assert found.features == ()


@pytest.mark.parametrize(
    ("opens", "momentum"),
    [
        ([0.5, 1, 1.5, 2, 40, 60, 80], "rising"),
        ([20 + k for k in range(20)], "falling"),
        ([300], None),
        ([], None),
    ],
)
def test_momentum_is_the_last_days_against_the_long_run(opens: list[float], momentum: str | None) -> None:
    assert words(person([1], opens)).get("momentum") == momentum


def test_late_events_give_the_same_momentum_in_any_order() -> None:
    rows = [LogEntry(seq=i, type="opened", at=NOW - i * DAY, recorded_at=NOW, channel="email") for i in range(10)]
    empty = PersonalizationProfile(tenant_id="t", user_ref=b"u" * 16)
    one = other = empty
    for forward, backward in zip(rows, reversed(rows), strict=True):
        one, other = one.after(forward), other.after(backward)
    assert one.patterns.engaged_lately(NOW) == pytest.approx(other.patterns.engaged_lately(NOW))
    assert one.patterns.engaged_lately(NOW) == pytest.approx(sum(2 ** (-i / 7) for i in range(10)))


@pytest.mark.parametrize(
    ("sends", "saturation"), [([], "under"), ([4], "on_target"), ([4, 5, 6], "on_target"), ([3.5, 4, 5, 6], "over")]
)
def test_who_is_hardly_known_wants_about_one_message_a_week(sends: list[float], saturation: str) -> None:
    assert words(person([8, *sends])).get("saturation") == saturation


def test_who_engages_more_can_take_more() -> None:
    week = [k / 2 for k in range(8, 14)]
    assert words(person(week))["saturation"] == "over"
    assert words(person(week, [k / 2 for k in range(120)]))["saturation"] != "over"


@pytest.mark.parametrize(("sends", "fatigue"), [(1, "rested"), (2, "tiring"), (3, "tiring"), (4, "fatigued"), (30, "fatigued")])
def test_unanswered_sends_tire(sends: int, fatigue: str) -> None:
    assert words(person([k / 24 for k in range(1, sends + 1)]))["fatigue"] == fatigue


def test_an_engagement_rests_at_once_and_quiet_days_do_too() -> None:
    tired = [0.1, 0.2, 0.3, 0.4]
    assert words(person(tired, [0.05]))["fatigue"] == "rested"
    recovers = pace(person(tired).patterns, NOW).recovers_at
    assert recovers is not None
    assert words(person(tired), recovers)["fatigue"] == "rested"
    assert words(person(tired), recovers - 1)["fatigue"] == "tiring"


def test_sends_that_are_still_to_come_do_not_tire() -> None:
    assert words(person([-0.1, -0.2, -0.3, -0.4, 2]))["fatigue"] == "rested"
