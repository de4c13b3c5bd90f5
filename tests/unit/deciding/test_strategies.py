"""Each strategy switches on exactly what its table says, and says that it took part only where it did."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest

from personalization.clock import DAY, HOUR
from personalization.deciding.assembly import decide_many, record_of
from personalization.deciding.feasible import Prepared, prepare
from personalization.deciding.forecast import shares_of
from personalization.deciding.recommending import MOST, SENTENCES
from personalization.deciding.record import MILLE, PricedInputs, Record
from personalization.deciding.strategies import (
    BEHAVIOR,
    CONTEXT,
    DECLARED,
    FORECAST,
    GRANTS,
    HABIT,
    PRICES,
    REACH,
    STAGES,
    STRATEGIES,
    SYNC,
    TASTE,
    Capabilities,
    granted,
    switched,
)
from personalization.engines import behavior, context
from personalization.engines.reading import feature_of
from personalization.learning.policy import fresh_policy
from personalization.messages import LogEntry, PersonalizationRequest
from personalization.models.prices import Price, Pricing
from personalization.profile import Consent, PersonalizationProfile
from personalization.sent import message_key
from personalization.service import SERVICE_LEVELS
from personalization.tenant import Budget, TenantConfig
from personalization.vocabulary import LearningMode, ServiceLevel, Strategy
from tests.unit.deciding.test_feasible import NOW, asked, profile, question, template

ENTERPRISE, QUANTUM = SERVICE_LEVELS[ServiceLevel.ENTERPRISE], SERVICE_LEVELS[ServiceLevel.QUANTUM]
PRICING = Pricing({"push": Price(50_000, NOW + DAY)}, 7)
OFFER = template("one", "two")
OFFER = replace(OFFER, variants=tuple(replace(v, features={"tone": v.variant_id}) for v in OFFER.variants))
MOMENTS = {feature_of(name) for name in context.MOMENTS}
PACES = {feature_of(name) for name in behavior.PACES}


def lived() -> PersonalizationProfile:
    """Six pushes unanswered of late, a bounce, a mail read long ago, and the message m sent by push."""
    person = profile(timezone="UTC", traits={"plan": "pro"})
    rows = [("decided", "push", NOW - k * HOUR, f"d{k}") for k in range(1, 7)]
    rows += [("decided", "email", NOW - 5 * DAY, "old"), ("opened", "email", NOW - 5 * DAY + HOUR, "old")]
    rows.append(("bounced", "push", NOW - HOUR, "d1"))
    for seq, (type_, channel, at, decision) in enumerate(sorted(rows, key=lambda row: row[2]), 1):
        key = message_key(person.user_ref, "m") if decision == "d6" else None
        person = person.after(
            LogEntry(
                seq=seq,
                type=type_,
                at=at,
                recorded_at=at,
                user_ref=person.user_ref,
                channel=channel,
                decision_id=decision,
                message=key if type_ == "decided" else None,
                variant_id="a",
            )
        )
    return person


PERSON = lived()


def found(*strategies: str, capabilities: Capabilities = QUANTUM, **changes: object) -> Prepared:
    request = asked(strategies=strategies, message_id="another")
    wanted = {"profile": PERSON, "request": request, "capabilities": capabilities, "pricing": PRICING, **changes}
    return prepare(question(OFFER, TenantConfig(), **wanted))


def record(*strategies: str, capabilities: Capabilities = ENTERPRISE, **changes: object) -> Record:
    request = changes.pop("request", None) or asked(strategies=strategies)
    config = changes.pop("config", TenantConfig())
    of = changes.pop("of", OFFER)
    one = question(of, config, **{"profile": PERSON, "request": request, "capabilities": capabilities, **changes})  # type: ignore[arg-type]
    policy = lambda model_id, snapshot_id: fresh_policy(model_id)  # noqa: E731
    return record_of(one, decide_many([one], [prepare(one)], policy)[0], policy, 1.0)


def parts_of(prepared: Prepared) -> int:
    """The parts that can be seen to run, but for the forecast."""
    inputs, keys = prepared.inputs, {key for key, _ in prepared.inputs.features}
    return (
        inputs.stages
        | CONTEXT * bool(keys & MOMENTS)
        | BEHAVIOR * bool(keys & PACES)
        | SYNC * bool(prepared.took & SYNC)
        | HABIT * any(inputs.habits)
        | TASTE * any(option.preference for option in inputs.channels)
        | REACH * any(option.reach < MILLE for option in inputs.channels)
        | PRICES * isinstance(inputs, PricedInputs)
        | DECLARED * any(len(candidate.actions) > 1 for candidate in inputs.candidates)
    )


@pytest.mark.parametrize("strategy", Strategy)
def test_a_strategy_alone_switches_on_what_its_table_says_and_nothing_else(strategy: Strategy) -> None:
    switches = STRATEGIES[strategy].switches & ~FORECAST
    assert parts_of(found(strategy)) == switches


@pytest.mark.parametrize("strategy", Strategy)
def test_leaving_a_strategy_out_takes_away_what_no_other_one_switches_on(strategy: Strategy) -> None:
    others = tuple(str(name) for name in Strategy if name is not strategy)
    left = parts_of(found()) & ~parts_of(found(*others))
    alone = STRATEGIES[strategy].switches
    for name in others:
        alone &= ~STRATEGIES[Strategy(name)].switches
    assert left == alone & ~FORECAST


@pytest.mark.parametrize("strategy", Strategy)
def test_the_forecast_is_of_whoever_asks_for_predictions(strategy: Strategy) -> None:
    guesses = tuple(round(share, 4) for share in shares_of({}))
    assert (record(strategy).forecast != guesses) == bool(STRATEGIES[strategy].switches & FORECAST)


def test_every_capability_grants_something_and_the_tables_know_no_others() -> None:
    assert tuple(GRANTS) == (
        "variant_policy",
        "forecast",
        "send_time",
        "channel_choice",
        "send_choice",
        "channel_sync",
        "shadow_prices",
    )
    assert set(GRANTS) == set(Capabilities.__struct_fields__)
    assert set(STRATEGIES) == set(Strategy)
    everything = Capabilities(**dict.fromkeys(GRANTS, True))
    assert granted(everything) == switched(everything, ())


def test_higher_levels_grant_all_that_lower_ones_do() -> None:
    parts = [granted(SERVICE_LEVELS[level]) for level in ServiceLevel]
    assert all(lower & higher == lower for lower, higher in pairwise(parts))
    assert parts[0] == 0


@pytest.mark.parametrize("level", ServiceLevel)
def test_parts_of_a_level_are_those_it_grants(level: ServiceLevel) -> None:
    prepared = found(capabilities=SERVICE_LEVELS[level])
    assert parts_of(prepared) & STAGES == granted(SERVICE_LEVELS[level]) & STAGES
    assert parts_of(prepared) & ~(granted(SERVICE_LEVELS[level]) | DECLARED) == 0


def test_everything_that_took_part_is_named() -> None:
    assert record(request=asked(message_id="another")).strategies == (
        "neural_content",
        "behavioral_adaptive",
        "contextual_intelligence",
        "predictive_optimization",
        "cross_channel_sync",
    )


def test_an_engine_that_found_nothing_did_not_take_part() -> None:
    assert record(profile=profile()).strategies == ("neural_content", "contextual_intelligence", "predictive_optimization")
    assert record(of=template("one", "two"), profile=profile()).strategies == (
        "contextual_intelligence",
        "predictive_optimization",
    )


def test_where_nothing_is_left_to_choose_no_strategy_took_part() -> None:
    alone = template("one", channels=("email",))
    assert record(of=alone, request=asked(require_real_time=True)).strategies == ()
    assert record(of=alone).strategies != ()


@pytest.mark.parametrize(
    "changes",
    [
        {"config": TenantConfig(holdout=1.0), "bucket": 0.5},
        {"config": TenantConfig(holdout_no_send=1.0), "bucket": 0.5},
        {"config": TenantConfig(learning_mode=LearningMode.APPRENTICE)},
        {"profile": profile(consent=Consent(personalization=False))},
        {"profile": profile(consent=Consent(marketing=False))},
        {"capabilities": Capabilities()},
    ],
    ids=["holdout", "no send", "apprentice", "not personal", "no consent", "basic"],
)
def test_no_strategy_took_part_in_what_no_policy_decided(changes: dict[str, object]) -> None:
    assert record(**changes).strategies == ()


def test_a_duplicate_was_found_by_the_sync_alone() -> None:
    again = asked(message_id="m", escalate_after=12 * HOUR)
    found = record(request=again)
    assert found.outcome.suppression == "duplicate"
    assert found.strategies == ("cross_channel_sync",)


# -- recommendations -------------------------------------------------------------------------------------------------

FIRST = {level: ["basic", "standard", "premium", "enterprise", "quantum"].index(level) for level in ServiceLevel}


@pytest.mark.parametrize("strategy", [name for name in Strategy if STRATEGIES[name].switches])
@pytest.mark.parametrize("level", ServiceLevel)
def test_a_strategy_that_the_level_lacks_says_which_level_has_it(strategy: Strategy, level: ServiceLevel) -> None:
    codes = record(strategy, capabilities=SERVICE_LEVELS[level]).recommendations
    code = f"lacks_{strategy}"
    lacks = not STRATEGIES[strategy].switches & granted(SERVICE_LEVELS[level])
    assert (code in codes) == lacks
    if lacks:
        named = next(one for one in ServiceLevel if f"level {one} " in SENTENCES[code])
        assert STRATEGIES[strategy].switches & granted(SERVICE_LEVELS[named])
        assert FIRST[named] > FIRST[level]


def test_a_strategy_that_is_not_built_yet_says_so_at_every_level() -> None:
    for level in ServiceLevel:
        found = record(Strategy.EMOTIONAL_RESONANCE, capabilities=SERVICE_LEVELS[level])
        assert found.recommendations[0] == "lacks_emotional_resonance"
        assert found.strategies == ()
    assert "lacks_emotional_resonance" not in record().recommendations


def wishes(**changes: object) -> tuple[str, ...]:
    quiet = {"config": TenantConfig(holdout=0.05, holdout_no_send=0.05), "profile": PERSON}
    return record(**{**quiet, **changes}).recommendations


def test_whoever_has_told_everything_hears_only_that_nobody_engaged_yet() -> None:
    told = msgspec.structs.replace(PERSON, language="en")
    assert wishes(profile=told) == ("no_engagement",)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"request": PersonalizationRequest(tenant_id="t", template_id="offer"), "profile": None}, "anonymous"),
        ({"profile": None}, "unknown_user"),
        ({"profile": profile(traits={"a": 1})}, "no_timezone"),
        ({"profile": msgspec.structs.replace(PERSON, language=None)}, "no_language"),
        ({"profile": profile(timezone="UTC")}, "no_traits"),
        ({"of": template("one")}, "one_variant"),
        ({"of": template("one", "two")}, "no_declared_features"),
        ({"config": TenantConfig()}, "no_holdout"),
        ({"config": TenantConfig(holdout=0.05)}, "no_send_holdout"),
        ({"config": TenantConfig(exploration=0.0)}, "no_exploration"),
        (
            {"config": TenantConfig(holdout=0.05, holdout_no_send=0.05, budgets=(Budget(channel="sms", limit=9, period=DAY),))},
            "budgets_need_prices",
        ),
        ({"request": asked(strategies=("neural_content",))}, "neural_content_chooses"),
        ({"request": asked(strategies=("cross_channel_sync",))}, "sync_needs_message"),
    ],
)
def test_what_is_missing_is_recommended(changes: dict[str, object], code: str) -> None:
    assert code in wishes(**changes)
    assert code not in wishes()


def test_a_quality_that_no_variant_reaches_comes_first_and_there_are_never_more_than_five() -> None:
    many = record(
        "cross_channel_sync",
        request=PersonalizationRequest(
            tenant_id="t", template_id="offer", strategies=("cross_channel_sync",), min_quality_score=1.0
        ),
        config=TenantConfig(exploration=0.0),
        profile=None,
        of=replace(template("Hi {{ x | default: 'you' }}", "Ho {{ x | default: 'you' }}")),
    ).recommendations
    assert many[0] == "quality_below"
    assert len(many) == MOST
    places = [list(SENTENCES).index(code) for code in many]
    assert places == sorted(places)
