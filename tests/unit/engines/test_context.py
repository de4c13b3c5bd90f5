"""What the context engine makes of the moment and of what callers pass."""

from __future__ import annotations

from typing import Any

import pytest

from personalization.clock import DAY, instant
from personalization.engines import context
from personalization.engines.calendars import HOLIDAY, WEEKEND, WORKDAY, country_code, day_kind
from personalization.messages import PersonalizationRequest
from personalization.profile import PersonalizationProfile

NOW = instant("2026-11-23T10:00:00Z")


def person(**changes: Any) -> PersonalizationProfile:
    return PersonalizationProfile(tenant_id="t", user_ref=b"u" * 16, version=1, **changes)


def read(profile: PersonalizationProfile | None = None, at: str = "2026-11-23T10:00:00Z", **passed: Any) -> dict[str, str]:
    request = PersonalizationRequest(tenant_id="t", context=passed)
    return dict(context.read(profile, request, instant(at)).found)


def test_the_moment_is_the_persons_own() -> None:
    tokyo = read(person(timezone="Asia/Tokyo"), "2026-11-22T20:30:00Z")
    assert tokyo == {"daypart": "night", "day": "workday", "hour": "5", "weekday": "Monday"}
    assert read(None, "2026-11-22T20:30:00Z")["weekday"] == "Sunday"


@pytest.mark.parametrize(
    ("profile", "at", "kind"),
    [
        (person(traits={"country": "DE"}), "2026-10-03T10:00:00Z", HOLIDAY),  # German Unity Day, a Saturday
        (person(traits={"country": "FR"}), "2026-10-03T10:00:00Z", WEEKEND),
        (person(attributes={"country": "us"}), "2026-07-04T10:00:00Z", HOLIDAY),
        (person(language="en-GB"), "2026-12-25T10:00:00Z", HOLIDAY),
        (person(language="en-GB", traits={"country": "nowhere"}), "2026-12-25T10:00:00Z", HOLIDAY),
        (person(language="en"), "2026-12-25T10:00:00Z", WORKDAY),
        (person(traits={"country": "SA"}), "2026-11-20T10:00:00Z", WEEKEND),  # a Friday
        (person(traits={"country": "JP"}, timezone="Asia/Tokyo"), "2026-12-31T16:00:00Z", HOLIDAY),  # New Year there already
        (person(traits={"country": "CN"}), "2026-02-14T10:00:00Z", WORKDAY),  # a Saturday worked before Spring Festival
        (person(traits={"country": 7}), "2026-12-25T10:00:00Z", WORKDAY),
        (None, "2026-11-22T10:00:00Z", WEEKEND),
    ],
)
def test_holidays_and_weekends_are_those_of_the_persons_country(profile: PersonalizationProfile | None, at: str, kind: str) -> None:
    assert read(profile, at)["day"] == kind


def test_a_country_nobody_knows_and_a_far_year_have_plain_weeks() -> None:
    assert [country_code(said) for said in ("XX", "", "DEU", None, 3, "gb", "UK")] == [None] * 5 + ["GB", "GB"]
    assert day_kind(instant("2499-12-25T10:00:00Z"), "GB") in (WORKDAY, WEEKEND)
    assert day_kind(-(10**30), "GB") in (WORKDAY, WEEKEND)


def test_every_country_has_a_calendar_of_this_year() -> None:
    days = [day_kind(NOW - NOW % DAY + k * DAY, code) for code in ("DE", "GB", "US", "IN", "BR", "ZA", "JP") for k in range(366)]
    assert days.count(HOLIDAY) > 50


@pytest.mark.parametrize(
    ("passed", "names"),
    [
        ({"device": "iPhone"}, ["device=phone"]),
        ({"device": "smart-fridge"}, ["device=smart_fridge"]),
        ({"connectivity": "Wi-Fi", "battery": "85%"}, ["connectivity=wifi", "battery=high"]),
        ({"battery": 0.19}, ["battery=low"]),
        ({"battery": 59}, ["battery=medium"]),
        ({"place": "commuting"}, ["place=transit"]),
        ({"session": {"seconds": 5, "pages": 2}}, ["session=new"]),
        ({"session": "0d4a5f"}, ["session=active"]),
        (
            {"session": 6_000, "page": "home", "n": 3, "vip": True},
            ["session=long", "context:n", "context:page=home", "context:vip=True"],
        ),
        ({"device": 5, "battery": "empty", "place": ["x"], "session": [], "connectivity": None, "x": {}, "y": []}, []),
        ({"battery": -1}, []),
        ({"battery": 101}, []),
    ],
)
def test_keys_we_know_get_one_word_and_wrong_values_are_ignored(passed: dict[str, Any], names: list[str]) -> None:
    assert list(context.passed(passed).names) == names


def test_what_was_really_there_is_told_by_its_parts() -> None:
    request = PersonalizationRequest(tenant_id="t", context={"device": "tv", "page": "home", "battery": "?"})
    found = context.read(None, request, NOW)
    assert set(found.parts) == {"daypart", "day", "hour", "weekday", "device", "context"}
    assert ("context", "page=home") in found.found


def test_numbers_of_any_size_stay_small_as_features() -> None:
    found = context.passed({"tiny": 5e-324, "huge": 1e308, "small": -1e308, "over": 10**400})
    assert len(found.features) == 3
    assert max(abs(value) for _, value in found.features) < 2**20


def test_keys_we_know_come_before_a_crowd_of_others() -> None:
    crowd = {f"a{i}": i for i in range(100)} | {"session": 1, "device": "tv"}
    names = context.passed(crowd).names
    assert names[:2] == ("device=tv", "session=new")
    assert len(names) == context.MOST_FEATURES
