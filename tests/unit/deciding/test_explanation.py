"""What an explanation says is what the deciding code computes, whatever was drawn."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from math import prod
from typing import Any

import msgspec
import numpy as np
import pytest

from personalization.clock import DAY, HOUR
from personalization.deciding.assembly import decide_many, record_of
from personalization.deciding.explanation import explanation
from personalization.deciding.feasible import prepare
from personalization.deciding.question import Question
from personalization.deciding.record import Inputs, Record, decode_record, encode_record
from personalization.deciding.stages import draw_many
from personalization.deciding.strategies import Capabilities
from personalization.errors import NotFound
from personalization.learning.encoding import Taken, channel_key, variant_acts
from personalization.learning.frequency import Losses
from personalization.learning.logistic import RewardModel
from personalization.learning.policy import Policy, decode_policy, encode_policy
from personalization.messages import SendWindow
from personalization.profile import Consent, TimingPreferences
from personalization.storage.base import Reservation
from personalization.template import Template
from personalization.tenant import ChannelSpec, FrequencyCap, QuietHours, RewardSpec, TenantConfig
from personalization.vocabulary import LearningMode
from tests.unit.deciding.test_feasible import NOW, asked, profile, question, template
from tests.unit.deciding.test_strategies import ENTERPRISE, OFFER, PERSON

FEATURES = prepare(question(OFFER, profile=PERSON, capabilities=ENTERPRISE)).inputs.features
NAMES = {key: f"feature {number}" for number, (key, _) in enumerate(FEATURES)}
LATE = TimingPreferences(quiet_hours=QuietHours(12 * 60, 18 * 60 + 30))


def taught(lost: int = 0) -> Policy:
    """Variant b, push and the evening do best; of nine messages in a week `lost` in ten drive somebody away."""
    rng, model, losses = np.random.default_rng(11), RewardModel(), Losses()
    rows = 1_500
    variants, channels, hours = rng.integers(2, size=rows), rng.integers(2, size=rows), rng.integers(168, size=rows)
    evening = (hours % 24 >= 16) & (hours % 24 < 20)
    odds = -2.0 + 1.0 * variants + 0.8 * channels + 1.2 * evening
    taken = [
        Taken(variant_acts("ab"[v], [("tone", "ab"[v])]), channel_key(("email", "push")[c]), int(h))
        for v, c, h in zip(variants, channels, hours, strict=True)
    ]
    rewards = (rng.random(rows) < 1.0 / (1.0 + np.exp(-odds))).astype(float)
    model.enter([FEATURES] * rows, taken, rewards.tolist(), [1.0] * rows)
    for number in range(1_000):
        losses.sent(number % 10, 1.0)
        if number % 10 >= 3 and number // 10 % 10 < lost:
            losses.changed(number % 10, 1.0, 0.0, 20.0)
    return decode_policy(encode_policy(model, {"exposed": 1.0}, losses.burden({})), 1, "m")


POLICY, DEAR = taught(), taught(lost=3)


def decided(
    *, policy: Policy = POLICY, of: Template = OFFER, config: TenantConfig | None = None, **changes: Any
) -> tuple[Question, Record]:
    request = changes.pop("request", None) or asked()
    wanted = {"profile": PERSON, "capabilities": ENTERPRISE, "snapshot_id": 1, **changes}
    one = question(of, config or TenantConfig(), request=msgspec.structs.replace(request, explain=True), **wanted)
    policy_of = lambda model_id, snapshot_id: policy  # noqa: E731
    return one, record_of(one, decide_many([one], [prepare(one)], policy_of)[0], policy_of, 1.0)


def told(record: Record, policy: Policy = POLICY) -> dict[str, Any]:
    return explanation(record, lambda model_id, snapshot_id: policy, NAMES)


def seed(number: int) -> bytes:
    return blake2b(str(number).encode(), digest_size=16).digest()


def exploring() -> Record:
    """One that did something else than the greedy action."""
    config = TenantConfig(exploration=0.9)
    records = (decided(config=config, seed=seed(number))[1] for number in range(100))
    return next(record for record in records if record.outcome.chosen != record.outcome.greedy)


# -- contributions ---------------------------------------------------------------------------------------------------


def logit(inputs: Inputs, policy: Policy, variant: int, channel: int, slot: int) -> float:
    """Of one triple, stage by stage from the policy's own scores, costs and reach counted."""
    features, method = inputs.features, inputs.method
    words = policy.variants([features], tuple(c.actions for c in inputs.candidates), method, inputs.shown)[0].scores
    keys = tuple(channel_key(option.name) for option in inputs.channels)
    where = policy.channels([(features, keys, tuple(o.preference for o in inputs.channels), (0.0,) * len(keys))], method)[0].scores
    when = policy.hours([(features, inputs.hours, inputs.habits)], method)[0].scores
    return policy.base(features) + policy.tired(inputs.load) + words[variant] + where[channel] + when[slot]


def test_effects_add_up_to_what_the_policy_holds_of_the_greedy_triple_against_the_mean_of_all() -> None:
    costless = TenantConfig(reward=RewardSpec(cost_weight=0.0))
    person = msgspec.structs.replace(PERSON, patterns=msgspec.structs.replace(PERSON.patterns, channels={}))
    record = decided(config=costless, profile=person)[1]
    inputs, greedy, found = record.inputs, record.outcome.greedy, told(record)
    assert greedy is not None
    open_slots = range(len(inputs.hours))
    every = [logit(inputs, POLICY, v, c, s) for v in range(2) for c in range(2) for s in open_slots]
    best = logit(inputs, POLICY, greedy.variant, greedy.channel, greedy.slot)
    assert found["greedy_logit"] == pytest.approx(best, abs=1e-6)
    assert found["baseline_logit"] == pytest.approx(sum(every) / len(every), abs=1e-6)
    assert sum(row["effect"] for row in found["contributions"]) == pytest.approx(best - sum(every) / len(every), abs=1e-6)
    assert found["expected_reward"] == pytest.approx(POLICY.value(best), abs=1e-6)


@pytest.mark.parametrize("policy", [POLICY, DEAR], ids=["careless", "dear"])
@pytest.mark.parametrize("strategies", [(), ("neural_content",), ("behavioral_adaptive",), ("predictive_optimization",)])
def test_effects_add_up_whatever_stages_take_part(policy: Policy, strategies: tuple[str, ...]) -> None:
    config = TenantConfig(channels={"email": ChannelSpec(cost=0.05), "push": ChannelSpec()})
    found = told(decided(policy=policy, config=config, request=asked(strategies=strategies))[1], policy)
    effects = sum(row["effect"] for row in found["contributions"])
    assert effects == pytest.approx(found["greedy_logit"] - found["baseline_logit"], abs=1e-6)
    assert len(found["contributions"]) <= 9


def test_each_stage_says_what_speaks_for_it() -> None:
    config = TenantConfig(channels={"email": ChannelSpec(cost=0.2), "push": ChannelSpec()})
    person = msgspec.structs.replace(
        PERSON, timing_preferences=TimingPreferences(preferred_hours=(17,)), channel_preferences={"push": 0.9, "email": 0.1}
    )
    rows = {row["feature"]: row["effect"] for row in told(decided(config=config, profile=person)[1])["contributions"]}
    assert {"variant b", "hour 17:00", "hour 17:00: habit", "channel push: cost"} <= set(rows)
    assert rows["variant b"] > 0.0
    assert rows["hour 17:00: habit"] > 0.0
    assert rows["channel push: cost"] > 0.0


def test_beyond_the_weightiest_eight_all_is_added_up() -> None:
    rows = told(decided()[1])["contributions"]
    assert rows[-1]["feature"] == "everything else"
    assert [abs(row["effect"]) for row in rows[:8]] == sorted((abs(row["effect"]) for row in rows[:8]), reverse=True)


def test_an_explanation_is_the_same_after_the_record_was_stored() -> None:
    record = exploring()
    assert told(decode_record(encode_record(record))) == told(record)


def test_without_the_snapshot_there_is_an_explanation_without_contributions() -> None:
    def retired(model_id: str, snapshot_id: int) -> Policy:
        raise NotFound("snapshot")

    found = explanation(decided()[1], retired, NAMES)
    assert (found["contributions"], found["stages"], found["greedy_logit"]) == ([], [], None)
    assert found["summary"]
    assert found["counterfactuals"]


# -- exploration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(30))
def test_the_stages_keep_the_greedy_action_as_often_as_all_together(number: int) -> None:
    record = decided(config=TenantConfig(exploration=0.6), seed=seed(number))[1]
    found = told(record)
    assert [row["stage"] for row in found["stages"]] == ["send", "variant", "channel", "timing"]
    assert prod(row["greedy_probability"] for row in found["stages"]) == pytest.approx(1.0 - found["exploration_probability"])
    for row in found["stages"]:
        if row["chosen"] == row["greedy"] and record.outcome.chosen == record.outcome.greedy:
            assert row["propensity"] == pytest.approx(row["greedy_probability"])


def test_an_exploring_decision_says_so_with_its_probability_and_what_certainty_would_do() -> None:
    record = exploring()
    found = told(record)
    certain = draw_many([msgspec.structs.replace(record.inputs, exploration=0)], lambda m, s: POLICY)[0]
    assert certain.chosen == record.outcome.greedy
    assert f"probability {record.outcome.joint:.1%}" in found["summary"]
    assert "explores to learn" in found["summary"]
    assert found["counterfactuals"][0]["if"] == "exploration were 0"
    greedy = found["greedy_action"]
    assert found["counterfactuals"][0]["then"].startswith(f"variant {greedy['variant_id']} by {greedy['channel']} at ")


def test_a_message_held_back_is_explained_by_what_it_would_cost() -> None:
    record = decided(policy=DEAR, config=TenantConfig(exploration=0.0))[1]
    found = told(record, DEAR)
    assert record.outcome.suppression == "fatigue"
    assert found["greedy_action"] == {"action": "suppress"}
    assert "more than it brings" in found["summary"]
    assert (found["stages"][0]["greedy"], found["stages"][0]["chosen"]) == ("suppress", "suppress")
    assert found["contributions"]
    unknown = next(row for row in found["counterfactuals"] if row["if"] == "nothing were known of the person")
    assert unknown["then"].startswith("variant ")


def test_a_send_that_certainty_would_hold_back_is_explained_as_exploration() -> None:
    records = [decided(policy=DEAR, config=TenantConfig(exploration=0.9), seed=seed(n))[1] for n in range(60)]
    sent = [record for record in records if record.outcome.chosen is not None and record.outcome.greedy is None]
    assert sent
    for record in sent:
        found = told(record, DEAR)
        assert "without exploration nothing would be sent" in found["summary"]
        assert found["stages"][0]["greedy_probability"] == pytest.approx(1.0 - record.outcome.explored)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (TenantConfig(holdout=1.0), "holdout"),
        (TenantConfig(learning_mode=LearningMode.APPRENTICE), "watches"),
        (TenantConfig(min_quality_score=1.0), "baseline"),
    ],
)
def test_a_baseline_that_goes_out_says_why(config: TenantConfig, word: str) -> None:
    held = decided(config=config, bucket=0.5, of=template("Hi {{ x | default: 'you' }}", "Ho {{ x | default: 'you' }}"))[1]
    found = told(held)
    assert word in found["summary"]
    assert found["exploration_probability"] == 0.0
    assert found["counterfactuals"]


# -- constraints and counterfactuals ---------------------------------------------------------------------------------


def greedy(one: Question, **changes: Any) -> str:
    """What the deciding code makes of a changed question, in words."""
    inputs = prepare(msgspec.structs.replace(one, **changes)).inputs
    found = draw_many([inputs], lambda model_id, snapshot_id: POLICY)[0].greedy
    assert found is not None
    hour = inputs.hours[found.slot] % 24
    return f"variant {inputs.candidates[found.variant].variant_id} by {inputs.channels[found.channel].name} at {hour:02}:00"


def test_quiet_hours_that_ended_sooner_would_let_it_go_sooner() -> None:
    person = msgspec.structs.replace(PERSON, timing_preferences=LATE)
    record = decided(profile=person)
    found = told(record[1])
    quiet = next(row for row in found["constraints"] if row["name"] == "quiet_hours")
    assert quiet == {"name": "quiet_hours", "channel": "*", "binding": True, "retry_at": "2026-11-23T18:30:00Z"}
    first = found["counterfactuals"][0]
    ended = first["if"].removeprefix("quiet hours ended at ")
    minutes = int(ended[:2]) * 60 + int(ended[3:])
    sooner = replace(LATE, quiet_hours=QuietHours(12 * 60, minutes))
    assert 12 * 60 < minutes < 18 * 60 + 30
    assert first["then"] == greedy(record[0], profile=msgspec.structs.replace(person, timing_preferences=sooner))
    assert "Bound by quiet hours." in found["summary"]


def test_quiet_hours_that_take_nothing_away_do_not_bind() -> None:
    person = msgspec.structs.replace(PERSON, timing_preferences=TimingPreferences(quiet_hours=QuietHours(0, 60)))
    found = told(decided(profile=person)[1])
    assert [(row["name"], row["binding"]) for row in found["constraints"]] == [("quiet_hours", False)]
    assert all("quiet" not in row["if"] for row in found["counterfactuals"])


def test_a_frequency_cap_says_what_would_go_without_it_and_when_it_lets_go() -> None:
    config = TenantConfig(frequency_caps=(FrequencyCap(limit=1, period=3 * DAY, channel="email"),))
    one, record = decided(config=config, reserved=[Reservation(NOW - HOUR, "email", "promotional")])
    found = told(record)
    assert found["constraints"] == [
        {"name": "frequency_cap", "channel": "email", "binding": True, "retry_at": "2026-11-26T09:00:00Z"}
    ]
    assert found["counterfactuals"][0] == {
        "if": "the frequency cap did not hold for email",
        "then": greedy(one, config=TenantConfig(), reserved=()),
    }


def test_a_refusal_names_what_emptied_the_set_and_what_would_fill_it() -> None:
    person = msgspec.structs.replace(
        PERSON, consent=Consent(channels={"email": False}), reachability={"push": False, "email": False}
    )
    found = told(decided(profile=person)[1])
    assert found["summary"].startswith("Nothing is sent: consent is missing.")
    bound = {(row["name"], row["channel"]): row["binding"] for row in found["constraints"]}
    assert bound == {("no_consent", "email"): True, ("unreachable", "email"): True, ("unreachable", "push"): True}
    assert found["counterfactuals"][0]["if"] == "email and push reached this person"
    assert found["counterfactuals"][0]["then"].startswith("variant b by push at ")
    assert all("consent" not in row["if"] for row in found["counterfactuals"])


def test_consent_for_the_better_channel_would_be_used() -> None:
    person = msgspec.structs.replace(PERSON, consent=Consent(channels={"email": False}))
    one, record = decided(profile=person)
    found = told(record)
    assert found["counterfactuals"][0] == {"if": "there were consent for email", "then": greedy(one, profile=PERSON)}


def test_a_channel_whose_limits_no_good_variant_keeps_is_a_constraint() -> None:
    config = TenantConfig(channels={"push": ChannelSpec(max_length=10)})
    found = told(decided(config=config, of=template("short", "much longer than ten characters"))[1])
    limits = [row for row in found["constraints"] if row["name"] == "channel_limit"]
    assert [row["channel"] for row in limits] == ["push"]


def test_a_variant_without_its_variables_is_a_constraint_and_never_a_text_with_a_hole() -> None:
    wanting = template("fine", "Hi {{ city }}")
    found = told(decided(of=wanting)[1])
    assert ("missing_variables", True) in [(row["name"], row["binding"]) for row in found["constraints"]]
    assert found["counterfactuals"][0]["if"] == "every variant had all its variables"
    assert found["counterfactuals"][0]["then"].startswith("variant b by ")


def test_the_feature_that_mattered_most_is_taken_away_and_it_is_decided_again() -> None:
    record = decided()[1]
    (one,) = [what for what in record.what_ifs if what.kind == "no_feature"]
    left = tuple(feature for feature in record.inputs.features if feature[0] != one.feature)
    assert len(left) == len(record.inputs.features) - 1
    again = draw_many([msgspec.structs.replace(record.inputs, features=left)], lambda m, s: POLICY)[0].greedy
    assert again is not None
    assert one.then.variant_id == record.inputs.candidates[again.variant].variant_id
    assert one.then.channel == record.inputs.channels[again.channel].name
    assert any(row["if"] == f"{NAMES[one.feature]} did not count" for row in told(record)["counterfactuals"])


def test_somebody_unknown_would_be_decided_for_without_a_profile() -> None:
    one, record = decided()
    (unknown,) = [what for what in record.what_ifs if what.kind == "unknown_person"]
    words = next(row["then"] for row in told(record)["counterfactuals"] if row["if"] == "nothing were known of the person")
    assert words.removeprefix("still ").startswith(greedy(one, profile=None, user_ref=None, reserved=()))
    assert unknown.then.at is not None


def test_at_most_four_counterfactuals_are_told_and_the_same_again() -> None:
    config = TenantConfig(
        exploration=0.9,
        quiet_hours=QuietHours(15 * 60, 20 * 60),
        frequency_caps=(FrequencyCap(limit=0, period=DAY, channel="push"),),
    )
    for number in range(20):
        first, again = (decided(config=config, seed=seed(number))[1] for _ in range(2))
        assert first == again
        assert 2 <= len(first.what_ifs) <= 4


def test_what_nobody_asked_to_be_explained_keeps_no_what_ifs_and_binds_nothing() -> None:
    one = question(OFFER, profile=msgspec.structs.replace(PERSON, timing_preferences=LATE), capabilities=ENTERPRISE)
    policy_of = lambda model_id, snapshot_id: POLICY  # noqa: E731
    record = record_of(one, decide_many([one], [prepare(one)], policy_of)[0], policy_of, 1.0)
    assert record.what_ifs == ()
    assert [(c.name, c.binding, c.retry_at) for c in record.constraints] == [("quiet_hours", False, None)]
    assert len(encode_record(record)) < 1_000


def test_a_closed_window_is_what_binds() -> None:
    found = told(decided(request=asked(send_window=SendWindow(latest=NOW - 1)))[1])
    assert [(row["name"], row["binding"]) for row in found["constraints"]] == [("send_window", True)]
    assert found["counterfactuals"][0]["if"] == "the send window were open"


def test_a_plain_profile_at_a_level_without_models_has_a_plain_explanation() -> None:
    found = told(decided(capabilities=Capabilities(), profile=profile())[1])
    assert found["contributions"] == []
    assert "what was declared decides" in found["summary"]
