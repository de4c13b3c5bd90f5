"""Whatever comes in through the service is a decision with its reason, or an error that says what to change."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest

from personalization.bootstrap import House, memory_house
from personalization.clock import DAY, HOUR, MINUTE, SECOND, ManualClock, instant
from personalization.errors import Invalid, MissingVariables, NotFound, PersonalizationError
from personalization.messages import EngagementEvent, PersonalizationRequest, SendWindow
from personalization.service import PersonalizationService
from personalization.template import Variant
from personalization.vocabulary import EventType, Suppression
from tests.conftest import NOW
from tests.following import follow

Document = dict[str, Any]
CHANNELS = ("email", "push", "sms", "in_app", "web_push", "whatsapp", "voice", "webhook", "letter", "fax", "kiosk", "pigeon")


@pytest.fixture
def house(clock: ManualClock) -> Iterator[House]:
    """The same decisions in every run."""
    ids = count()
    house = memory_house(clock=clock, token=Random(7).randbytes, new_id=lambda: f"d{next(ids)}")
    house.storage.tenants.create("acme", clock.now())
    yield house
    house.orchestrator.close()


@pytest.fixture
def service(house: House) -> PersonalizationService:
    service = house.service("acme")
    service.create_template(template())
    return service


def template(variants: int = 3, text: str = "hello", **fields: Any) -> Document:
    numbered = [{"variant_id": f"v{n}", "content": {"en": {"text": f"{text} {n}"}}} for n in range(variants)]
    return {"template_id": "offer", "channels": ["email", "push"], "variants": numbered, **fields}


def ask(**fields: Any) -> PersonalizationRequest:
    what = {} if "variants" in fields or "content" in fields else {"template_id": "offer"}
    return PersonalizationRequest(**{"tenant_id": "acme", "user_id": "u", **what, **fields})


def clicked(answer: Mapping[str, Any], at: int, event_id: str = "e", **fields: Any) -> EngagementEvent:
    cited = {"user_id": answer["user_id"], "decision_id": answer["decision_id"]}
    return EngagementEvent(**{"event_id": event_id, "type": EventType.CLICKED, "occurred_at": at, **cited, **fields})


def decided(service: PersonalizationService, request: PersonalizationRequest) -> Document:
    """The answer, which is sound: in plain JSON, with probabilities, and the same when recomputed."""
    answer = dict(service.personalize(request).document)
    json.dumps(answer, allow_nan=False)
    assert all(0.0 < p <= 1.0 for p in answer["propensity"].values())
    assert all(0.0 <= p <= 1.0 for p in answer["predicted_engagement"].values())
    again = service.decision(answer["decision_id"], replay=True)
    assert {name: again[name] for name in answer} == answer
    assert again["replay"]["identical"] is True
    return answer


# -- requests --------------------------------------------------------------------------------------------------------

Prepare = Callable[[PersonalizationService], object]


def nothing(service: PersonalizationService) -> None:
    pass


def profile(**sections: Any) -> Prepare:
    return lambda service: service.put_profile("u", sections)


def config(**patch: Any) -> Prepare:
    return lambda service: service.patch_config(patch)


def written(**fields: Any) -> Prepare:
    return lambda service: service.put_template("offer", template(**fields))


def variants(*texts: Mapping[str, str]) -> tuple[Variant, ...]:
    return tuple(Variant(variant_id=f"v{n}", content={"en": dict(text)}) for n, text in enumerate(texts))


SEND = "send"
NIGHT = {"start": "22:00", "end": "07:00"}
NUMBERS = {"a": math.inf, "b": -math.inf, "c": math.nan, "d": 1e308, "e": 10**400, "f": 5e-324, "g": -0.0, "battery": math.nan}

#: What is set up, what is asked, and what comes of it: a send, or a suppression with its reason.
DECISIONS: dict[str, tuple[Prepare, PersonalizationRequest, str]] = {
    "nobody in particular": (nothing, ask(user_id=None), SEND),
    "never heard of": (nothing, ask(user_id="x" * 256), SEND),
    "no context": (profile(), ask(), SEND),
    "a category never seen": (profile(traits={"plan": "never seen", "country": "Atlantis"}), ask(), SEND),
    "a language nobody speaks": (nothing, ask(language="tlh"), SEND),
    "no numbers": (nothing, ask(context=NUMBERS), SEND),
    "numbers of the device": (nothing, ask(context={"battery": math.inf, "session": {"seconds": math.nan}, "device": 7}), SEND),
    "ten thousand values": (nothing, ask(context={f"k{n}": f"v{n}" for n in range(10_000)}), SEND),
    "ten thousand traits": (profile(traits={f"k{n}": n for n in range(10_000)}), ask(), SEND),
    "a trait beyond all bounds": (profile(traits={"spend": 1e300, "debt": -1e300}), ask(), SEND),
    "nested values": (nothing, ask(context={"a": {"b": [{}, [[]], None]}, "": "", "k" * 5_000: "v" * 5_000}), SEND),
    "one variant": (written(variants=1), ask(), SEND),
    "a hundred variants": (written(variants=100), ask(), SEND),
    "twelve channels": (written(channels=list(CHANNELS)), ask(), SEND),
    "a hundred variants and twelve channels": (written(variants=100, channels=list(CHANNELS)), ask(), SEND),
    "a channel nobody knows": (nothing, ask(channels=("telegraph",)), SEND),
    "empty texts": (nothing, ask(variants=variants({"subject": "", "text": ""}, {"subject": "", "text": ""})), SEND),
    "texts alike": (nothing, ask(variants=variants({"text": "same"}, {"text": "same"})), SEND),
    "no preferred hour in the window": (profile(timing_preferences={"preferred_hours": [3]}), ask(require_real_time=True), SEND),
    "every hour preferred": (profile(timing_preferences={"preferred_hours": list(range(24))}), ask(), SEND),
    "a window of a microsecond": (nothing, ask(send_window=SendWindow(earliest=NOW, latest=NOW + 1)), SEND),
    "a window of years": (nothing, ask(send_window=SendWindow(latest=NOW + 3_000 * DAY)), SEND),
    "a window from long ago": (
        nothing,
        ask(send_window=SendWindow(earliest=instant("1900-01-01T00:00:00Z"), latest=NOW + DAY)),
        SEND,
    ),
    "a window in the far future": (nothing, ask(send_window=SendWindow(earliest=instant("2499-12-01T00:00:00Z"))), SEND),
    "a window that ends before it begins": (
        nothing,
        ask(send_window=SendWindow(earliest=NOW + DAY, latest=NOW + HOUR)),
        "ineligible",
    ),
    "a window that is over": (nothing, ask(send_window=SendWindow(latest=NOW - 1)), "ineligible"),
    "a window without an instant": (nothing, ask(send_window=SendWindow(earliest=NOW + HOUR, latest=NOW + HOUR)), "ineligible"),
    "a window inside quiet hours": (
        config(quiet_hours=NIGHT),
        ask(send_window=SendWindow(earliest=NOW + 13 * HOUR, latest=NOW + 20 * HOUR)),
        "quiet_hours",
    ),
    "quiet all day": (config(quiet_hours={"start": "00:00", "end": "00:00"}), ask(), "quiet_hours"),
    "quiet by both together": (
        lambda service: (
            service.patch_config({"quiet_hours": {"start": "00:00", "end": "12:00"}}),
            service.put_profile("u", {"timing_preferences": {"quiet_hours": {"start": "12:00", "end": "00:00"}}}),
        ),
        ask(),
        "quiet_hours",
    ),
    "every channel unreachable": (profile(reachability={"email": False, "push": False}), ask(), "unreachable"),
    "every channel capped": (config(frequency_caps=[{"limit": 0, "period": "P1D"}]), ask(), "frequency_capped"),
    "every channel closed for another reason": (
        lambda service: (
            service.put_profile("u", {"reachability": {"email": False}}),
            service.patch_config({"frequency_caps": [{"limit": 0, "period": "P1D", "channel": "push"}]}),
        ),
        ask(),
        "frequency_capped",
    ),
    "every variant too long for every channel": (
        config(channels={"email": {"max_length": 3}, "push": {"max_length": 3}}),
        ask(),
        "ineligible",
    ),
    "html alone for a channel that shows none": (nothing, ask(content={"html": "<p>hi</p>"}, channels=("sms",)), "ineligible"),
    "nobody agreed": (config(consent_default="required"), ask(user_id=None), "no_consent"),
}


@pytest.mark.parametrize("case", DECISIONS)
def test_it_is_decided(service: PersonalizationService, case: str) -> None:
    prepare, request, wanted = DECISIONS[case]
    prepare(service)
    answer = decided(service, request)
    if wanted == SEND:
        assert (answer["action"], answer["suppression"]) == ("send", None)
        assert answer["variant_id"]
        assert answer["optimal_channels"]
    else:
        assert answer["action"] == "suppress"
        assert answer["suppression"]["reason"] == Suppression(wanted)


#: What no decision can be made of, and what the error names.
REFUSALS: dict[str, tuple[Prepare, PersonalizationRequest, type[PersonalizationError], str]] = {
    "a template that is not there": (nothing, ask(template_id="none"), NotFound, "template"),
    "a variable without a value": (
        nothing,
        ask(content={"text": "{{ city }} {{ user.name }}"}),
        MissingVariables,
        "city, user.name",
    ),
    "a text that is no template": (nothing, ask(content={"text": "{{ city"}), Invalid, "content.text"),
    "one text of many": (
        nothing,
        ask(variants=variants({"text": "ok"}, {"text": "{% if %}"})),
        Invalid,
        "variants.1.content.en.text",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_it_is_refused_with_what_to_change(service: PersonalizationService, case: str) -> None:
    prepare, request, error, names = REFUSALS[case]
    prepare(service)
    with pytest.raises(error) as refused:
        service.personalize(request)
    said = " ".join([str(refused.value), *(f"{one.field} {one.message}" for one in getattr(refused.value, "errors", ()))])
    assert names in said
    assert service.overview(None, None, None)["decisions"] == 0


def test_what_is_wrong_with_one_costs_the_others_of_its_batch_nothing(service: PersonalizationService) -> None:
    requests = [request for _, request, _ in DECISIONS.values()] + [request for _, request, _, _ in REFUSALS.values()]
    answers = service.personalize_many(requests)
    assert [isinstance(answer, PersonalizationError) for answer in answers] == [False] * len(DECISIONS) + [True] * len(REFUSALS)


# -- arms ------------------------------------------------------------------------------------------------------------


def lived(house: House, service: PersonalizationService, clock: ManualClock, n: int = 60, **fields: Any) -> None:
    """People are sent and click variant v1."""
    answers = [
        a.document for a in service.personalize_many([ask(user_id=f"p{i}", require_real_time=True, **fields) for i in range(n)])
    ]  # type: ignore[union-attr]
    service.record([clicked(a, clock.now(), f"e-{a['decision_id']}") for a in answers if a["variant_id"] == "v1"])
    clock.advance(SECOND)
    follow(house)


def test_arms_never_seen_are_decided_among_those_that_were(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    lived(house, service, clock)
    service.put_template("offer", template(variants=6, channels=["email", "push", "pigeon"]))
    service.patch_config({"exploration": 1.0})
    clock.advance(SECOND)
    seen = {decided(service, ask(user_id=f"q{i}"))["variant_id"] for i in range(60)}
    assert "v1" in seen
    assert seen & {"v3", "v4", "v5"}


def test_arms_that_left_are_not_missed(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    lived(house, service, clock)
    kept = template()["variants"][2:]
    service.put_template("offer", template() | {"variants": kept})
    clock.advance(SECOND)
    assert decided(service, ask())["variant_id"] == "v2"


def test_numbers_beyond_all_bounds_are_learned_from_and_leave_finite_answers(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    for value in (1e308, -1e308, math.inf, 10**400, 5e-324, 0):
        lived(house, service, clock, 20, context={"size": value})
    answer = decided(service, ask(explain=True, context={"size": 1e308}))
    assert all(math.isfinite(one["effect"]) for one in answer["explanation"]["contributions"])
    assert service.model("variants:offer")["performance_metrics"]["decisions"] == 120


def test_rewards_beyond_all_bounds_leave_finite_answers(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    for n, value in enumerate((1e300, -1e300, 5e-324, 0.0)):
        answer = service.personalize(ask(user_id=f"r{n}", require_real_time=True)).document
        service.record([clicked(answer, clock.now(), f"e{n}", type=EventType.REWARDED, value=value)])
    clock.advance(SECOND)
    follow(house)
    assert service.model("variants:offer")["performance_metrics"]["reward_range"] == [-1_000.0, 1_000.0]
    decided(service, ask(explain=True))


# -- clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "sentence"),
    [
        (-HOUR, "lies before the cited decision"),
        (-401 * DAY, "more than 400 days back"),
        (HOUR, "more than 10 minutes ahead"),
    ],
)
def test_an_event_out_of_time_is_refused_with_its_reason_and_costs_nothing(
    house: House, service: PersonalizationService, clock: ManualClock, offset: int, sentence: str
) -> None:
    answer = decided(service, ask(require_real_time=True))
    receipt = service.record([clicked(answer, clock.now() + offset, "bad"), clicked(answer, clock.now(), "good")])
    assert receipt.accepted == 1
    (index, errors), *more = receipt.rejected
    assert (index, errors[0].field, more) == (0, "occurred_at", [])
    assert sentence in errors[0].message
    clock.advance(SECOND)
    follow(house)
    assert service.model("variants:offer")["performance_metrics"]["rates"] == {"clicked": 1.0}


def test_an_old_event_finds_its_place(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    def uncited(event_id: str, at: int) -> EngagementEvent:
        return EngagementEvent(event_id=event_id, type=EventType.OPENED, user_id="u", occurred_at=at, channel="email")

    service.record([uncited(f"e{days}", clock.now() - days * DAY) for days in (0, 399, 3, 200)])
    follow(house)
    assert service.profile("u")["behavioral_patterns"]["interaction_patterns"]["events"] == 4
    assert service.user_insights("u")["behavioral_patterns"]["interaction_patterns"]["events"] == 4
    decided(service, ask())


def test_a_clock_that_goes_back_a_day_stops_nothing(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.patch_config({"frequency_caps": [{"limit": 2, "period": "P1D"}], "quiet_hours": NIGHT})
    lived(house, service, clock)
    clock.set(clock.now() - DAY)
    for n in range(5):
        answer = decided(service, ask(user_id=f"p{n}", explain=True))
        assert answer["action"] == "send" or answer["suppression"]["reason"] == "frequency_capped"
        assert service.record([clicked(answer, clock.now(), f"back{n}")]).rejected == []
        follow(house)
    clock.advance(2 * DAY)
    lived(house, service, clock)
    decided(service, ask())
    assert service.model("variants:offer")["performance_metrics"]["decisions"] > 60


def test_two_sends_of_one_instant_keep_their_caps(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.patch_config({"frequency_caps": [{"limit": 1, "period": "P1D"}]})
    actions = [decided(service, ask(require_real_time=True))["action"] for _ in range(3)]
    assert actions == ["send", "suppress", "suppress"]


# -- zones -----------------------------------------------------------------------------------------------------------

#: When these zones' clocks change: forward (a gap) and back (a fold); Kathmandu never does, and is off by quarters.
TURNS = {
    ("Europe/Berlin", "gap"): "2027-03-28T01:00:00Z",
    ("Europe/Berlin", "fold"): "2027-10-31T01:00:00Z",
    ("America/New_York", "gap"): "2027-03-14T07:00:00Z",
    ("America/New_York", "fold"): "2027-11-07T06:00:00Z",
    ("Australia/Lord_Howe", "gap"): "2027-10-02T15:30:00Z",
    ("Australia/Lord_Howe", "fold"): "2027-04-03T15:00:00Z",
    ("Asia/Kathmandu", "none"): "2027-03-28T01:00:00Z",
}


def local(text: str, name: str) -> datetime:
    """An answer's time, which must carry the zone's own offset of that instant."""
    said = datetime.fromisoformat(text)
    there = said.astimezone(UTC).astimezone(ZoneInfo(name))
    assert said.utcoffset() == there.utcoffset()
    return there


@pytest.mark.parametrize(("name", "kind"), TURNS)
def test_slots_are_right_where_clocks_change(service: PersonalizationService, clock: ManualClock, name: str, kind: str) -> None:
    """In steps of ten minutes through the change; quiet hours end at four in the morning."""
    turn = instant(TURNS[name, kind])
    before, after = (_there(at, name).utcoffset() or timedelta() for at in (turn - MINUTE, turn))
    assert {"gap": before < after, "fold": before > after, "none": before == after}[kind]
    service.patch_config({"quiet_hours": {"start": "22:00", "end": "04:00"}, "exploration": 1.0})
    service.put_profile("u", {"timezone": name})
    for steps in range(-9, 10):
        clock.set(turn + steps * 10 * MINUTE)
        answer = decided(service, ask(send_window=SendWindow(latest=clock.now() + 9 * HOUR)))
        at = local(answer["optimal_timing"], name)
        assert clock.now() <= instant(answer["optimal_timing"]) < clock.now() + 9 * HOUR
        assert 4 <= at.hour < 22
        real_time = decided(service, ask(require_real_time=True))
        quiet = not 4 <= _there(clock.now(), name).hour < 22
        assert (real_time["action"] == "suppress") is quiet
        if quiet:
            assert local(real_time["suppression"]["retry_at"], name).hour == 4


def _there(at: int, name: str) -> datetime:
    """By the standard library alone."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(ZoneInfo(name))


def test_a_hundred_time_zones_in_one_batch(service: PersonalizationService, clock: ManualClock) -> None:
    names = sorted(name for name in available_timezones() if "/" in name)[::4]
    assert len(names) >= 100
    service.patch_config({"quiet_hours": NIGHT})
    service.put_profiles([(name, {"timezone": name}) for name in names])
    for at in ("2026-11-23T10:17:00Z", "2027-03-27T23:59:59Z", "2027-10-31T00:30:00Z"):
        clock.set(instant(at))
        answers = service.personalize_many([ask(user_id=name) for name in names])
        for name, answer in zip(names, answers, strict=True):
            assert not isinstance(answer, PersonalizationError)
            assert 7 <= local(answer.document["optimal_timing"], name).hour < 22


def test_a_zone_that_is_none_is_refused(service: PersonalizationService) -> None:
    with pytest.raises(Invalid, match="timezone"):
        service.put_profile("u", {"timezone": "Mars/Olympus"})
    with pytest.raises(Invalid, match="timezone"):
        service.patch_config({"timezone": "Mars/Olympus"})
