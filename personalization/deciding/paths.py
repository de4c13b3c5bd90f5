"""What is preferred at each stage along the greedy path: send or not, variant, channel, slot, each only among values that
still have a completion. What can be asked of a policy for many decisions at once is asked for many at once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import msgspec

from personalization.deciding.guarding import Actions, admitted, offered
from personalization.deciding.pricing import doubt, gain, price_of, prices_off
from personalization.deciding.record import MILLE, ChannelOption, Inputs, PricedInputs, Triple
from personalization.learning.choosing import Choice
from personalization.learning.encoding import channel_key, signed
from personalization.learning.guardrails import Guardrails
from personalization.learning.policy import ChannelAsk, HourAsk, Policy
from personalization.vocabulary import Suppression

#: Bits of Inputs.stages.
VARIANT, CHANNEL, TIMING, SEND = 1, 2, 4, 8
#: Options of the send stage.
HELD, SENT = 0, 1
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


#: A preference, and what its greedy option adds to the logit.
_Scored = tuple[Preference, float]


class Path(msgspec.Struct, frozen=True):
    """policy : None where no stage reads one     logit : what the greedy variant adds

    held   : why it would not be sent    limits : how far each stage may leave its greedy option: send, variant, channel, timing
    """

    policy: Policy | None
    send: Preference
    held: Suppression
    variant: Preference
    channel: Preference
    timing: Preference
    logit: float
    limits: tuple[float, ...]

    @property
    def greedy(self) -> Triple:
        """What certainty sends, if it sends."""
        return Triple(self.variant.greedy, self.channel.greedy, self.timing.greedy)


def paths(inputs: Sequence[Inputs], policy_of: PolicyOf) -> list[Path | None]:
    """One each, in order; None where nothing is feasible."""
    found: list[Path | None] = [None] * len(inputs)
    groups: dict[tuple[str, int, int, str, Guardrails, bytes, type[Inputs], Actions], list[int]] = defaultdict(list)
    for i, one in enumerate(inputs):
        if not one.candidates or not one.channels:
            continue
        if one.stages:
            actions = tuple([c.actions for c in one.candidates])
            groups[one.model_id, one.snapshot_id, one.stages, one.method, one.guardrails, one.shown, type(one), actions].append(i)
        else:
            found[i] = _path(one, None, (_only(one.baseline), 0.0), *_unlearned(one, one.baseline))
    for (model_id, snapshot_id, *_, actions), members in groups.items():
        alike = _alike([inputs[i] for i in members], policy_of(model_id, snapshot_id), actions)
        for i, path in zip(members, alike, strict=True):
            found[i] = path
    return found


def _alike(inputs: Sequence[Inputs], policy: Policy, actions: Actions) -> Iterable[Path]:
    """Of decisions that read one policy in one way and have the same candidates."""
    options = admitted(policy, inputs[0].guardrails, actions)
    asked, repeats = offered(actions, inputs[0].shown, options)
    choices = policy.variants([one.features for one in inputs], asked, inputs[0].method, repeats)
    variants = [_among_variants(one, options, choice) for one, choice in zip(inputs, choices, strict=True)]
    channels = among_channels(inputs, [(words.greedy, logit) for words, logit in variants], policy)
    slots = among_slots(inputs, [channel.greedy for channel, _ in channels], policy)
    return [_path(one, policy, *stages) for one, *stages in zip(inputs, variants, channels, slots, strict=True)]


def _path(one: Inputs, policy: Policy | None, variant: _Scored, channel: _Scored, timing: _Scored) -> Path:
    action = Triple(variant[0].greedy, channel[0].greedy, timing[0].greedy)
    send, held = _whether(one, policy, variant[1] + channel[1] + timing[1], action)
    kept = send.kept if send.greedy == SENT else 1.0
    limits = _bounded(one.exploration, *[round(k, 6) for k in (kept, variant[0].kept, channel[0].kept, timing[0].kept)])
    return Path(policy, send, held, variant[0], channel[0], timing[0], variant[1], limits)


@lru_cache(maxsize=16384)
def _bounded(exploration: int, *kept: float) -> tuple[float, ...]:
    """How much each stage may leave its greedy option, so that all together stay within `exploration` millionths: the
    stages keep what they would keep by themselves, to one power."""
    wanted, own = math.log(max(1.0 - exploration / 1e6, 1e-12)), sum(math.log(share) for share in kept)
    power = 1.0 if own >= wanted else wanted / own
    return tuple([1.0 - math.pow(share, power) for share in kept])


# -- the stages ------------------------------------------------------------------------------------------------------


def _unlearned(one: Inputs, variant: int) -> tuple[_Scored, _Scored]:
    """Channel and slot where no policy is read."""
    channel = _preferred(one, variant)
    return (channel, 0.0), (_usual(one, channel.greedy), 0.0)


def _whether(one: Inputs, policy: Policy | None, logit: float, action: Triple) -> tuple[Preference, Suppression]:
    """Whether one more message is worth what it may cost, what comes without it and what it takes from others; and why not,
    where not.

    logit : what the best variant, channel and hour add     action : those

    It is always sent where nobody was ever lost by a message, too few went without one to know, and no budget binds.
    """
    price = price_of(one, action.channel)
    if policy is None or one.forced or not one.stages & SEND or not (policy.burdened or policy.unsent or price):
        return _only(SENT), Suppression.FATIGUE
    worth, deviation, reason = gain(one, policy, logit)
    if not price:
        return _weighed(worth, deviation), reason
    deviation = math.hypot(deviation, doubt(one, policy, action, logit))
    return _weighed(worth - price, deviation), Suppression.BUDGET if worth >= 0.0 else reason


def _weighed(worth: float, deviation: float) -> Preference:
    """To hold it back as often as it is believed to be worth less than nothing."""
    held = round(0.5 * math.erfc(worth / (max(deviation, 1e-9) * math.sqrt(2.0))), 6)
    return Preference((HELD, SENT), (held, 1.0 - held), HELD if worth < 0.0 else SENT) if held > 0.0 else _only(SENT)


def _among_variants(one: Inputs, options: tuple[int, ...], choice: Choice) -> _Scored:
    if not one.stages & VARIANT:
        return _only(one.baseline), choice.scores[one.baseline]
    return _among(options, choice)


def among_channels(inputs: Sequence[Inputs], variants: Sequence[tuple[int, float]], policy: Policy | None) -> list[_Scored]:
    """variants : the one that goes, and what the greedy one adds to the logit"""
    if policy is None or not inputs[0].stages & CHANNEL:
        return [(_preferred(one, variant), 0.0) for one, (variant, _) in zip(inputs, variants, strict=True)]
    fitting = [bits(one.candidates[variant].channels) for one, (variant, _) in zip(inputs, variants, strict=True)]
    asks = [
        channel_ask(one, [one.channels[i] for i in options], policy, logit)
        for one, options, (_, logit) in zip(inputs, fitting, variants, strict=True)
    ]
    choices = policy.channels(asks, inputs[0].method)
    if isinstance(inputs[0], PricedInputs):
        logits = [logit for _, logit in variants]
        return _among_priced(inputs, fitting, asks, choices, logits, policy)
    return [_among(*found) for found in zip(fitting, choices, strict=True)]


def channel_ask(one: Inputs, channels: Sequence[ChannelOption], policy: Policy, logit: float) -> ChannelAsk:
    keys, known = tuple([channel_key(c.name) for c in channels]), tuple([c.preference for c in channels])
    return one.features, keys, known, shifts(one, channels, policy, logit)


def shifts(one: Inputs, channels: Sequence[ChannelOption], policy: Policy | None, logit: float) -> tuple[float, ...]:
    """What cost and reachability take off each channel, in logits: reach multiplies the reward, a cost is worth as many
    logits as would earn it there."""
    terms = [(channel.cost, channel.reach) for channel in channels]
    if policy is None or terms.count(terms[0]) == len(terms):
        return (0.0,) * len(terms)
    return _shifted(tuple(terms), round(policy.base(one.features) + logit, 1), policy.top - policy.low)


def _among_priced(
    inputs: Sequence[Inputs],
    fitting: Sequence[tuple[int, ...]],
    asks: Sequence[ChannelAsk],
    choices: Sequence[Choice],
    logits: Sequence[float],
    policy: Policy,
) -> list[_Scored]:
    """Chosen at the prices; the score is that without them."""
    priced = []
    for one, options, ask, choice, logit in zip(inputs, fitting, asks, choices, logits, strict=True):
        off = prices_off(one, options, channel_logits(one, options, choice, logit, policy), policy)
        priced.append((*ask[:3], tuple([shift + less for shift, less in zip(ask[3], off, strict=True)])))
    found = policy.channels(priced, inputs[0].method)
    return [
        (_among(options, choice)[0], before.scores[choice.greedy])
        for options, choice, before in zip(fitting, found, choices, strict=True)
    ]


def channel_logits(one: Inputs, options: Sequence[int], choice: Choice, logit: float, policy: Policy) -> list[float]:
    """Of a send by each channel at its best hour, to be added to the context's. choice : without prices"""
    hours = among_slots([one] * len(options), options, policy)
    return [logit + score + hour for score, (_, hour) in zip(choice.scores, hours, strict=True)]


@lru_cache(maxsize=4096)
def _shifted(terms: tuple[tuple[int, int], ...], logit: float, span: float) -> tuple[float, ...]:
    likely = 1.0 / (1.0 + math.exp(-logit))
    slope = max(likely * (1.0 - likely), _LEAST_SLOPE) * span
    return tuple([round(math.log(max(reach, 1) / MILLE) - cost / MILLE / slope, 6) for cost, reach in terms])


def among_slots(inputs: Sequence[Inputs], channels: Sequence[int], policy: Policy | None) -> list[_Scored]:
    """channels : the one that each goes by"""
    if policy is None or not inputs[0].stages & TIMING:
        return [(_usual(one, channel), 0.0) for one, channel in zip(inputs, channels, strict=True)]
    slots = [slot_numbers(one.channels[channel].slots) for one, channel in zip(inputs, channels, strict=True)]
    asks = [_hour_ask(one, options) for one, options in zip(inputs, slots, strict=True)]
    return [_among(*found) for found in zip(slots, policy.hours(asks, inputs[0].method), strict=True)]


def _hour_ask(one: Inputs, options: tuple[int, ...]) -> HourAsk:
    if len(options) == len(one.hours):
        return one.features, one.hours, one.habits
    habits = bytes([one.habits[k] for k in options]) if one.habits else b""
    return one.features, bytes([one.hours[k] for k in options]), habits


def _among(options: tuple[int, ...], choice: Choice) -> _Scored:
    return Preference(options, choice.shares, options[choice.greedy]), choice.scores[choice.greedy]


def _preferred(one: Inputs, variant: int) -> Preference:
    """The channel the person is said to like best."""
    return _only(max(bits(one.candidates[variant].channels), key=lambda i: one.channels[i].preference))


def _usual(one: Inputs, channel: int) -> Preference:
    """The first slot among those of the most evidence."""
    options = slot_numbers(one.channels[channel].slots)
    return _only(max(options, key=lambda k: signed(one.habits[k])) if one.habits else options[0])


@lru_cache(maxsize=256)
def _only(option: int) -> Preference:
    return Preference((option,), (1.0,), option)


@lru_cache(maxsize=4096)
def bits(mask: int) -> tuple[int, ...]:
    """The numbers of the bits that are set, ascending."""
    return tuple(i for i in range(mask.bit_length()) if mask >> i & 1)


@lru_cache(maxsize=4096)
def slot_numbers(mask: bytes) -> tuple[int, ...]:
    return bits(int.from_bytes(mask, "little"))
