"""The staged draw: send or not, then variant, channel and slot, each only among values that still have a completion.

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
from msgspec.structs import replace

from personalization.deciding.guarding import Actions, admitted, offered
from personalization.deciding.record import MILLE, Inputs, Outcome, Triple
from personalization.learning.drawing import GRID, points_of
from personalization.learning.encoding import channel_key, signed
from personalization.learning.guardrails import Guardrails
from personalization.learning.policy import ChannelAsk, Choice, HourAsk, Policy
from personalization.vocabulary import Suppression

VARIANT, CHANNEL, TIMING, SEND = 1, 2, 4, 8
#: Options of the send stage.
_HELD, _SENT = 0, 1
#: However unsure a stage is, the greedy option keeps this much, so that the stages can be bounded together.
_LEAST_KEPT = 1e-3
#: A logit's worth is taken where the reward is likely at least this far from certain.
_LEAST_SLOPE = 0.01

#: Finds the policy an Inputs names.
PolicyOf = Callable[[str, int], Policy]


class Preference(msgspec.Struct, frozen=True):
    """A stage's distribution before exploration is bounded: options (indexes), their shares, the greedy one."""

    options: tuple[int, ...]
    shares: tuple[float, ...]
    greedy: int

    @property
    def kept(self) -> float:
        return max(self.shares[self.options.index(self.greedy)], _LEAST_KEPT)


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
    """One outcome each, in order. What can be asked of a policy for many at once is asked for many at once."""
    asked = _asked(inputs, policy_of)
    return [_outcome(one, *found) if found is not None else _refused(one.refusal) for one, found in zip(inputs, asked, strict=True)]


def uniforms(seed: bytes) -> tuple[int, int, int, int]:
    """Whole numbers in [0, GRID) for the variant, channel, timing and send stages."""
    digest = int.from_bytes(blake2b(b"stages", key=seed, digest_size=16).digest(), "big")
    return digest % GRID, (digest >> 32) % GRID, (digest >> 64) % GRID, (digest >> 96) % GRID


#: The policy an Inputs reads (None when no stage does), and its preference among the variants.
_Asked = tuple[Policy | None, Preference, float]


def _asked(inputs: Sequence[Inputs], policy_of: PolicyOf) -> list[_Asked | None]:
    found: list[_Asked | None] = [None] * len(inputs)
    groups: dict[tuple[str, int, str, Guardrails, bytes, Actions], list[int]] = defaultdict(list)
    for i, one in enumerate(inputs):
        if not one.candidates or not one.channels:
            continue
        if one.stages:
            actions = tuple([c.actions for c in one.candidates])
            groups[one.model_id, one.snapshot_id, one.method, one.guardrails, one.shown, actions].append(i)
        else:
            found[i] = None, _only(one.baseline), 0.0
    for (model_id, snapshot_id, method, guardrails, shown, actions), members in groups.items():
        policy = policy_of(model_id, snapshot_id)
        options = admitted(policy, guardrails, actions)
        asked, repeats = offered(actions, shown, options)
        choices = policy.variants([inputs[i].features for i in members], asked, method, repeats)
        preferences = [_among_variants(inputs[i], options, choice) for i, choice in zip(members, choices, strict=True)]
        _look_ahead(policy, [inputs[i] for i in members], preferences)
        for i, preference in zip(members, preferences, strict=True):
            found[i] = policy, *preference
    return found


def _look_ahead(policy: Policy, inputs: Sequence[Inputs], preferences: Sequence[tuple[Preference, float]]) -> None:
    """What the other stages will ask along the greedy path, asked for all at once; the policy remembers the answers."""
    if len(inputs) == 1 or not (inputs[0].stages & CHANNEL and inputs[0].stages & TIMING):
        return
    method, greedy = inputs[0].method, [words.greedy for words, _ in preferences]
    logits = [logit for _, logit in preferences]
    asked = [_channels_asked(one, v, policy, logit) for one, v, logit in zip(inputs, greedy, logits, strict=True)]
    where = policy.channels([ask for _, ask in asked], method)
    channels = [options[choice.greedy] for (options, _), choice in zip(asked, where, strict=True)]
    policy.hours([_hours_asked(one, channel)[1] for one, channel in zip(inputs, channels, strict=True)], method)


def _among_variants(one: Inputs, options: tuple[int, ...], choice: Choice) -> tuple[Preference, float]:
    """The preference among the options, and the logit that the greedy one adds."""
    if not one.stages & VARIANT:
        return _only(one.baseline), choice.scores[one.baseline]
    return Preference(options, choice.shares, options[choice.greedy]), choice.scores[choice.greedy]


def _outcome(one: Inputs, policy: Policy | None, variant: Preference, logit: float) -> Outcome:
    """Along the greedy path first, since exploration is bounded against it."""
    where, when, send, limits = _greedy_path(one, policy, variant, logit)
    sends = send.greedy == _SENT
    whether = staged(send, limits[0] if sends else one.exploration / 1e6)
    words = staged(variant, limits[1])
    kept = whether.kept * (words.kept * staged(where, limits[2]).kept * staged(when, limits[3]).kept if sends else 1.0)
    by_variant, by_channel, by_slot, by_send = uniforms(one.seed)
    option, p_send = whether.draw(by_send)
    greedy = Triple(variant.greedy, where.greedy, when.greedy) if sends else None
    if option == _HELD:
        return replace(_NOTHING, greedy=greedy, send=p_send, explored=1.0 - kept, suppression=Suppression.FATIGUE)
    drawn_variant, p_variant = words.draw(by_variant)
    where_drawn = where if drawn_variant == variant.greedy else _where(one, drawn_variant, policy, logit)[0]
    drawn_channel, p_channel = staged(where_drawn, limits[2]).draw(by_channel)
    when_drawn = when if drawn_channel == where.greedy else _when(one, drawn_channel, policy)[0]
    drawn_slot, p_slot = staged(when_drawn, limits[3]).draw(by_slot)
    drawn = Triple(drawn_variant, drawn_channel, drawn_slot)
    forced = bool(one.forced)
    sent = baseline_triple(one) if forced else drawn
    return Outcome(
        chosen=sent,
        greedy=greedy,
        shadow=drawn if forced else None,
        send=p_send,
        variant=1.0 if forced else p_variant,
        channel=1.0 if forced else p_channel,
        timing=1.0 if forced else p_slot,
        explored=0.0 if forced else 1.0 - kept,
        confidence=_confidence(variant, sent.variant),
        ranking=_ranking(where),
    )


def _greedy_path(
    one: Inputs, policy: Policy | None, variant: Preference, logit: float
) -> tuple[Preference, Preference, Preference, tuple[float, ...]]:
    """Preferences among channels, slots, and whether to send, and how far each stage may explore: send, variant, channel,
    timing."""
    where, at_channel = _where(one, variant.greedy, policy, logit)
    when, at_hour = _when(one, where.greedy, policy)
    send = _whether(one, policy, logit + at_channel + at_hour)
    kept = send.kept if send.greedy == _SENT else 1.0
    return where, when, send, _limits(one.exploration, (kept, variant.kept, where.kept, when.kept))


def _whether(one: Inputs, policy: Policy | None, logit: float) -> Preference:
    """Whether one more message is worth what it may cost; it is always sent where nobody was ever lost by one.

    logit : what the best variant, channel and hour add
    """
    if policy is None or one.forced or not one.stages & SEND or not (policy.burden.known and policy.split):
        return _only(_SENT)
    worth, deviation = policy.marginal(policy.base(one.features) + logit, one.load)
    held = round(0.5 * math.erfc(worth / (max(deviation, 1e-9) * math.sqrt(2.0))), 6)
    return Preference((_HELD, _SENT), (held, 1.0 - held), _HELD if worth < 0.0 else _SENT) if held > 0.0 else _only(_SENT)


def baseline_triple(one: Inputs) -> Triple:
    """The baseline variant on the first reachable listed channel at the earliest allowed slot."""
    channel = bits(one.candidates[one.baseline].channels)[0]
    return Triple(one.baseline, channel, slot_numbers(one.channels[channel].slots)[0])


def _limits(exploration: int, kept: tuple[float, float, float, float]) -> tuple[float, ...]:
    """How much each stage may leave its greedy option, so that all together stay within `exploration` millionths: the
    stages keep what they would keep by themselves, to one power."""
    return _bounded(exploration, *[round(share, 6) for share in kept])


@lru_cache(maxsize=16384)
def _bounded(exploration: int, *kept: float) -> tuple[float, ...]:
    wanted, own = math.log(max(1.0 - exploration / 1e6, 1e-12)), sum(math.log(share) for share in kept)
    power = 1.0 if own >= wanted else wanted / own
    return tuple([1.0 - math.pow(share, power) for share in kept])


def _where(one: Inputs, variant: int, policy: Policy | None, logit: float) -> tuple[Preference, float]:
    """The preference among the channels of a variant, and what the greedy one adds to the logit."""
    if policy is None or not one.stages & CHANNEL:
        return _only(max(bits(one.candidates[variant].channels), key=lambda i: one.channels[i].preference)), 0.0
    options, ask = _channels_asked(one, variant, policy, logit)
    choice = policy.channels([ask], one.method)[0]
    return Preference(options, choice.shares, options[choice.greedy]), choice.scores[choice.greedy]


def _channels_asked(one: Inputs, variant: int, policy: Policy, logit: float) -> tuple[tuple[int, ...], ChannelAsk]:
    options = bits(one.candidates[variant].channels)
    channels = [one.channels[i] for i in options]
    shifts = _shifts(one, policy, logit, [(channel.cost, channel.reach) for channel in channels])
    keys, known = tuple([channel_key(c.name) for c in channels]), tuple([c.preference for c in channels])
    return options, (one.features, keys, known, shifts)


def _shifts(one: Inputs, policy: Policy, logit: float, terms: Sequence[tuple[int, int]]) -> tuple[float, ...]:
    """What cost and reachability take off each channel, in logits: reach multiplies the reward, a cost is worth as many
    logits as would earn it there."""
    if all(term == terms[0] for term in terms):
        return (0.0,) * len(terms)
    return _shifted(tuple(terms), round(policy.base(one.features) + logit, 2), policy.top - policy.low)


@lru_cache(maxsize=4096)
def _shifted(terms: tuple[tuple[int, int], ...], logit: float, span: float) -> tuple[float, ...]:
    likely = 1.0 / (1.0 + math.exp(-logit))
    slope = max(likely * (1.0 - likely), _LEAST_SLOPE) * span
    return tuple([round(math.log(max(reach, 1) / MILLE) - cost / MILLE / slope, 6) for cost, reach in terms])


def _when(one: Inputs, channel: int, policy: Policy | None) -> tuple[Preference, float]:
    """The preference among the slots of a channel, and what the greedy one adds to the logit."""
    options, ask = _hours_asked(one, channel)
    if policy is None or not one.stages & TIMING:
        return _only(options[_most_usual(ask[2])]), 0.0
    choice = policy.hours([ask], one.method)[0]
    return Preference(options, choice.shares, options[choice.greedy]), choice.scores[choice.greedy]


def _hours_asked(one: Inputs, channel: int) -> tuple[tuple[int, ...], HourAsk]:
    options = slot_numbers(one.channels[channel].slots)
    everything = len(options) == len(one.hours)
    hours = one.hours if everything else bytes([one.hours[k] for k in options])
    habits = one.habits if everything or not one.habits else bytes([one.habits[k] for k in options])
    return options, (one.features, hours, habits)


@lru_cache(maxsize=4096)
def _most_usual(habits: bytes) -> int:
    """The first of the hours with the most evidence."""
    logits = [signed(habit) for habit in habits]
    return logits.index(max(logits)) if logits else 0


@lru_cache(maxsize=256)
def _only(option: int) -> Preference:
    return Preference((option,), (1.0,), option)


def _confidence(variant: Preference, sent: int) -> float:
    """Posterior probability that the sent variant is best."""
    return variant.shares[variant.options.index(sent)] if sent in variant.options else 0.0


def _ranking(where: Preference) -> bytes:
    """Options by share, the greedy one first."""
    order = sorted(zip(where.options, where.shares, strict=True), key=lambda found: (found[0] != where.greedy, -found[1]))
    return bytes([option for option, _ in order])


class Path(msgspec.Struct, frozen=True):
    """The stages along the greedy triple, for who wants to look into them.

    triple  : what certainty would send, if it sends        policy : None where no stage reads one
    options : of the variant, channel and slot stages       kept : P(greedy) of the same, given that something is sent
    shifts  : what cost and reach take off each of the channels, in logits
    """

    triple: Triple
    policy: Policy | None
    options: tuple[tuple[int, ...], ...]
    kept: tuple[float, ...]
    shifts: tuple[float, ...]


def path_of(one: Inputs, policy_of: PolicyOf) -> Path | None:
    """None where nothing is feasible."""
    found = _asked([one], policy_of)[0]
    if found is None:
        return None
    policy, variant, logit = found
    where, when, _, limits = _greedy_path(one, policy, variant, logit)
    stages = (variant, where, when)
    terms = [(one.channels[i].cost, one.channels[i].reach) for i in where.options]
    return Path(
        Triple(variant.greedy, where.greedy, when.greedy),
        policy,
        tuple(stage.options for stage in stages),
        tuple(staged(stage, limit).kept for stage, limit in zip(stages, limits[1:], strict=True)),
        (0.0,) * len(terms) if policy is None else _shifts(one, policy, logit, terms),
    )


@lru_cache(maxsize=4096)
def bits(mask: int) -> tuple[int, ...]:
    """The numbers of the bits that are set, ascending."""
    return tuple(i for i in range(mask.bit_length()) if mask >> i & 1)


@lru_cache(maxsize=4096)
def slot_numbers(mask: bytes) -> tuple[int, ...]:
    return bits(int.from_bytes(mask, "little"))


@lru_cache(maxsize=64)
def _refused(reason: str | None) -> Outcome:
    return replace(_NOTHING, suppression=reason)


_NOTHING = Outcome(
    chosen=None, greedy=None, shadow=None, send=1.0, variant=1.0, channel=1.0, timing=1.0, explored=0.0, confidence=1.0
)
