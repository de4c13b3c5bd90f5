"""Laws of every constraint of the feasible set: what it forbids is never drawn, what it leaves is, and it says so.

`tests/house/test_laws.py` fails when a constraint has no line in CONSTRAINTS.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from personalization.clock import DAY, HOUR, MINUTE, instant, utc_offset, zone
from personalization.deciding.asking import question_of
from personalization.deciding.feasible import prepare
from personalization.deciding.planning import plan_of
from personalization.deciding.question import Question
from personalization.deciding.record import Inputs, Triple
from personalization.deciding.slots import slot_time
from personalization.deciding.stages import draw_many
from personalization.learning.policy import fresh_policy
from personalization.messages import LogEntry, PersonalizationRequest, SendWindow
from personalization.models.prices import MOST, Price, Pricing
from personalization.profile import Consent, PersonalizationProfile
from personalization.sent import message_key
from personalization.service import SERVICE_LEVELS
from personalization.storage.base import Reservation
from personalization.template import Template, Variant
from personalization.tenant import ChannelSpec, FrequencyCap, QuietHours, TenantConfig
from personalization.vocabulary import Category, ServiceLevel, Suppression

NOW = instant("2026-11-23T10:20:00Z")
REF, ZONE = b"u" * 16, "Asia/Kathmandu"
NIGHT = QuietHours(22 * 60, 7 * 60)
ONE_A_DAY = (FrequencyCap(limit=1, period=DAY, channel="email"),)
ALWAYS = QuietHours(0, 0)
ALIKE = {"a": {"en": "aa"}, "b": {"en": "bb"}}


def question(
    config: dict[str, Any] | None = None,
    person: dict[str, Any] | None = None,
    reserved: tuple[Reservation, ...] = (),
    category: Category = Category.PROMOTIONAL,
    texts: dict[str, dict[str, str]] | None = None,
    bucket: float = 1.0,
    level: ServiceLevel = ServiceLevel.ENTERPRISE,
    **request: Any,
) -> Question:
    """texts: variant -> language -> text"""
    tenant = TenantConfig(exploration=1.0, **(config or {}))
    template = Template(
        tenant_id="t",
        template_id="offer",
        version=1,
        name="offer",
        baseline_variant_id="a",
        channels=("email", "push"),
        category=category,
        variants=tuple(
            Variant(variant_id=name, content={language: {"text": text} for language, text in content.items()})
            for name, content in (texts or ALIKE).items()
        ),
    )
    asked = question_of(
        PersonalizationRequest(tenant_id="t", user_id="u", template_id="offer", decision_id="d", **request),
        level=level,
        capabilities=SERVICE_LEVELS[level],
        config=tenant,
        now=NOW,
        salt=b"salt",
        new_id=str,
        plan=plan_of(template, tenant, "en", ()),
        snapshot_id=0,
        user_ref=REF,
        profile=profile(**(person or {})),
        cache_hit=False,
    )
    return replace(asked, reserved=reserved, bucket=bucket)


def profile(*rows: LogEntry, **declared: Any) -> PersonalizationProfile:
    person = PersonalizationProfile(tenant_id="t", user_ref=REF, version=1, timezone=ZONE, **declared)
    for row in rows:
        person = person.after(row)
    return person


def messaged(read: bool) -> PersonalizationProfile:
    """Message m went out by email six hours ago."""
    row = {"user_ref": REF, "channel": "email", "decision_id": "m1"}
    at = NOW - 6 * HOUR
    key = message_key(REF, "m")
    rows = [LogEntry(seq=1, type="decided", at=at, recorded_at=at, message=key, variant_id="b", template_id="offer", **row)]  # type: ignore[arg-type]
    if read:
        rows.append(LogEntry(seq=2, type="opened", at=at + HOUR, recorded_at=at + HOUR, **row))  # type: ignore[arg-type]
    return profile(*rows)


# -- what each forbids, said independently ---------------------------------------------------------------------------

Keeps = Callable[[Inputs, Triple], bool]


def at_of(inputs: Inputs, drawn: Triple) -> int:
    return slot_time(inputs.earliest, inputs.first_hour, drawn.slot)


def not_by_email(inputs: Inputs, drawn: Triple) -> bool:
    return inputs.channels[drawn.channel].name == "push"


def by_day(inputs: Inputs, drawn: Triple) -> bool:
    at = at_of(inputs, drawn)
    return 7 * 60 <= (at + utc_offset(at, zone(ZONE))) // MINUTE % 1440 < 22 * 60


def a_day_apart(inputs: Inputs, drawn: Triple) -> bool:
    return inputs.channels[drawn.channel].name != "email" or abs(at_of(inputs, drawn) - RESERVED.slot_at) >= DAY


def within(inputs: Inputs, drawn: Triple) -> bool:
    return NOW + 2 * HOUR <= at_of(inputs, drawn) < NOW + 5 * HOUR


def only_a(inputs: Inputs, drawn: Triple) -> bool:
    return inputs.candidates[drawn.variant].variant_id == "a"


def not_b_by_push(inputs: Inputs, drawn: Triple) -> bool:
    return only_a(inputs, drawn) or inputs.channels[drawn.channel].name == "email"


def the_baseline(inputs: Inputs, drawn: Triple) -> bool:
    """By the first channel, now."""
    return only_a(inputs, drawn) and inputs.channels[drawn.channel].name == "email" and at_of(inputs, drawn) == NOW


class Law(NamedTuple):
    """some  : it leaves something             keeps  : whether an action obeys it
    all   : it leaves nothing, for this reason; None where it cannot        binds : and it says that it bound
    alone : all it leaves is one action
    """

    some: Question
    keeps: Keeps
    all: Question | None = None
    reason: Suppression | None = None
    binds: bool = True
    alone: bool = False


RESERVED = Reservation(NOW - 20 * HOUR, "email", "promotional")
CONSTRAINTS: dict[str, Law] = {
    "send_window": Law(
        question(send_window=SendWindow(earliest=NOW + 2 * HOUR, latest=NOW + 5 * HOUR)),
        within,
        question(send_window=SendWindow(latest=NOW - 1)),
        Suppression.INELIGIBLE,
    ),
    "quiet_hours": Law(
        question({"quiet_hours": NIGHT}),
        by_day,
        question({"quiet_hours": NIGHT}, send_window=SendWindow(earliest=NOW + 7 * HOUR, latest=NOW + 9 * HOUR)),
        Suppression.QUIET_HOURS,
    ),
    "frequency_cap": Law(
        question({"frequency_caps": ONE_A_DAY}, reserved=(RESERVED,)),
        a_day_apart,
        question({"frequency_caps": (FrequencyCap(limit=1, period=3 * DAY),)}, reserved=(RESERVED,)),
        Suppression.FREQUENCY_CAPPED,
    ),
    Suppression.NO_CONSENT: Law(
        question(person={"consent": Consent(channels={"email": False})}),
        not_by_email,
        question(person={"consent": Consent(marketing=False)}),
        Suppression.NO_CONSENT,
    ),
    Suppression.UNREACHABLE: Law(
        question(person={"reachability": {"email": False}}),
        not_by_email,
        question(person={"reachability": {"email": False, "push": False}}),
        Suppression.UNREACHABLE,
    ),
    Suppression.DUPLICATE: Law(
        replace(question(message_id="m"), profile=messaged(read=False)),
        not_by_email,
        replace(question(message_id="m"), profile=messaged(read=True)),
        Suppression.DUPLICATE,
    ),
    "missing_variables": Law(question(texts={"a": {"en": "hi"}, "b": {"en": "hi {{ name }}"}}), only_a),
    "channel_limit": Law(
        question({"channels": {"push": ChannelSpec(max_length=3)}}, texts={"a": {"en": "hi"}, "b": {"en": "hello"}}),
        not_b_by_push,
        question({"channels": {name: ChannelSpec(max_length=1) for name in ("email", "push")}}),
        Suppression.INELIGIBLE,
    ),
    "budget": Law(replace(question(level=ServiceLevel.QUANTUM), pricing=Pricing({"email": Price(MOST, NOW + 1)})), not_by_email),
    "min_quality_score": Law(question(texts={"a": {"en": "hi"}, "b": {"fr": "salut"}}, min_quality_score=0.9), only_a),
    "holdout": Law(
        question({"holdout": 0.5}, bucket=0.4),
        the_baseline,
        question({"holdout_no_send": 0.5}, bucket=0.4),
        Suppression.HOLDOUT,
        binds=False,
        alone=True,
    ),
    "personalization_consent": Law(question(person={"consent": Consent(personalization=False)}), the_baseline, alone=True),
}

every_constraint = pytest.mark.parametrize("name", CONSTRAINTS)
every_refusal = pytest.mark.parametrize("name", [name for name, law in CONSTRAINTS.items() if law.all is not None])


def drawn(question: Question, n: int = 150) -> tuple[Inputs, set[Triple | None]]:
    """Everything that n seeds choose at full exploration."""
    inputs = prepare(question).inputs
    seeds = [replace(inputs, seed=i.to_bytes(16, "big")) for i in range(n)]
    return inputs, {one.chosen for one in draw_many(seeds, lambda model_id, snapshot_id: fresh_policy(model_id))}


@every_constraint
def test_what_it_forbids_is_never_drawn_and_what_it_leaves_is(name: str) -> None:
    law = CONSTRAINTS[name]
    inputs, actions = drawn(law.some)
    assert (len(actions) == 1) is law.alone
    assert all(action is not None and law.keeps(inputs, action) for action in actions)


@every_constraint
def test_without_it_something_else_would_be_drawn(name: str) -> None:
    """So that the law above is not kept for another reason."""
    law = CONSTRAINTS[name]
    inputs, actions = drawn(question())
    assert not all(action is not None and law.keeps(inputs, action) for action in actions)


@every_refusal
def test_where_it_leaves_nothing_it_is_the_reason_and_says_so(name: str) -> None:
    law = CONSTRAINTS[name]
    assert law.all is not None
    found = prepare(law.all)
    assert (found.inputs.refusal, found.inputs.candidates, found.inputs.channels) == (law.reason, (), ())
    assert found.trains == (name == "holdout"), "only who was drawn to get nothing teaches what comes without a message"
    assert (name, law.binds) in {(one.name, one.binding) for one in found.constraints}
    outcome = draw_many([found.inputs], lambda model_id, snapshot_id: fresh_policy(model_id))[0]
    assert (outcome.chosen, outcome.suppression, outcome.joint) == (None, law.reason, 1.0)


@every_constraint
def test_it_is_named_where_it_takes_something_away(name: str) -> None:
    named = {one.name for one in prepare(CONSTRAINTS[name].some).constraints}
    assert (name in named) is (name != "send_window")  # which only says where the slots lie


@pytest.mark.parametrize("name", ["quiet_hours", "frequency_cap"])
def test_asked_again_at_the_time_it_named_it_refuses_no_more(name: str) -> None:
    law = CONSTRAINTS[name]
    assert law.all is not None
    at = prepare(law.all).inputs.retry_at
    assert at is not None
    assert at > NOW
    later = replace(law.all, now=at, request=replace(law.all.request, send_window=None))
    assert prepare(later).inputs.refusal is None
    before = replace(later, now=at - MINUTE, request=replace(later.request, require_real_time=True))
    assert prepare(before).inputs.refusal == law.reason


@every_refusal
def test_only_what_passes_with_time_names_a_time(name: str) -> None:
    law = CONSTRAINTS[name]
    assert law.all is not None
    assert (prepare(law.all).inputs.retry_at is not None) is (name in ("quiet_hours", "frequency_cap"))


@every_constraint
def test_the_same_question_has_the_same_answer_and_is_not_altered(name: str) -> None:
    for asked in filter(None, (CONSTRAINTS[name].some, CONSTRAINTS[name].all)):
        kept = deepcopy((asked.request, asked.profile, asked.config, tuple(asked.reserved), dict(asked.values)))
        assert prepare(asked) == prepare(asked)
        assert (asked.request, asked.profile, asked.config, tuple(asked.reserved), dict(asked.values)) == kept


@every_constraint
def test_another_constraint_never_lets_more_through(name: str) -> None:
    """Each alone, then together with everyone else's configuration and person."""
    law = CONSTRAINTS[name]
    free = feasible(law.some)
    for config in ({"quiet_hours": NIGHT}, {"frequency_caps": ONE_A_DAY}):
        tighter = replace(law.some, config=TenantConfig(**{**fields(law.some.config), **config}), reserved=(RESERVED,))
        assert feasible(tighter) <= free


def fields(config: TenantConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def feasible(question: Question) -> set[tuple[str, str, int]]:
    """(variant, channel, time) of everything that may be drawn."""
    inputs = prepare(question).inputs
    return {
        (candidate.variant_id, channel.name, slot_time(inputs.earliest, inputs.first_hour, k))
        for candidate in inputs.candidates
        for i, channel in enumerate(inputs.channels)
        if candidate.channels >> i & 1
        for k in range(len(inputs.hours))
        if int.from_bytes(channel.slots, "little") >> k & 1
    }


@pytest.mark.parametrize("name", ["quiet_hours", "frequency_cap"])
def test_a_transactional_message_passes(name: str) -> None:
    config = {"quiet_hours": {"quiet_hours": ALWAYS}, "frequency_cap": {"frequency_caps": (FrequencyCap(limit=0, period=DAY),)}}
    assert prepare(question(config[name])).inputs.refusal == CONSTRAINTS[name].reason
    assert prepare(question(config[name], category=Category.TRANSACTIONAL)).inputs.refusal is None


@pytest.mark.parametrize("name", [Suppression.NO_CONSENT, Suppression.UNREACHABLE])
def test_a_transactional_message_does_not_pass_a_closed_channel(name: str) -> None:
    person = {Suppression.NO_CONSENT: {"consent": Consent(channels={"email": False, "push": False})}}.get(
        name, {"reachability": {"email": False, "push": False}}
    )
    assert prepare(question(person=person, category=Category.TRANSACTIONAL)).inputs.refusal == name
