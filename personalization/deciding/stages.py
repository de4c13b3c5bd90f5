"""The staged draw: variant, then channel, then slot, each only among values that still have a completion.

Probabilities are whole numbers of a grid and the draw is made from exactly those, so the logged propensity is true by
construction. Uniforms come from a keyed hash of (seed, stage). The answer depends on Inputs and Policy alone, not on
what else is decided in the same call.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from personalization.deciding.features import QUANTUM
from personalization.deciding.record import MILLE, ChannelOption, Inputs, Outcome, Triple
from personalization.learning.bandits import Policy

#: Draws are made on a grid of this many points.
GRID = 1 << 20

VARIANT, CHANNEL, TIMING = 1, 2, 4
#: How exploration is shared where several stages are open: words first, they are learned for everybody at once.
_SHARES = {VARIANT: 3, CHANNEL: 1, TIMING: 1}

#: Finds the policy an Inputs names.
PolicyOf = Callable[[str, int], Policy]


@dataclass(frozen=True)
class Preference:
    """A stage's distribution before the draw: options (indexes), their odds against the greedy one, the greedy one."""

    options: Sequence[int]
    odds: Sequence[float]
    greedy: int

    def weights(self, exploration: float) -> list[int]:
        """Grid points of each option, summing to GRID, at most `exploration` of them off the greedy one."""
        total = sum(self.odds)
        off = 1.0 - 1.0 / total
        scale = GRID / total * (exploration / off if off > exploration else 1.0)
        points = [int(odds * scale) for odds in self.odds]
        at = self.options.index(self.greedy)
        points[at] += GRID - sum(points)
        return points


@dataclass(frozen=True)
class Drawn:
    option: int
    probability: float
    greedy_probability: float


def draw_many(inputs: Sequence[Inputs], policy_of: PolicyOf) -> list[Outcome]:
    """One outcome each, in order. One matrix product for all that share a policy and its actions."""
    preferences = _variant_preferences(inputs, policy_of)
    return [_outcome(one, preference) for one, preference in zip(inputs, preferences, strict=True)]


def uniforms(seed: bytes) -> tuple[int, int, int]:
    """Whole numbers in [0, GRID) for the variant, channel and timing stages."""
    digest = blake2b(b"stages", key=seed, digest_size=12).digest()
    return tuple(int.from_bytes(digest[i : i + 4], "big") % GRID for i in (0, 4, 8))  # type: ignore[return-value]


def _variant_preferences(inputs: Sequence[Inputs], policy_of: PolicyOf) -> list[Preference | None]:
    found: list[Preference | None] = [None] * len(inputs)
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, one in enumerate(inputs):
        if not one.candidates or not one.channels:
            continue
        if one.stages & VARIANT and len(one.candidates) > 1:
            groups[one.model_id, one.snapshot_id, tuple(c.actions for c in one.candidates)].append(i)
        else:
            found[i] = Preference((one.baseline,), (1.0,), one.baseline)
    for (model_id, snapshot_id, actions), members in groups.items():
        contexts = [[(key, value * QUANTUM) for key, value in inputs[i].features] for i in members]
        allowed = np.ones((len(members), len(actions)), np.bool_)  # type: ignore[arg-type]
        _, greedy, odds = policy_of(model_id, snapshot_id).compare(contexts, actions, allowed)  # type: ignore[arg-type]
        options = range(len(actions))  # type: ignore[arg-type]
        for i, best, row in zip(members, greedy.tolist(), odds.tolist(), strict=True):
            found[i] = Preference(options, row, best)
    return found


def _outcome(one: Inputs, variant: Preference | None) -> Outcome:
    if variant is None:
        return _NOTHING
    shares = _stage_shares(one, variant)
    by_variant, by_channel, by_slot = uniforms(one.seed)
    v = _drawn(variant, shares[VARIANT], by_variant)
    greedy_channel = _channel_preference(one, variant.greedy)
    channel = greedy_channel if v.option == variant.greedy else _channel_preference(one, v.option)
    c = _drawn(channel, shares[CHANNEL], by_channel)
    greedy_slot = _slot_preference(one, one.channels[greedy_channel.greedy])
    same = one.channels[c.option].slots == one.channels[greedy_channel.greedy].slots
    slot = greedy_slot if same else _slot_preference(one, one.channels[c.option])
    t = _drawn(slot, shares[TIMING], by_slot)
    drawn = Triple(v.option, c.option, t.option)
    greedy = Triple(variant.greedy, greedy_channel.greedy, greedy_slot.greedy)
    kept = (
        v.greedy_probability
        * (c if channel is greedy_channel else _drawn(greedy_channel, shares[CHANNEL], 0)).greedy_probability
        * (t if same else _drawn(greedy_slot, shares[TIMING], 0)).greedy_probability
    )
    sent = baseline_triple(one) if one.forced else drawn
    return Outcome(
        chosen=sent,
        greedy=greedy,
        shadow=drawn if one.forced else None,
        send=1.0,
        variant=1.0 if one.forced else v.probability,
        channel=1.0 if one.forced else c.probability,
        timing=1.0 if one.forced else t.probability,
        explored=0.0 if one.forced else 1.0 - kept,
        confidence=_confidence(variant, sent.variant),
    )


def baseline_triple(one: Inputs) -> Triple:
    """The baseline variant on the first reachable listed channel at the earliest allowed slot."""
    channel = next(_bits(one.candidates[one.baseline].channels))
    return Triple(one.baseline, channel, next(_bits(int.from_bytes(one.channels[channel].slots, "little"))))


def _stage_shares(one: Inputs, variant: Preference) -> dict[int, float]:
    """How much each stage may explore so that all together stay within the request's exploration."""
    parts = {
        VARIANT: len(variant.options) > 1,
        CHANNEL: bool(one.stages & CHANNEL) and len(one.channels) > 1,
        TIMING: bool(one.stages & TIMING) and any(int.from_bytes(c.slots, "little").bit_count() > 1 for c in one.channels),
    }
    whole = sum(_SHARES[stage] for stage, is_open in parts.items() if is_open) or 1
    kept = 1.0 - one.exploration / 1e6
    return {stage: 1.0 - math.pow(kept, share / whole) for stage, share in _SHARES.items()}


def _channel_preference(one: Inputs, variant: int) -> Preference:
    options = list(_bits(one.candidates[variant].channels))
    scores = [(one.channels[i].mean / MILLE, one.channels[i].deviation / MILLE) for i in options]
    return _preference(options, scores, bool(one.stages & CHANNEL))


def _slot_preference(one: Inputs, channel: ChannelOption) -> Preference:
    options = list(_bits(int.from_bytes(channel.slots, "little")))
    if not one.slot_means:
        return _preference(options, [(0.0, 1.0)] * len(options), bool(one.stages & TIMING))
    scores = [(one.slot_means[k] / 255, one.slot_deviations[k] / 255) for k in options]
    return _preference(options, scores, bool(one.stages & TIMING))


def _preference(options: Sequence[int], scores: Sequence[tuple[float, float]], explores: bool) -> Preference:
    """Odds from independent posteriors (mean, deviation); the first of equal means is the greedy one."""
    best = max(range(len(options)), key=lambda i: (scores[i][0], -i))
    if not explores or len(options) == 1:
        return Preference((options[best],), (1.0,), options[best])
    mean, deviation = scores[best]
    odds = [_odds(mean - m, math.hypot(d, deviation)) for m, d in scores]
    odds[best] = 1.0
    return Preference(options, odds, options[best])


def _odds(lead: float, deviation: float) -> float:
    """Odds that a normal difference with mean -lead and that deviation is positive."""
    if lead <= 0.0:
        return 1.0
    if deviation <= 0.0:
        return 0.0
    beats = 0.5 * math.erfc(round(lead / deviation, 6) / math.sqrt(2.0))
    return beats / (1.0 - beats)


def _drawn(preference: Preference, exploration: float, uniform: int) -> Drawn:
    if len(preference.options) == 1:
        return Drawn(preference.options[0], 1.0, 1.0)
    points = preference.weights(exploration)
    greedy = points[preference.options.index(preference.greedy)] / GRID
    for option, point in zip(preference.options, points, strict=True):
        if uniform < point:
            return Drawn(option, point / GRID, greedy)
        uniform -= point
    raise AssertionError("grid points sum to GRID and the uniform is below it")


def _confidence(variant: Preference, sent: int) -> float:
    """Posterior probability that the sent variant is best, in millionths."""
    if sent not in variant.options:
        return 0.0
    return round(variant.odds[variant.options.index(sent)] / sum(variant.odds), 6)


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


_NOTHING = Outcome(
    chosen=None, greedy=None, shadow=None, send=1.0, variant=1.0, channel=1.0, timing=1.0, explored=0.0, confidence=1.0
)
