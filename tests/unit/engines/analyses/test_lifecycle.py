"""Where somebody stands, by whatever model scored them."""

from __future__ import annotations

from typing import Any

import pytest

from personalization.clock import DAY
from personalization.engines.analyses import lifecycle
from personalization.learning.segments import Stage
from personalization.profile import PersonalizationProfile
from tests.people import NOW, Row, lived


def regular(n: int, silence: float = 1.0) -> PersonalizationProfile:
    """n opens, two days apart, the last of them so many days ago."""
    return lived([(NOW - round((silence + 2.0 * k) * DAY), "opened", "email", None) for k in range(n)])


def analysed(profile: PersonalizationProfile, churn: float | None = 0.3, stage: str | None = Stage.LAPSED) -> dict[str, Any]:
    return lifecycle.analysis(profile, NOW, {"churn_risk": churn, "journey_stage": stage, "lifetime_value": 90.0})


def row(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(pattern for pattern in found["patterns"] if pattern["name"] == name)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("churn", [0.0, 0.3, 0.9])
def test_the_stage_and_the_chance_are_those_of_the_scores(churn: float, stage: Stage) -> None:
    found = analysed(regular(5), churn, stage)
    assert (found["stage"], row(found, "stage")["probability"]) == (stage, churn)
    assert f"{churn:.0%} they do not engage" in row(found, "stage")["words"].replace(" %", "%")
    going = stage in (Stage.AT_RISK, Stage.LAPSED)
    assert found["strength"] == pytest.approx((churn if going else 1.0 - churn) * analysed(regular(5), 1.0)["strength"], abs=2e-4)


def test_who_was_never_heard_of_has_no_stage() -> None:
    found = analysed(lived([]), None, None)
    assert found["summary"] == "Nothing was heard of this person yet."
    assert "stage" not in found


def test_one_event_is_no_rhythm() -> None:
    found = analysed(regular(1), 0.9)
    assert found["strength"] == 0.0
    assert [pattern["name"] for pattern in found["patterns"]] == ["stage"]


def test_a_silence_is_held_against_the_gaps_before() -> None:
    usual, long = row(analysed(regular(20)), "rhythm"), row(analysed(regular(20, silence=14.0)), "rhythm")
    assert (usual["days_between"], usual["gaps"]) == (2.0, 19)
    assert usual["probability"] < 0.5 < 0.95 < long["probability"]
    assert long["words"] == "Used to engage every 2 days; the last time was 14 days ago, which is longer than usual for them."
    assert analysed(regular(20, silence=14.0))["summary"].endswith(", and silent for longer than is usual for them.")


def test_the_same_silence_says_less_of_whoever_is_hardly_known() -> None:
    silent = [row(analysed(regular(n, silence=14.0)), "rhythm")["probability"] for n in (2, 4, 8, 16)]
    assert silent == sorted(silent)


def test_spending_is_told_with_the_chance_to_buy_again() -> None:
    bought: list[Row] = [(NOW - k * 10 * DAY, "converted", "email", 20.0) for k in range(6)]
    found = row(analysed(lived(bought)), "spend")
    assert (found["spend"], found["mean_purchase"], found["lifetime_value"]) == (120.0, 20.0, 90.0)
    assert found["words"].startswith("Spent 120.00 so far, lately 20.00 a purchase; chance to buy within 28 days: 9")
    once = row(analysed(lived([(NOW - 50 * DAY, "converted", "email", 20.0)])), "spend")
    assert once["probability"] < found["probability"]
