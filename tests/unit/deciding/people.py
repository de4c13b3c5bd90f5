"""People whose questions have everything in play at once: caps that close slots and channels, quiet hours, losses.

The questions are made by `question_of` and prepared by `prepare`, as the engine does; the policy learned from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from personalization.clock import DAY, HOUR, instant
from personalization.deciding.asking import question_of
from personalization.deciding.feasible import Prepared, prepare
from personalization.deciding.paths import bits, slot_numbers
from personalization.deciding.planning import Plan, plan_of
from personalization.deciding.question import Question
from personalization.deciding.record import Inputs, Triple
from personalization.learning.encoding import Taken, channel_key
from personalization.learning.frequency import Losses
from personalization.learning.logistic import RewardModel
from personalization.learning.policy import Policy, decode_policy, encode_policy
from personalization.messages import LogEntry, PersonalizationRequest, SendWindow
from personalization.operations.learner import taken
from personalization.profile import FrequencyPreferences, PersonalizationProfile, TimingPreferences
from personalization.service import SERVICE_LEVELS
from personalization.storage.base import Reservation
from personalization.template import Template, Variant
from personalization.tenant import ChannelSpec, FrequencyCap, QuietHours, TenantConfig
from personalization.vocabulary import PolicyMethod, ServiceLevel

NOW = instant("2026-11-23T10:20:00Z")
SALT = b"assignment" * 3
REF = b"u" * 16
CONFIG = TenantConfig(
    quiet_hours=QuietHours(22 * 60, 7 * 60),
    frequency_caps=(FrequencyCap(limit=1, period=DAY, channel="email"), FrequencyCap(limit=1, period=7 * DAY, channel="sms")),
    channels={"email": ChannelSpec(cost=0.001), "push": ChannelSpec(max_length=40), "in_app": ChannelSpec(), "sms": ChannelSpec()},
)
TEMPLATE = Template(
    tenant_id="t",
    template_id="offer",
    version=1,
    name="offer",
    baseline_variant_id="a",
    channels=("email", "push", "in_app", "sms"),
    variants=tuple(
        Variant(variant_id=name, content={"en": {"text": text}}, features={"tone": tone})
        for name, text, tone in (
            ("a", "one", "warm"),
            ("b", "two", "dry"),
            ("c", "a text that is too long for a push, by far", "warm"),
        )
    ),
)
MODEL = "variants:offer"
#: What a loss costs, in rewards: at some loads one more message is worth it, at some it is not.
_LOSS = 5.0


class Context(NamedTuple):
    """A person and what they are asked about. reserved : their sends under the caps"""

    profile: PersonalizationProfile | None
    reserved: tuple[Reservation, ...] = ()
    passed: Mapping[str, object] = {}
    window: SendWindow | None = None


def _person(load: int = 0, **declared: object) -> PersonalizationProfile:
    """Who got `load` messages this week, two of three by email, and opened every second one two hours later."""
    profile = PersonalizationProfile(tenant_id="t", user_ref=REF, version=1, language="en", **declared)  # type: ignore[arg-type]
    for n in range(load):
        at, seq = NOW - 6 * DAY + n * 9 * HOUR, 2 * n + 1
        row = {"user_ref": REF, "channel": ("email", "push")[n % 3 == 2], "decision_id": f"d{n}"}
        profile = profile.after(LogEntry(seq=seq, type="decided", at=at, recorded_at=at, **row))  # type: ignore[arg-type]
        if n % 2:
            later = at + 2 * HOUR
            profile = profile.after(LogEntry(seq=seq + 1, type="opened", at=later, recorded_at=later, **row))  # type: ignore[arg-type]
    return profile


#: Email opens later in the window or not at all, sms never does; the nights are closed.
CONTEXTS: dict[str, Context] = {
    "loaded": Context(
        _person(6, traits={"plan": "pro"}, timezone="Europe/Berlin"),
        (Reservation(NOW - 20 * HOUR, "email", "promotional"), Reservation(NOW - DAY, "sms", "promotional")),
        {"device": "phone"},
    ),
    "full": Context(
        _person(12, timezone="Asia/Kathmandu", frequency_preferences=FrequencyPreferences(max_per_day=1)),
        (Reservation(NOW - 15 * HOUR, "in_app", "promotional"), Reservation(NOW - 3 * DAY, "sms", "promotional")),
    ),
    "particular": Context(
        _person(
            3,
            traits={"plan": "free"},
            channel_preferences={"push": 0.8, "email": 0.3},
            timing_preferences=TimingPreferences(preferred_hours=(18, 19), quiet_hours=QuietHours(12 * 60, 14 * 60)),
            reachability={"in_app": False},
        ),
        (Reservation(NOW - 2 * HOUR, "sms", "promotional"), Reservation(NOW - 18 * HOUR, "email", "promotional")),
    ),
    "stranger": Context(None, passed={"device": "tv", "page": "cart"}, window=SendWindow(latest=NOW + 14 * HOUR)),
}


@cache
def plan() -> Plan:
    return plan_of(TEMPLATE, CONFIG, "en", ())


def asked(name: str, decision_id: str, method: PolicyMethod, exploration: float, snapshot_id: int = 1) -> Question:
    """As the engine asks it, with the person's reservations."""
    context = CONTEXTS[name]
    question = question_of(
        PersonalizationRequest(
            tenant_id="t",
            user_id=None if context.profile is None else "u",
            template_id="offer",
            context=context.passed,
            send_window=context.window,
            decision_id=decision_id,
        ),
        level=ServiceLevel.ENTERPRISE,
        capabilities=SERVICE_LEVELS[ServiceLevel.ENTERPRISE],
        config=_config(method, exploration),
        now=NOW,
        salt=SALT,
        new_id=lambda: decision_id,
        plan=plan(),
        snapshot_id=snapshot_id,
        user_ref=None if context.profile is None else REF,
        profile=context.profile,
        cache_hit=False,
    )
    return replace(question, reserved=context.reserved)


@cache
def _config(method: PolicyMethod, exploration: float) -> TenantConfig:
    fields = {name: getattr(CONFIG, name) for name in ("quiet_hours", "frequency_caps", "channels")}
    return TenantConfig(policy=method, exploration=exploration, **fields)


@cache
def prepared(name: str, method: PolicyMethod = PolicyMethod.THOMPSON, exploration: float = 1.0) -> Prepared:
    return prepare(asked(name, "first", method, exploration))


def drawn_from(name: str, method: PolicyMethod, exploration: float, ids: Iterable[str]) -> Iterator[Inputs]:
    """One context's inputs under many decision ids; only the seed tells them apart."""
    base = prepared(name, method, exploration).inputs
    return (replace(base, seed=asked_seed(decision_id)) for decision_id in ids)


def asked_seed(decision_id: str) -> bytes:
    return asked("stranger", decision_id, PolicyMethod.THOMPSON, 1.0).seed


@cache
def learned(rows: int = 400) -> Policy:
    """From random feasible actions of these people: arm b is better, push too, evenings too; the more messages a week had
    the more of them leave, which costs _LOSS each."""
    rng, model, losses = np.random.default_rng(11), RewardModel(), Losses()
    harm: dict[int, list[float]] = {}
    asked = [replace(prepared(name).inputs, load=int(rng.integers(0, 14))) for name in list(CONTEXTS) * (rows // len(CONTEXTS))]
    actions = [taken(one, _any(one, rng)) for one in asked]
    rewards = [float(rng.random() < _likely(action)) for action in actions]
    model.enter([one.features for one in asked], actions, rewards, [1.0] * len(asked))
    for action in actions:
        lost = rng.random() < 0.01 * action.load
        losses.sent(action.load, 1.0)
        losses.changed(action.load, 1.0, 0.0, _LOSS * lost)
        of_variant = harm.setdefault(action.variant[0], [0.0, 0.0])
        of_variant[0], of_variant[1] = of_variant[0] + lost, of_variant[1] + 1.0
    return decode_policy(encode_policy(model, {}, losses.burden(harm)), 1, MODEL)


def _likely(action: Taken) -> float:
    better = (
        action.variant == prepared("stranger").inputs.candidates[1].actions,
        action.channel == channel_key("push"),
        action.hour % 24 >= 17,
    )
    return 0.15 + 0.1 * sum(better)


def _any(inputs: Inputs, rng: np.random.Generator) -> Triple:
    variant = int(rng.integers(len(inputs.candidates)))
    channel = int(rng.choice(bits(inputs.candidates[variant].channels)))
    return Triple(variant, channel, int(rng.choice(slot_numbers(inputs.channels[channel].slots))))
