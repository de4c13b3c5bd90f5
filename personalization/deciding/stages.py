"""The staged draw: variant, then channel, then slot, each only among values that still have a completion.

Probabilities are whole numbers of a grid and the draw is made from exactly those, so the logged propensity is true by
construction. Uniforms come from a keyed hash of (seed, stage). The answer depends on Inputs and Policy alone, not on
what else is decided in the same call.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate

import msgspec

from personalization.deciding.record import ChannelOption, Inputs, Outcome, Triple
from personalization.learning.bandits import Policy

#: Draws are made on a grid of this many points.
GRID = 1 << 20

VARIANT, CHANNEL, TIMING = 1, 2, 4
#: How exploration is shared where several stages are open: words first, they are learned for everybody at once.
_WORDS, _WHERE, _WHEN = 3, 1, 1

#: u_a of every candidate.
Actions = tuple[tuple[int, ...], ...]

#: Finds the policy an Inputs names.
PolicyOf = Callable[[str, int], Policy]


class Preference(msgspec.Struct, frozen=True):
    """A stage's distribution before exploration is bounded: options (indexes), their odds against the greedy one."""

    options: tuple[int, ...]
    odds: tuple[float, ...]
    greedy: int


class Stage(msgspec.Struct, frozen=True):
    """A stage ready to be drawn from: up to which grid point each option reaches, and the greedy one's probability."""

    options: tuple[int, ...]
    bounds: tuple[int, ...]
    greedy: int
    kept: float

    def draw(self, uniform: int) -> tuple[int, float]:
        """The option whose share of the grid holds the uniform, and its probability."""
        if len(self.options) == 1:
            return self.options[0], 1.0
        at = bisect_right(self.bounds, uniform)
        return self.options[at], (self.bounds[at] - (self.bounds[at - 1] if at else 0)) / GRID


@lru_cache(maxsize=16384)
def staged(preference: Preference, exploration: float) -> Stage:
    """At most `exploration` of the grid off the greedy option; the odds are followed where they explore less."""
    if len(preference.options) == 1:
        return Stage(preference.options, (GRID,), preference.greedy, 1.0)
    total = sum(preference.odds)
    off = 1.0 - 1.0 / total
    scale = GRID / total * (exploration / off if off > exploration else 1.0)
    points = [int(odds * scale) for odds in preference.odds]
    at = preference.options.index(preference.greedy)
    points[at] += GRID - sum(points)
    return Stage(preference.options, tuple(accumulate(points)), preference.greedy, points[at] / GRID)


def draw_many(inputs: Sequence[Inputs], policy_of: PolicyOf) -> list[Outcome]:
    """One outcome each, in order. One matrix product for all that share a policy and its actions."""
    preferences = _variant_preferences(inputs, policy_of)
    return [_outcome(one, preference) for one, preference in zip(inputs, preferences, strict=True)]


def uniforms(seed: bytes) -> tuple[int, int, int]:
    """Whole numbers in [0, GRID) for the variant, channel and timing stages."""
    digest = int.from_bytes(blake2b(b"stages", key=seed, digest_size=12).digest(), "big")
    return digest % GRID, (digest >> 32) % GRID, (digest >> 64) % GRID


def _variant_preferences(inputs: Sequence[Inputs], policy_of: PolicyOf) -> list[Preference | None]:
    found: list[Preference | None] = [None] * len(inputs)
    groups: dict[tuple[str, int, Actions], list[int]] = defaultdict(list)
    for i, one in enumerate(inputs):
        if not one.candidates or not one.channels:
            continue
        if one.stages & VARIANT and len(one.candidates) > 1:
            groups[one.model_id, one.snapshot_id, tuple([c.actions for c in one.candidates])].append(i)
        else:
            found[i] = _only(one.baseline)
    for (model_id, snapshot_id, actions), members in groups.items():
        rankings = policy_of(model_id, snapshot_id).rank([inputs[i].features for i in members], actions)
        options = tuple(range(len(actions)))
        for i, (best, odds) in zip(members, rankings, strict=True):
            found[i] = Preference(options, odds, best)
    return found


def _outcome(one: Inputs, variant: Preference | None) -> Outcome:
    if variant is None:
        return _NOTHING
    shares = _shares(one.exploration, len(variant.options) > 1, _open_channels(one), _open_slots(one))
    by_variant, by_channel, by_slot = uniforms(one.seed)
    words = staged(variant, shares[0])
    drawn_variant, p_variant = words.draw(by_variant)
    greedy_where = _where(one, variant.greedy, shares[1])
    where = greedy_where if drawn_variant == variant.greedy else _where(one, drawn_variant, shares[1])
    drawn_channel, p_channel = where.draw(by_channel)
    greedy_when = _when(one, one.channels[greedy_where.greedy], shares[2])
    when = greedy_when if drawn_channel == greedy_where.greedy else _when(one, one.channels[drawn_channel], shares[2])
    drawn_slot, p_slot = when.draw(by_slot)
    drawn = Triple(drawn_variant, drawn_channel, drawn_slot)
    forced = bool(one.forced)
    sent = baseline_triple(one) if forced else drawn
    return Outcome(
        chosen=sent,
        greedy=Triple(variant.greedy, greedy_where.greedy, greedy_when.greedy),
        shadow=drawn if forced else None,
        send=1.0,
        variant=1.0 if forced else p_variant,
        channel=1.0 if forced else p_channel,
        timing=1.0 if forced else p_slot,
        explored=0.0 if forced else 1.0 - words.kept * greedy_where.kept * greedy_when.kept,
        confidence=_confidence(variant, sent.variant),
    )


def baseline_triple(one: Inputs) -> Triple:
    """The baseline variant on the first reachable listed channel at the earliest allowed slot."""
    channel = bits(one.candidates[one.baseline].channels)[0]
    return Triple(one.baseline, channel, bits(int.from_bytes(one.channels[channel].slots, "little"))[0])


def _open_channels(one: Inputs) -> bool:
    return bool(one.stages & CHANNEL) and len(one.channels) > 1


def _open_slots(one: Inputs) -> bool:
    return bool(one.stages & TIMING) and any(len(slot_numbers(c.slots)) > 1 for c in one.channels)


@lru_cache(maxsize=1024)
def _shares(exploration: int, words: bool, where: bool, when: bool) -> tuple[float, float, float]:
    """How much each stage may explore so that all together stay within `exploration` millionths."""
    shares = (_WORDS * words, _WHERE * where, _WHEN * when)
    whole = sum(shares) or 1
    kept = 1.0 - exploration / 1e6
    a, b, c = (1.0 - math.pow(kept, share / whole) for share in shares)
    return a, b, c


def _where(one: Inputs, variant: int, exploration: float) -> Stage:
    options = bits(one.candidates[variant].channels)
    scores = tuple([(one.channels[i].mean, one.channels[i].deviation) for i in options])
    return _stage_of(options, scores, bool(one.stages & CHANNEL), exploration)


def _when(one: Inputs, channel: ChannelOption, exploration: float) -> Stage:
    return _slot_stage(channel.slots, one.slot_means, one.slot_deviations, bool(one.stages & TIMING), exploration)


@lru_cache(maxsize=16384)
def _slot_stage(mask: bytes, means: bytes, deviations: bytes, explores: bool, exploration: float) -> Stage:
    options = slot_numbers(mask)
    scores = tuple([(means[k], deviations[k]) for k in options]) if means else ((0, 1),) * len(options)
    return _stage_of(options, scores, explores, exploration)


def _stage_of(options: tuple[int, ...], scores: tuple[tuple[int, int], ...], explores: bool, exploration: float) -> Stage:
    """From independent posteriors (mean, deviation), in whatever unit; the first of equal means is the greedy one."""
    means = [mean for mean, _ in scores]
    best = means.index(max(means))
    if not explores or len(options) == 1:
        return staged(_only(options[best]), exploration)
    mean, deviation = scores[best]
    odds = [_odds(mean - m, d * d + deviation * deviation) for m, d in scores]
    odds[best] = 1.0
    return staged(Preference(options, tuple(odds), options[best]), exploration)


@lru_cache(maxsize=65536)
def _odds(lead: int, variance: int) -> float:
    """Odds that a normal difference with mean -lead and that variance is positive. The numbers are small and whole, so
    the same come again and again."""
    if lead <= 0:
        return 1.0
    if variance <= 0:
        return 0.0
    beats = 0.5 * math.erfc(round(lead / math.sqrt(variance), 6) / math.sqrt(2.0))
    return beats / (1.0 - beats)


@lru_cache(maxsize=256)
def _only(option: int) -> Preference:
    return Preference((option,), (1.0,), option)


def _confidence(variant: Preference, sent: int) -> float:
    """Posterior probability that the sent variant is best, in millionths."""
    if sent not in variant.options:
        return 0.0
    return round(variant.odds[variant.options.index(sent)] / sum(variant.odds), 6)


@lru_cache(maxsize=4096)
def bits(mask: int) -> tuple[int, ...]:
    """The numbers of the bits that are set, ascending."""
    return tuple(i for i in range(mask.bit_length()) if mask >> i & 1)


@lru_cache(maxsize=4096)
def slot_numbers(mask: bytes) -> tuple[int, ...]:
    return bits(int.from_bytes(mask, "little"))


_NOTHING = Outcome(
    chosen=None, greedy=None, shadow=None, send=1.0, variant=1.0, channel=1.0, timing=1.0, explored=0.0, confidence=1.0
)
