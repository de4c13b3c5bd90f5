"""What models read of a person is what was known, told by names that stay."""

import pytest

from personalization.clock import DAY, HOUR
from personalization.messages import LogEntry
from personalization.models.features import features_of
from personalization.profile import DECIDED, PersonalizationProfile
from tests.conftest import NOW

ADA = PersonalizationProfile(tenant_id="acme", user_ref=b"a" * 16)


def _lived(profile: PersonalizationProfile, type_: str, at: int, channel: str = "email") -> PersonalizationProfile:
    entry = LogEntry(seq=1, type=type_, at=at, recorded_at=at, user_ref=profile.user_ref, channel=channel)
    return profile.after(entry)


def test_of_somebody_unknown_the_prior_is_said() -> None:
    found = features_of(ADA, NOW)
    assert found["engagement_score"] == 0.25
    shares = [found[name] for name in ("opened", "clicked", "converted", "unsubscribed")]
    assert shares == pytest.approx([0.2, 0.03, 0.01, 0.002])
    assert found["sends"] == found["momentum"] == found["events"] == 0.0
    assert found["days_since_engaged"] is found["days_known"] is found["language"] is None


def test_shares_follow_the_person_with_their_evidence() -> None:
    person = ADA
    for k in range(10):
        person = _lived(person, DECIDED, NOW - HOUR * k, "push")
        person = _lived(person, "clicked", NOW - HOUR * k, "push")
    found = features_of(person, NOW)
    assert found["sends"] == pytest.approx(10.0, abs=0.1)
    assert found["clicked"] == pytest.approx(10.3 / 20.0, abs=0.01)
    assert found["opened"] == pytest.approx(2.0 / 20.0, abs=0.01)
    assert found["engaged:push"] == pytest.approx(11.0 / 14.0, abs=0.01)
    assert found["engagement_score"] == found["engaged:push"]
    assert found["sends_in_1_day"] == 9.0, "one of ten lies in the present hour"


def test_momentum_rises_with_what_is_new_and_falls_with_silence() -> None:
    new = _lived(ADA, "opened", NOW)
    steady = ADA
    for k in range(300, -1, -1):
        steady = _lived(steady, "opened", NOW - k * DAY)
    just, ever, quiet = (
        features_of(person, at)["momentum"] for person, at in ((new, NOW), (steady, NOW), (steady, NOW + 60 * DAY))
    )
    assert isinstance(just, float)
    assert isinstance(ever, float)
    assert isinstance(quiet, float)
    assert just > 0.4 > ever > -0.1 > -0.5 > quiet


def test_what_was_declared_is_told_as_it_is() -> None:
    declared = PersonalizationProfile(
        tenant_id="acme", user_ref=b"a", traits={"plan": "pro", "age": 4, "vip": True, "tags": ["a"], "none": None}, language="de"
    )
    found = features_of(declared, NOW)
    assert (found["trait:plan"], found["trait:age"], found["trait:vip"], found["trait:tags"]) == ("pro", 4.0, 1.0, "['a']")
    assert found["trait:none"] is None
    assert found["language"] == "de"
