"""Laws every engine keeps: pure, calm about whatever callers pass, defined for nobody and at any time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from zoneinfo import available_timezones

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from personalization.clock import DAY, HOUR, instant
from personalization.engines import behavior, channels, context
from personalization.engines.reading import Reading
from personalization.messages import LogEntry, PersonalizationRequest
from personalization.models.families import families
from personalization.models.features import features_of
from personalization.models.scores import predictive_scores
from personalization.profile import PersonalizationProfile
from personalization.sent import message_key
from tests.people import Answering, Row, simulated
from tests.people import lived as told

NOW = instant("2026-11-23T10:00:00Z")
Engine = Callable[[PersonalizationProfile | None, PersonalizationRequest, int], Reading]
ENGINES: dict[str, tuple[Engine, int]] = {
    "context": (context.read, 2 + context.MOST_FEATURES),
    "behavior": (behavior.read, 3),
    "channels": (channels.read, 0),
}
#: Every fifth zone there is, and those of half and quarter hours, of skipped days and of late changes.
ZONES = (
    *sorted(available_timezones())[::5],
    *("America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Africa/Casablanca"),
)


def person(**changes: Any) -> PersonalizationProfile:
    return PersonalizationProfile(tenant_id="t", user_ref=b"u" * 16, version=1, **changes)


def lived(profile: PersonalizationProfile) -> PersonalizationProfile:
    """A month of sends by two channels, half of them opened, some of them with a message_id."""
    for day in range(30):
        sent = {"channel": ("email", "push")[day % 2], "decision_id": f"d{day}", "at": NOW - day * DAY}
        key = message_key(profile.user_ref, f"m{day}") if day % 3 else None
        profile = profile.after(row(3 * day + 1, "decided", message=key, variant_id="a", **sent))
        if day % 2:
            profile = profile.after(row(3 * day + 2, "opened", **{**sent, "at": NOW - day * DAY + HOUR}))
    return profile


def row(seq: int, type_: str, at: int = NOW, **fields: Any) -> LogEntry:
    return LogEntry(seq=seq, type=type_, at=at, recorded_at=at, user_ref=b"u" * 16, **fields)


def asked(passed: dict[str, Any] | None = None, **fields: Any) -> PersonalizationRequest:
    return PersonalizationRequest(tenant_id="t", user_id="u", template_id="offer", context=passed or {}, **fields)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param][0]


PEOPLE = (None, person(), lived(person(timezone="Europe/London", language="en-GB", traits={"country": "GB"})))
REQUESTS = (asked(), asked({"device": "phone", "battery": 0.1, "page": "home"}), asked(message_id="m1"))


@pytest.mark.parametrize("profile", PEOPLE, ids=("nobody", "new", "known"))
def test_the_same_input_gives_the_same_reading_and_is_not_altered(engine: Engine, profile: PersonalizationProfile | None) -> None:
    for request in REQUESTS:
        before = msgspec.msgpack.encode((profile, request))
        assert engine(profile, request, NOW) == engine(profile, request, NOW)
        assert msgspec.msgpack.encode((profile, request)) == before


def test_a_cold_start_is_finite_and_defined(engine: Engine) -> None:
    for profile in (None, person()):
        assert_sound(engine(profile, asked(), NOW))


def assert_sound(found: Reading) -> None:
    assert len(found.features) == len(found.names) == len(set(found.names))
    assert all(isinstance(value, int) and abs(value) < 2**31 for _, value in found.features)
    assert all(isinstance(part, str) and isinstance(word, str) for part, word in found.found)


HOSTILE: tuple[object, ...] = (
    *(math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 10**400, -(10**400), 2**63, True, False, None),
    *("", " ", "x" * 100_000, "\ud800", "=", "a:b=c", "%", "999%", "²%", b"bytes", [], [[[]]], {}, {"seconds": math.nan}),
    *({"seconds": {}}, object(), ("a",), {1: 2}),
)


@pytest.mark.parametrize("key", ["device", "connectivity", "battery", "place", "session", "anything", "", "k" * 10_000, "a=b:c"])
def test_whatever_callers_pass_is_read_or_ignored_and_never_raises(engine: Engine, key: str) -> None:
    for value in HOSTILE:
        assert_sound(engine(PEOPLE[2], asked({key: value}), NOW))


def test_keys_that_are_no_texts_are_no_features(engine: Engine) -> None:
    assert_sound(engine(PEOPLE[2], asked({1: 2, None: 3, "page": "home"}), NOW))  # type: ignore[dict-item]


@pytest.mark.parametrize("name", ENGINES)
def test_the_number_of_features_is_bounded(name: str) -> None:
    engine, most = ENGINES[name]
    known = {"device": "tv", "connectivity": "wifi", "battery": 5, "place": "home", "session": 1}
    crowd = {f"k{i}": i for i in range(1_000)}
    for profile in PEOPLE:
        assert len(engine(profile, asked({**crowd, **known}, message_id="m1"), NOW).features) <= most


def test_a_hundred_zones_and_their_gaps_and_folds_are_read(engine: Engine) -> None:
    assert len(set(ZONES)) >= 100
    for name in ZONES:
        profile = replace(PEOPLE[2] or person(), timezone=name)
        for days in range(0, 365, 30):
            assert_sound(engine(profile, asked(), NOW + days * DAY))


@pytest.mark.parametrize(
    ("at", "hours"),
    [
        ("2026-03-29T00:30:00Z", ["0", "2", "3"]),  # London springs from 01:00 to 02:00
        ("2026-10-25T00:30:00Z", ["1", "1", "2"]),  # and falls back from 02:00 to 01:00
    ],
)
def test_local_time_is_right_over_a_gap_and_a_fold(at: str, hours: list[str]) -> None:
    london = person(timezone="Europe/London")
    read = [dict(context.read(london, asked(), instant(at) + k * HOUR).found)["hour"] for k in range(3)]
    assert read == hours


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["decided", "opened", "dismissed", "bounced"]), st.integers(-500, 500)), max_size=30))
def test_clocks_out_of_order_leave_a_defined_reading(rows: list[tuple[str, int]]) -> None:
    profile = person()
    for seq, (type_, hours) in enumerate(rows, 1):
        key = message_key(profile.user_ref, "m") if type_ == "decided" else None
        profile = profile.after(
            row(seq, type_, NOW + hours * HOUR, channel="email", decision_id=f"d{seq % 5}", message=key, variant_id="a")
        )
    for engine, _ in ENGINES.values():
        for now in (0, NOW - 400 * DAY, NOW, NOW + 400 * DAY, instant("2400-01-01T00:00:00Z")):
            assert_sound(engine(profile, asked(message_id="m"), now))


def test_a_send_planned_for_a_far_century_leaves_finite_numbers() -> None:
    far = person().after(row(1, "decided", instant("2499-12-31T00:00:00Z"), channel="email"))
    assert math.isfinite(far.patterns.exposures)
    assert 0.0 < far.engagement_score(NOW) < 1.0
    for engine, _ in ENGINES.values():
        assert_sound(engine(far, asked(), NOW))


# -- analyses --------------------------------------------------------------------------------------------------------

PRIORS = {name: (0, None, model) for name, family in families([]).items() if (model := family.prior()) is not None}
ANALYSES = pytest.mark.parametrize("kind", behavior.ANALYSES)
FIELDS = {"summary", "strength", "evidence", "implication", "patterns"}
#: Of a finding that something was found.
FOUND: dict[str, Callable[[dict[str, Any]], bool]] = {
    "engagement": lambda found: pattern(found, "momentum")["trend"] is not None or pattern(found, "spacing")["spacing"] is not None,
    "timing": lambda found: found["summary"] != "No hour stands out yet.",
    "channel": lambda found: found["implication"].startswith("Prefer "),
    "lifecycle": lambda found: found["summary"].endswith("for longer than is usual for them."),
}


def analysed(kind: str, profile: PersonalizationProfile, now: int = NOW) -> dict[str, Any]:
    scores = predictive_scores(PRIORS, features_of(profile, now), now)
    return behavior.ANALYSES[kind](profile, now, scores)


def pattern(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in found["patterns"] if each["name"] == name)


def assert_a_finding(found: dict[str, Any]) -> None:
    assert found.keys() - {"stage"} == FIELDS
    assert 0.0 <= found["strength"] <= 1.0
    assert found["evidence"] >= 0.0
    for sentence in (found["summary"], found["implication"], *(each["words"] for each in found["patterns"])):
        assert sentence[0].isupper() or sentence.split()[0] in {"email", "push"}
        assert sentence.endswith(".")
        assert "  " not in sentence
    for each in found["patterns"]:
        assert each["probability"] is None or 0.0 <= each["probability"] <= 1.0
        assert all(math.isfinite(n) and round(n, 4) == n for n in each.values() if isinstance(n, float))


@ANALYSES
@pytest.mark.parametrize("profile", PEOPLE[1:], ids=("new", "known"))
def test_an_analysis_is_pure_and_says_whole_sentences(kind: str, profile: PersonalizationProfile) -> None:
    before = msgspec.msgpack.encode(profile)
    assert analysed(kind, profile) == analysed(kind, profile)
    assert msgspec.msgpack.encode(profile) == before
    assert_a_finding(analysed(kind, profile))


@ANALYSES
def test_nothing_known_is_no_pattern_and_one_click_is_none(kind: str) -> None:
    clicked = told([(NOW - HOUR, "clicked", "email", None)])
    for profile in (person(), clicked, told([(NOW - 2 * HOUR, "decided", "email", None), (NOW - HOUR, "clicked", "email", None)])):
        assert analysed(kind, profile)["strength"] <= 0.05


def evenly(n: int) -> PersonalizationProfile:
    """n sends a day for three weeks: all those of the evening, by email, are answered, and half of the morning's, by push."""
    rows: list[Row] = []
    for day in range(21):
        for k in range(n):
            evening = (day + k) % 2 == 0
            at, channel = NOW - DAY * day - HOUR * (14 if evening else 24) - k, "email" if evening else "push"
            rows += [(at, "decided", channel, None), *([(at, "opened", channel, None)] if evening or (day + k) % 4 == 1 else [])]
    return told(rows)


@ANALYSES
def test_strength_grows_with_evidence_for_the_same_shares(kind: str) -> None:
    scores = {"churn_risk": 0.3, "journey_stage": "active", "lifetime_value": None}
    strengths = [behavior.ANALYSES[kind](evenly(n), NOW, scores)["strength"] for n in (1, 2, 4, 8)]
    assert strengths == sorted(strengths)
    assert strengths[-1] > strengths[0]


@ANALYSES
def test_strength_fades_with_the_evidence(kind: str) -> None:
    known = evenly(2)
    strengths = [analysed(kind, known, NOW + days * DAY)["strength"] for days in (100, 200, 400)]
    assert strengths == sorted(strengths, reverse=True)
    assert strengths[-1] < 0.05


@ANALYSES
@pytest.mark.parametrize("life", [{"days": 4, "a_day": 1}, {"a_day": 2}, {"days": 90, "a_day": 1}, {"a_day": 4, "lag": 4.0}])
def test_who_answers_at_random_has_no_pattern(kind: str, life: dict[str, Any]) -> None:
    found = [analysed(kind, simulated(seed, **life)) for seed in range(60)]
    assert sum(FOUND[kind](each) for each in found) <= 3


PLANTED: dict[str, Answering] = {
    "engagement": lambda at, channel, before: 0.8 if at > NOW - 8 * DAY else 0.1,
    "timing": lambda at, channel, before: 0.9 if at // HOUR % 24 >= 17 else 0.1,
    "channel": lambda at, channel, before: 0.7 if channel == "email" else 0.2,
    "lifecycle": lambda at, channel, before: 0.0 if at > NOW - 15 * DAY else 0.7,
}


#: Of four sends each, so that some sixty events come.
DAYS = {"engagement": 40, "timing": 32, "channel": 26, "lifecycle": 31}


@ANALYSES
def test_a_planted_pattern_is_found_in_about_sixty_events(kind: str) -> None:
    people = [simulated(seed, PLANTED[kind], days=DAYS[kind]) for seed in range(40)]
    assert sum(profile.patterns.events for profile in people) <= 40 * 65
    assert sum(FOUND[kind](analysed(kind, profile)) for profile in people) >= 36


@ANALYSES
@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-500, 500),
            st.sampled_from(["decided", "discarded", "opened", "bounced", "converted", "rewarded"]),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_analyses_of_clocks_out_of_order_are_findings(kind: str, rows: list[tuple[int, str, bool]]) -> None:
    profile = told([(NOW + hours * HOUR, type_, "email" if named else None, 5.0) for hours, type_, named in rows])
    for now in (NOW - 400 * DAY, NOW, NOW + 400 * DAY, instant("2400-01-01T00:00:00Z")):
        assert_a_finding(analysed(kind, profile, now))


@ANALYSES
def test_a_send_planned_for_a_far_century_leaves_a_finding(kind: str) -> None:
    far = lived(person()).after(row(100, "decided", instant("2499-12-31T00:00:00Z"), channel="email"))
    assert_a_finding(analysed(kind, far))
