"""What speaks for the greedy triple: additive effects, in logits of the expected reward.

The reward is expected at sigmoid(w . phi), and w . phi adds up over the parts of an action (see `learning.encoding`). The
effect of a part is what it adds for the greedy option less what it adds on average over all options of its stage, so with
the other stages at their greedy option

    baseline_logit + sum of the effects = greedy_logit

exactly, up to the rounding of scores (1e-9). For a linear model these are its Shapley values with the options of a stage,
equally likely, as background (Lundberg and Lee 2017, "A unified approach to interpreting model predictions", section 4.2).
O(features x acts) a stage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from personalization.deciding.paths import CHANNEL, TIMING, Path, channel_logits, shifts
from personalization.deciding.pricing import price_of, prices_off
from personalization.deciding.record import MILLE, Inputs, PricedInputs
from personalization.learning.encoding import (
    BIAS,
    EVIDENCE,
    HABIT,
    HOUR_ACTS,
    KIND_CHANNEL,
    KIND_VARIANT,
    PREFERENCE,
    QUANTUM,
    ActKey,
    Feature,
    channel_key,
    hour_values,
    signed,
)
from personalization.learning.policy import Policy

#: Effects below this are rounding.
_NOTHING = 1e-8
_ALONE: tuple[Feature, ...] = ((BIAS, int(1 / QUANTUM)),)

#: Options of a stage as features with values.
Options = Sequence[Mapping[ActKey, float]]


class Part(msgspec.Struct, frozen=True):
    """What one thing adds. stage, option: "channel", "push"; about: "" the option itself, "feature" (its key in `feature`),
    "preference", "habit", "cost", "reach", "shadow price", "risk" or "repeat"; value: the feature's, or how much of it there is."""

    stage: str
    option: str
    about: str
    value: float
    effect: float
    feature: int = 0


class Weighed(msgspec.Struct, frozen=True):
    """All parts, the weightiest first, and what they lead from and to."""

    parts: tuple[Part, ...]
    baseline_logit: float
    greedy_logit: float
    expected_reward: float


def weighed(one: Inputs, path: Path) -> Weighed | None:
    """None where no model took part."""
    policy = path.policy
    if policy is None or not one.features:
        return None
    stages = (_variant(one, path, policy), _channel(one, path, policy), _hour(one, path, policy))
    base = policy.base(one.features) + policy.tired(one.load)
    greedy, mean = base + sum(stage[1] for stage in stages), base + sum(stage[2] for stage in stages)
    parts = [part for found, _, _ in stages for part in found if abs(part.effect) > _NOTHING or _seen(part)]
    parts.sort(key=lambda part: -abs(part.effect))
    return Weighed(tuple(parts), mean, greedy, policy.value(greedy))


def _seen(part: Part) -> bool:
    """What is known of the person and the moment is told even while nothing was learned of it."""
    return part.stage == "variant" and part.about in ("", "feature")


#: Parts of a stage, the score of its greedy option and the mean of all.
_Stage = tuple[list[Part], float, float]


def _variant(one: Inputs, path: Path, policy: Policy) -> _Stage:
    """A model that does not choose among variants still has the score of the one that goes."""
    actions, at = tuple(one.candidates[i].actions for i in path.variant.options), path.variant.options.index(path.variant.greedy)
    shown = bytes([one.shown[i] for i in path.variant.options]) if one.shown else b""
    scores = policy.variants([one.features], actions, one.method, shown)[0].scores
    name = one.candidates[path.variant.greedy].variant_id
    acts = [{ActKey(KIND_VARIANT, key): float(action.count(key)) for key in action} for action in actions]
    parts = [*_crossed("variant", name, policy, one.features, _apart(acts, at))]
    risks, repeats = policy.against(actions, shown)
    times = policy.burden.risks.get(actions[at][0], 1.0)
    parts.append(Part("variant", name, "risk", times, _mean(risks) - risks[at]))
    parts.append(Part("variant", name, "repeat", float(bool(shown and shown[at])), _mean(repeats) - repeats[at]))
    return parts, scores[at], _mean(scores)


def _channel(one: Inputs, path: Path, policy: Policy) -> _Stage:
    if not one.stages & CHANNEL:
        return [], 0.0, 0.0
    options, at = [one.channels[i] for i in path.channel.options], path.channel.options.index(path.channel.greedy)
    keys, liked = tuple([channel_key(option.name) for option in options]), tuple([option.preference for option in options])
    off = shifts(one, options, policy, path.logit)
    choice, name = policy.channels([(one.features, keys, liked, off)], one.method)[0], options[at].name
    acts = [{ActKey(KIND_CHANNEL, key): 1.0} for key in keys]
    parts = [*_crossed("channel", name, policy, one.features, _apart(acts, at))]
    parts.append(_evidence("channel", name, "preference", policy, PREFERENCE, liked, at))
    reach = [math.log(max(option.reach, 1) / MILLE) for option in options]
    arrives = reach[at] - _mean(reach)
    parts.append(Part("channel", name, "reach", options[at].reach / MILLE, arrives))
    parts.append(Part("channel", name, "cost", options[at].cost / MILLE, off[at] - _mean(off) - arrives))
    if not isinstance(one, PricedInputs):
        return parts, choice.scores[at], _mean(choice.scores)
    less = prices_off(one, path.channel.options, channel_logits(one, path.channel.options, choice, path.logit, policy), policy)
    parts.append(Part("channel", name, "shadow price", price_of(one, path.channel.greedy), less[at] - _mean(less)))
    return parts, choice.scores[at] + less[at], _mean(choice.scores) + _mean(less)


def _hour(one: Inputs, path: Path, policy: Policy) -> _Stage:
    if not one.stages & TIMING:
        return [], 0.0, 0.0
    slots, at = path.timing.options, path.timing.options.index(path.timing.greedy)
    hours = bytes([one.hours[k] for k in slots])
    habits = bytes([one.habits[k] for k in slots]) if one.habits else b""
    scores = policy.hours([(one.features, hours, habits)], one.method)[0].scores
    name = f"{hours[at] % 24:02}:00"
    acts = [dict(zip(HOUR_ACTS, hour_values(hour), strict=True)) for hour in hours]
    parts = [*_crossed("hour", name, policy, one.features, _apart(acts, at))]
    parts.append(_evidence("hour", name, "habit", policy, HABIT, [signed(habit) for habit in habits or bytes(len(slots))], at))
    return parts, scores[at], _mean(scores)


def _apart(options: Options, at: int) -> list[tuple[ActKey, float]]:
    """The features of one option less the mean of all."""
    acts = dict.fromkeys(act for option in options for act in option)
    return [(act, options[at].get(act, 0.0) - _mean([option.get(act, 0.0) for option in options])) for act in acts]


def _crossed(
    stage: str, option: str, policy: Policy, features: Sequence[Feature], acts: Sequence[tuple[ActKey, float]]
) -> Iterable[Part]:
    """Of each context feature together with the action's."""
    for (key, quanta), effect in zip(features, policy.contributions(features, acts), strict=True):
        yield Part(stage, option, "" if key == BIAS else "feature", quanta * QUANTUM, effect, key)


def _evidence(stage: str, option: str, about: str, policy: Policy, act: ActKey, quanta: Sequence[int], at: int) -> Part:
    apart = EVIDENCE * (quanta[at] - _mean(quanta))
    return Part(stage, option, about, EVIDENCE * quanta[at], policy.contributions(_ALONE, [(act, apart)])[0])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
