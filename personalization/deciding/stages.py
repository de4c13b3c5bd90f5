"""The staged draw: send or not, then variant, channel and slot, each only among values that still have a completion.

Probabilities are whole numbers of a grid and the draw is made from exactly those, so the logged propensity is true by
construction. Uniforms come from a keyed hash of (seed, stage). The answer depends on Inputs and Policy alone, not on
what else is decided in the same call.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate

import msgspec
from msgspec.structs import replace

from personalization.deciding.paths import (
    HELD,
    SENT,
    Path,
    PolicyOf,
    Preference,
    among_channels,
    among_slots,
    bits,
    paths,
    slot_numbers,
)
from personalization.deciding.record import Inputs, Outcome, Triple
from personalization.learning.drawing import GRID, points_of


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
    """At most `exploration` of the grid off the greedy option; the shares are followed where they explore less."""
    if len(preference.options) == 1:
        return Stage(preference.options, (GRID,), preference.greedy, 1.0)
    at = preference.options.index(preference.greedy)
    points = points_of(preference.shares, at, exploration)
    return Stage(preference.options, tuple(accumulate(points)), preference.greedy, points[at] / GRID)


def draw_many(inputs: Sequence[Inputs], policy_of: PolicyOf) -> list[Outcome]:
    """One outcome each, in order."""
    found = paths(inputs, policy_of)
    return [_refused(one.refusal) if path is None else _outcome(one, path) for one, path in zip(inputs, found, strict=True)]


def uniforms(seed: bytes) -> tuple[int, int, int, int]:
    """Whole numbers in [0, GRID) for the variant, channel, timing and send stages."""
    digest = int.from_bytes(blake2b(b"stages", key=seed, digest_size=16).digest(), "big")
    return digest % GRID, (digest >> 32) % GRID, (digest >> 64) % GRID, (digest >> 96) % GRID


def kept(path: Path) -> tuple[float, float, float]:
    """P(greedy) of variant, channel and slot, given that something is sent and that the ones before are greedy."""
    stages = zip((path.variant, path.channel, path.timing), path.limits[1:], strict=True)
    words, where, when = (staged(stage, limit).kept for stage, limit in stages)
    return words, where, when


def _outcome(one: Inputs, path: Path) -> Outcome:
    """Exploration is bounded against the greedy path; who leaves it is drawn among what is left there."""
    sends = path.send.greedy == SENT
    whether = staged(path.send, path.limits[0] if sends else one.exploration / 1e6)
    by_variant, by_channel, by_slot, by_send = uniforms(one.seed)
    option, p_send = whether.draw(by_send)
    words, where, when = kept(path) if sends else (1.0, 1.0, 1.0)
    explored = 1.0 - whether.kept * words * where * when
    greedy = path.greedy if sends else None
    if option == HELD:
        return replace(_NOTHING, greedy=greedy, send=p_send, explored=explored, suppression=path.held, held=path.held)
    drawn, (p_variant, p_channel, p_slot) = _triple(one, path, by_variant, by_channel, by_slot)
    ranking = _ranking(path.channel)
    if one.forced:
        sent = baseline_triple(one)
        return replace(
            _NOTHING, chosen=sent, greedy=greedy, shadow=drawn, confidence=_confidence(path.variant, sent.variant), ranking=ranking
        )
    return Outcome(
        chosen=drawn,
        greedy=greedy,
        shadow=None,
        send=p_send,
        variant=p_variant,
        channel=p_channel,
        timing=p_slot,
        explored=explored,
        confidence=_confidence(path.variant, drawn.variant),
        ranking=ranking,
        held=None if sends else path.held,
    )


def _triple(one: Inputs, path: Path, *uniforms: int) -> tuple[Triple, tuple[float, float, float]]:
    """What is drawn, and with which probabilities."""
    variant, p_variant = staged(path.variant, path.limits[1]).draw(uniforms[0])
    where = path.channel
    if variant != path.variant.greedy:
        where = among_channels([one], [(variant, path.logit)], path.policy)[0][0]
    channel, p_channel = staged(where, path.limits[2]).draw(uniforms[1])
    when = path.timing if channel == path.channel.greedy else among_slots([one], [channel], path.policy)[0][0]
    slot, p_slot = staged(when, path.limits[3]).draw(uniforms[2])
    return Triple(variant, channel, slot), (p_variant, p_channel, p_slot)


def baseline_triple(one: Inputs) -> Triple:
    """The baseline variant on the first reachable listed channel at the earliest allowed slot."""
    channel = bits(one.candidates[one.baseline].channels)[0]
    return Triple(one.baseline, channel, slot_numbers(one.channels[channel].slots)[0])


def _confidence(variant: Preference, sent: int) -> float:
    """Posterior probability that the sent variant is best."""
    return variant.shares[variant.options.index(sent)] if sent in variant.options else 0.0


def _ranking(where: Preference) -> bytes:
    """Options by share, the greedy one first."""
    order = sorted(zip(where.options, where.shares, strict=True), key=lambda found: (found[0] != where.greedy, -found[1]))
    return bytes([option for option, _ in order])


_NOTHING = Outcome(
    chosen=None, greedy=None, shadow=None, send=1.0, variant=1.0, channel=1.0, timing=1.0, explored=0.0, confidence=1.0
)


@lru_cache(maxsize=64)
def _refused(reason: str | None) -> Outcome:
    return replace(_NOTHING, suppression=reason)
