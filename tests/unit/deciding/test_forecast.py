"""A forecast begins with what is believed, follows what a model sees of late, and then the person's own history."""

import pytest

from personalization.clock import instant
from personalization.deciding.forecast import forecast, shares_of
from personalization.profile import Patterns, PersonalizationProfile, growth

NOW = instant("2026-11-23T10:00:00Z")


def test_nothing_known_says_what_is_believed() -> None:
    assert shares_of({}) == pytest.approx((0.2, 0.03, 0.01, 0.002))
    assert forecast(shares_of({}), None, NOW) == (0.2, 0.03, 0.01, 0.002)


def test_a_frequent_event_follows_the_newest_decisions() -> None:
    counts = {"exposed": 10_000.0, "opened": 2_000.0}
    share = shares_of(counts, {"exposed": 700.0, "opened": 560.0})[0]
    assert share == pytest.approx(580.0 / 800.0)


def test_a_rare_event_keeps_the_evidence_of_all_decisions() -> None:
    counts = {"exposed": 10_000.0, "unsubscribed": 20.0}
    none, some = (shares_of(counts, {"exposed": 700.0, "unsubscribed": k})[3] for k in (0.0, 3.0))
    assert 0.0018 < none < 0.002 < some < 0.0023


def test_a_person_of_long_history_is_forecast_by_it() -> None:
    weight = growth(NOW)
    patterns = Patterns(exposures=90.0 * weight, totals={"opened": 90.0 * weight})
    person = PersonalizationProfile(tenant_id="acme", user_ref=b"a" * 16, patterns=patterns)
    opened, clicked, *_ = forecast(shares_of({}), person, NOW)
    assert opened == pytest.approx(0.92)
    assert clicked == pytest.approx(0.003)


def test_shares_stay_probabilities_when_events_outnumber_sends() -> None:
    assert all(0.0 <= share <= 1.0 for share in shares_of({"exposed": 1.0, "opened": 9.0}, {"exposed": 1.0, "opened": 90.0}))
