"""The family `engagement` where laws of all families do not reach: its prior, rare outcomes, the level of the newest cases."""

import numpy as np
import pytest

from personalization.clock import DAY
from personalization.deciding.forecast import forecast, shares_of
from personalization.errors import ArrayInvalid
from personalization.messages import LogEntry
from personalization.models.base import Examples
from personalization.models.engagement import FAMILY, OUTCOMES
from personalization.models.features import features_of
from personalization.profile import DECIDED, PersonalizationProfile
from tests.conftest import NOW


def _sends(n: int, seed: int = 0, **shares: object) -> Examples:
    """x raises the chance of an open; the others happen by their shares."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    outcomes = {
        kind: (rng.random(n) < shares.get(kind, 0.1)).astype(np.float64) for kind in ("clicked", "converted", "unsubscribed")
    }
    outcomes["opened"] = (rng.random(n) < 1.0 / (1.0 + np.exp(-x))).astype(np.float64)
    table = {"x": x.tolist(), "idle": rng.normal(size=n).tolist(), "active_days": rng.normal(size=n).tolist()}
    return Examples(table=table, outcomes=outcomes, at=np.arange(n) * DAY, people=np.arange(n), horizon=DAY)


def test_before_any_training_it_says_what_a_decisions_forecast_says() -> None:
    person = PersonalizationProfile(tenant_id="acme", user_ref=b"a" * 16)
    for type_ in (DECIDED, "opened", DECIDED, "clicked", "unsubscribed"):
        person = person.after(LogEntry(seq=1, type=type_, at=NOW, recorded_at=NOW, user_ref=b"a" * 16, channel="email"))
    said = FAMILY.prior().predict(features_of(person, NOW))
    assert [said[name] for name in ("open", "click", "convert", "unsubscribe")] == pytest.approx(
        forecast(shares_of({}), person, NOW), abs=1e-4
    )
    assert said["engagement_prediction"] == pytest.approx(person.engagement_score(NOW))


def test_rare_outcomes_get_their_rate_and_an_honest_interval() -> None:
    model = FAMILY.fit(_sends(2_000, unsubscribed=0.002), np.random.default_rng(1))
    told = [model.explain({"x": x, "idle": 0.0})["unsubscribe"] for x in (-1.0, 0.0, 1.0)]
    for one in told:
        assert 0.0003 < float(one.value or 0.0) < 0.01
        assert one.low is not None
        assert one.high is not None
        assert one.low < 0.002 < one.high < 0.1


def test_the_chance_of_any_is_never_below_that_of_one() -> None:
    model = FAMILY.fit(_sends(500), np.random.default_rng(1))
    for x in np.linspace(-4.0, 4.0, 30).tolist():
        said = model.predict({"x": x, "idle": 1.0})
        assert said["engagement_prediction"] >= max(said["open"], said["click"], said["convert"])


def test_scores_stand_at_the_level_of_the_newest_cases() -> None:
    cases = _sends(4_000)
    risen = cases.outcomes["clicked"].copy()
    risen[3_200:] = np.random.default_rng(9).random(800) < 0.3
    moved = Examples(
        table=cases.table, outcomes={**cases.outcomes, "clicked": risen}, at=cases.at, people=cases.people, horizon=DAY
    )
    said = FAMILY.fit(moved, np.random.default_rng(1)).predict({"x": 0.0, "idle": 0.0})["click"]
    assert said == pytest.approx(0.3, abs=0.06)


def test_reasons_name_the_column_that_moves_the_score() -> None:
    model = FAMILY.fit(_sends(2_000), np.random.default_rng(1))
    high, low = (model.explain({"x": x, "idle": 0.0})["open"].reasons[0] for x in (2.0, -2.0))
    assert (high[0], low[0]) == ("x", "x")
    assert high[1] > 1.0 > -1.0 > low[1]


def test_columns_of_other_families_are_not_read() -> None:
    model = FAMILY.fit(_sends(500), np.random.default_rng(1))
    assert model.predict({"x": 0.0, "active_days": -3.0}) == model.predict({"x": 0.0, "active_days": 3.0})
    assert [part.name for part in model.table.design.parts] == ["x", "idle"]


def test_an_outcome_that_was_not_looked_for_is_named() -> None:
    cases = _sends(200)
    lacking = Examples(
        table=cases.table, outcomes={"opened": cases.outcomes["opened"]}, at=cases.at, people=cases.people, horizon=DAY
    )
    with pytest.raises(ArrayInvalid, match="clicked"):
        FAMILY.fit(lacking, np.random.default_rng(1))


def test_the_prior_is_judged_beside_a_taught_one() -> None:
    cases = _sends(400)
    taught, prior = FAMILY.judge(FAMILY.fit(cases, np.random.default_rng(1)), cases), FAMILY.judge(FAMILY.prior(), cases)
    assert set(prior.p) == set(OUTCOMES)
    assert taught.losses.mean() < prior.losses.mean()
    assert prior.metrics["open_auc"] == 0.5
