"""What a decision may choose, seen through prepare()."""

from dataclasses import replace

import msgspec
import pytest

from personalization.clock import DAY, HOUR, instant, rfc3339
from personalization.deciding.feasible import Prepared, prepare
from personalization.deciding.planning import plan_of
from personalization.deciding.question import Question
from personalization.deciding.stages import draw_many
from personalization.deciding.strategies import Capabilities
from personalization.errors import MissingVariables
from personalization.learning.policy import fresh_policy
from personalization.messages import PersonalizationRequest, SendWindow
from personalization.profile import Consent, FrequencyPreferences, PersonalizationProfile, TimingPreferences
from personalization.storage.base import Reservation
from personalization.template import Template, Variant
from personalization.tenant import ChannelSpec, FrequencyCap, QuietHours, TenantConfig
from personalization.vocabulary import Category, ConsentDefault, LearningMode, Mode, Priority

NOW = instant("2026-11-23T10:00:00Z")
EVERYTHING = Capabilities(variant_policy=True, forecast=True, send_time=True, channel_choice=True)
NIGHT = QuietHours(22 * 60, 7 * 60)


def template(*texts: str, **changes: object) -> Template:
    variants = tuple(Variant(variant_id="abcdef"[i], content={"en": {"text": text}}) for i, text in enumerate(texts))
    base = Template(
        tenant_id="t",
        template_id="offer",
        version=1,
        name="offer",
        variants=variants,
        baseline_variant_id="a",
        channels=("email", "push"),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def profile(**changes: object) -> PersonalizationProfile:
    return PersonalizationProfile(tenant_id="t", user_ref=b"u" * 16, version=1, language="en", **changes)  # type: ignore[arg-type]


def question(of: Template | None = None, config: TenantConfig | None = None, **changes: object) -> Question:
    of, config = of or template("one", "two"), config or TenantConfig()
    base = Question(
        request=PersonalizationRequest(tenant_id="t", user_id="u", template_id="offer"),
        decision_id="d",
        seed=b"s" * 16,
        now=NOW,
        config=config,
        level="enterprise",
        capabilities=EVERYTHING,
        plan=plan_of(of, config, "en", ()),
        model_id="m",
        snapshot_id=0,
        user_ref=b"u" * 16,
        profile=profile(),
        values={"user": {}},
    )
    return msgspec.structs.replace(base, **changes)


def asked(**changes: object) -> PersonalizationRequest:
    return PersonalizationRequest(tenant_id="t", user_id="u", template_id="offer", **changes)  # type: ignore[arg-type]


def channels(found: Prepared) -> list[str]:
    return [option.name for option in found.inputs.channels]


def slots(found: Prepared, channel: int = 0) -> list[str]:
    one = found.inputs
    mask = int.from_bytes(one.channels[channel].slots, "little")
    times = [one.earliest, *(one.first_hour + k * HOUR for k in range(200))]
    return [rfc3339(times[k]) for k in range(mask.bit_length()) if mask >> k & 1]


def test_all_variants_and_channels_are_feasible_when_nothing_forbids_them() -> None:
    found = prepare(question())
    assert [c.variant_id for c in found.inputs.candidates] == ["a", "b"]
    assert channels(found) == ["email", "push"]
    assert len(slots(found)) == 24
    assert found.mode is Mode.ONLINE
    assert found.trains


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        (profile(reachability={"email": False, "push": False}), "unreachable"),
        (profile(consent=Consent(channels={"email": False, "push": False})), "no_consent"),
        (profile(consent=Consent(marketing=False)), "no_consent"),
        (profile(consent=Consent(marketing_channels={"email": False}), reachability={"push": False}), "no_consent"),
    ],
)
def test_no_open_channel_is_a_suppression_with_its_reason(person: PersonalizationProfile, reason: str) -> None:
    found = prepare(question(profile=person))
    assert found.inputs.refusal == reason
    assert found.inputs.candidates == ()
    assert not found.trains


def test_marketing_consent_is_not_needed_for_transactional_messages() -> None:
    receipt = template("one", category=Category.TRANSACTIONAL)
    person = profile(consent=Consent(marketing=False, marketing_channels={"email": False}))
    assert channels(prepare(question(receipt, profile=person))) == ["email", "push"]


def test_consent_that_must_be_given_closes_everything_until_it_is() -> None:
    config = TenantConfig(consent_default=ConsentDefault.REQUIRED)
    assert prepare(question(config=config)).inputs.refusal == "no_consent"
    assert prepare(question(config=config, profile=None)).inputs.refusal == "no_consent"
    granted = profile(consent=Consent(marketing=True, personalization=True, learning=True))
    assert prepare(question(config=config, profile=granted)).inputs.refusal is None


def test_quiet_hours_leave_the_slots_outside_them() -> None:
    found = prepare(question(config=TenantConfig(quiet_hours=NIGHT)))
    assert slots(found)[11] == "2026-11-23T21:00:00Z"
    assert slots(found)[12] == "2026-11-24T07:00:00Z"


def test_a_window_inside_quiet_hours_is_suppressed_until_they_end() -> None:
    request = asked(send_window=SendWindow(earliest=NOW + 13 * HOUR, latest=NOW + 15 * HOUR))
    found = prepare(question(config=TenantConfig(quiet_hours=NIGHT), request=request))
    assert found.inputs.refusal == "quiet_hours"
    assert rfc3339(found.inputs.retry_at or 0) == "2026-11-24T07:00:00Z"
    own = profile(timing_preferences=TimingPreferences(quiet_hours=NIGHT))
    assert prepare(question(profile=own, request=request)).inputs.refusal == "quiet_hours"


@pytest.mark.parametrize(
    "request_",
    [asked(require_real_time=True), asked(priority=Priority.URGENT), asked(priority=Priority.CRITICAL), asked()],
)
def test_some_messages_go_now(request_: PersonalizationRequest) -> None:
    message = template("one", category=Category.TRANSACTIONAL if request_ == asked() else Category.PROMOTIONAL)
    assert slots(prepare(question(message, request=request_))) == ["2026-11-23T10:00:00Z"]


def test_transactional_messages_pass_caps_holdout_and_quiet_hours() -> None:
    config = TenantConfig(frequency_caps=(FrequencyCap(limit=0, period=DAY),), holdout=1.0, quiet_hours=QuietHours(0, 0))
    found = prepare(question(template("one", "two", category=Category.TRANSACTIONAL), config, bucket=0.0))
    assert found.inputs.refusal is None
    assert found.mode is Mode.ONLINE


def test_a_full_cap_suppresses_until_the_oldest_send_is_a_period_old() -> None:
    config = TenantConfig(frequency_caps=(FrequencyCap(limit=1, period=2 * DAY),))
    found = prepare(question(config=config, reserved=[Reservation(NOW - HOUR, "email", "promotional")]))
    assert found.inputs.refusal == "frequency_capped"
    assert rfc3339(found.inputs.retry_at or 0) == "2026-11-25T09:00:00Z"


def test_a_cap_leaves_the_slots_that_come_a_period_later() -> None:
    config = TenantConfig(frequency_caps=(FrequencyCap(limit=1, period=DAY),))
    found = prepare(question(config=config, reserved=[Reservation(NOW - 20 * HOUR, "email", "promotional")]))
    assert slots(found)[0] == "2026-11-23T14:00:00Z"


def test_a_cap_of_one_channel_leaves_the_others() -> None:
    config = TenantConfig(frequency_caps=(FrequencyCap(limit=1, period=7 * DAY, channel="email"),))
    assert channels(prepare(question(config=config, reserved=[Reservation(NOW, "email", "promotional")]))) == ["push"]


def test_a_person_may_cap_messages_too() -> None:
    person = profile(frequency_preferences=FrequencyPreferences(max_per_week=1))
    found = prepare(question(profile=person, reserved=[Reservation(NOW - DAY, "sms", "promotional")]))
    assert found.inputs.refusal == "frequency_capped"
    never = profile(frequency_preferences=FrequencyPreferences(max_per_day=0))
    found = prepare(question(profile=never))
    assert found.inputs.refusal == "frequency_capped"
    assert found.inputs.retry_at is None


def test_a_variant_without_its_variables_is_out_and_none_left_is_an_error() -> None:
    found = prepare(question(template("Hi {{ user.first_name }}", "Hello")))
    assert [c.variant_id for c in found.inputs.candidates] == ["b"]
    with pytest.raises(MissingVariables) as error:
        prepare(question(template("Hi {{ user.first_name }}", "{{ city }}")))
    assert error.value.names == ("city", "user.first_name")


def test_a_text_goes_only_by_channels_it_fits() -> None:
    config = TenantConfig(channels={"push": ChannelSpec(max_length=20)})
    found = prepare(question(template("short", "a text that is much longer than twenty characters"), config))
    assert [c.channels for c in found.inputs.candidates] == [0b11, 0b01]


def test_below_the_wanted_quality_the_baseline_is_returned() -> None:
    french = Template(
        tenant_id="t",
        template_id="x",
        version=1,
        name="x",
        baseline_variant_id="b",
        default_language="fr",
        variants=(
            Variant(variant_id="a", content={"fr": {"text": "bonjour"}}),
            Variant(variant_id="b", content={"fr": {"text": "salut"}}),
        ),
    )
    found = prepare(question(french, request=asked(min_quality_score=0.9)))
    assert found.mode is Mode.BASELINE
    assert found.quality_failed
    assert [c.variant_id for c in found.inputs.candidates] == ["b"]


def test_a_holdout_is_a_share_of_users_kept_on_the_baseline() -> None:
    config = TenantConfig(holdout=0.2, holdout_no_send=0.1)
    assert prepare(question(config=config, bucket=0.05)).inputs.refusal == "holdout"
    held = prepare(question(config=config, bucket=0.25))
    assert held.mode is Mode.HOLDOUT
    assert not held.trains
    assert prepare(question(config=config, bucket=0.35)).mode is Mode.ONLINE


def test_who_is_drawn_to_get_nothing_teaches_what_comes_without_a_message_if_they_consent() -> None:
    config = TenantConfig(holdout_no_send=0.1)
    held = prepare(question(config=config, bucket=0.05))
    assert held.trains
    assert held.inputs.features == prepare(question(config=config, bucket=0.5)).inputs.features != ()
    assert not prepare(question(config=config, bucket=0.05, profile=profile(consent=Consent(learning=False)))).trains
    off = TenantConfig(holdout_no_send=0.1, learning_mode=LearningMode.OFF)
    assert not prepare(question(config=off, bucket=0.05)).trains


def test_a_held_back_message_goes_by_the_first_reachable_listed_channel_at_the_earliest_slot() -> None:
    person = profile(
        reachability={"email": False},
        channel_preferences={"push": 0.1},
        timing_preferences=TimingPreferences(preferred_hours=(18,)),
    )
    found = prepare(question(config=TenantConfig(learning_mode=LearningMode.APPRENTICE), profile=person))
    outcome = draw_many([found.inputs], lambda model_id, snapshot_id: fresh_policy(model_id))[0]
    assert outcome.chosen is not None
    assert found.inputs.candidates[outcome.chosen.variant].variant_id == "a"
    assert found.inputs.channels[outcome.chosen.channel].name == "push"
    assert outcome.chosen.slot == 0
    assert outcome.shadow is not None


@pytest.mark.parametrize(
    ("config", "person", "mode", "trains"),
    [
        (TenantConfig(), profile(), Mode.ONLINE, True),
        (TenantConfig(exploration=0.0), profile(), Mode.GREEDY, True),
        (TenantConfig(learning_mode=LearningMode.OFF), profile(), Mode.GREEDY, False),
        (TenantConfig(learning_mode=LearningMode.APPRENTICE), profile(), Mode.APPRENTICE, False),
        (TenantConfig(), profile(consent=Consent(learning=False)), Mode.GREEDY, False),
        (TenantConfig(), profile(consent=Consent(personalization=False)), Mode.BASELINE, False),
    ],
)
def test_the_mode_says_how_the_action_came_about(
    config: TenantConfig, person: PersonalizationProfile, mode: Mode, trains: bool
) -> None:
    found = prepare(question(config=config, profile=person))
    assert (found.mode, found.trains) == (mode, trains)


def test_without_consent_to_personalization_nothing_of_the_person_is_read() -> None:
    person = profile(
        consent=Consent(personalization=False),
        traits={"plan": "pro"},
        channel_preferences={"push": 1.0},
        timing_preferences=TimingPreferences(preferred_hours=(18,)),
    )
    found = prepare(question(profile=person))
    assert found.inputs.features == ()
    assert found.inputs.stages == 0


def test_the_basic_level_keeps_to_what_was_declared() -> None:
    person = profile(channel_preferences={"push": 0.9, "email": 0.1}, timing_preferences=TimingPreferences(preferred_hours=(18,)))
    found = prepare(question(profile=person, capabilities=Capabilities()))
    outcome = draw_many([found.inputs], lambda model_id, snapshot_id: fresh_policy(model_id))[0]
    assert outcome.chosen is not None
    assert found.mode is Mode.BASELINE
    assert found.inputs.channels[outcome.chosen.channel].name == "push"
    assert outcome.chosen.slot == 8
    assert outcome.joint == 1.0


def test_a_window_that_has_passed_leaves_nothing() -> None:
    found = prepare(question(request=asked(send_window=SendWindow(latest=NOW - 1))))
    assert found.inputs.refusal == "ineligible"
