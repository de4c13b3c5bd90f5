"""What a model published: beliefs about the weights, and how they choose among options.

A belief is normal in the logit (linear Thompson sampling with a logistic link, Chapelle and Li 2011). The parts of an
action add up there, so each stage has its own distribution whatever the other stages choose: METHODS names the ways to
make one. Thompson's posterior is drawn in by WIDTH (ibid., section 5: a narrower one loses less in finite time).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import fmean
from typing import Any

import msgspec
import numpy as np
from scipy.special import expit

from personalization.learning.beliefs import Beliefs
from personalization.learning.design import Array, Group, told
from personalization.learning.drawing import Odds
from personalization.learning.encoding import (
    BIAS,
    EVIDENCE,
    HABIT,
    HOUR_ACTS,
    KIND_CHANNEL,
    KIND_VARIANT,
    LOADED,
    PREFERENCE,
    QUANTUM,
    SHARED_ACT,
    ActKey,
    Feature,
    days_ago,
    hour_values,
    load_values,
)
from personalization.learning.frequency import NO_BURDEN, Burden
from personalization.learning.guardrails import Guardrails, Standing, standings
from personalization.learning.linucb import confidence_width, upper_bounds
from personalization.learning.logistic import RewardModel
from personalization.learning.recovering import Recovery, penalised
from personalization.learning.squarecb import inverse_gaps, learning_rate
from personalization.learning.thompson import chances, chances_one
from personalization.recent import Recent
from personalization.vocabulary import PolicyMethod

#: What the deviations of Thompson's posterior are multiplied with.
WIDTH = 0.7
#: Chance that LinUCB's bounds do not hold.
_DELTA = 0.1
#: Rewards are taken as at least this far from none and from certain.
_RARE = 0.01
#: Variance of a reward, at most, as a share of its range squared.
_COIN = 0.25
#: Choices that a policy remembers; from how many on, and up to how many options, they are made together: arrays of more
#: leave the processor's cache. Standings against guardrails that it remembers.
_CHOICES_KEPT, _TOGETHER, _WIDEST, _GUARDRAILS_KEPT = 16_384, 4, 8, 16
#: What is asked about hours.
_HOUR_SET = (*HOUR_ACTS, HABIT)


class Choice(msgspec.Struct, frozen=True):
    """One stage's options: the greedy one, the share of each under the policy, and their scores in logits."""

    greedy: int
    shares: tuple[float, ...]
    scores: tuple[float, ...]


#: One channel stage: context, keys of the channels, evidence for each in quanta, what else speaks for each in logits.
ChannelAsk = tuple[tuple[Feature, ...], tuple[int, ...], tuple[int, ...], tuple[float, ...]]
#: One timing stage: context, local hours of the week, evidence for each in quanta (a signed byte an hour, or empty).
HourAsk = tuple[tuple[Feature, ...], bytes, bytes]
#: What a stage compares: what it is remembered by, scores (k,), root (k, m) of their covariance.
_Scored = tuple[tuple[object, ...], Array, Array]


class _Body(msgspec.Struct, array_like=True, frozen=True):
    keys: list[int]
    rows: list[int]
    mean: bytes
    covariance: bytes
    deviations: list[tuple[Group, float]]
    weight: float
    low: float
    top: float
    split: bool
    average: float
    counts: dict[str, float]
    first: tuple[int, int] | None
    burden: Burden
    recovery: Recovery
    by_variant: dict[int, dict[str, float]] = {}


class Policy:
    """Immutable parameters of one model, as published. Safe to read from any thread.

    low, top : the range of the rewards     average : reward, as a share of it
    weight : decisions behind it            counts : event types -> decisions     by_variant : the same of each variant
    """

    def __init__(self, body: _Body, snapshot_id: int, model_id: str) -> None:
        self.snapshot_id, self.model_id = snapshot_id, model_id
        self.weight, self.low, self.top, self.split = body.weight, body.low, body.top, body.split
        self.average, self.counts = body.average, body.counts
        self.index = dict(zip(body.keys, body.rows, strict=True))
        self._deviations = dict(body.deviations)
        self._first_channel = None if body.first is None else ActKey(KIND_CHANNEL, body.first[0])
        self._first_hour = None if body.first is None else hour_values(body.first[1])
        self.burden, self.recovery, self.by_variant = body.burden, body.recovery, body.by_variant
        self._standings: Recent[Guardrails, dict[int, tuple[Standing, ...]]] = Recent(_GUARDRAILS_KEPT)
        mean = np.frombuffer(body.mean, np.float32)
        d = self.dimensions = len(mean)
        lower = np.zeros((d + 1, d + 1))
        lower[np.tril_indices(d)] = np.frombuffer(body.covariance, np.float32)
        self._beliefs = Beliefs(
            self.index, np.append(mean, 0.0), lower + np.tril(lower, -1).T, self._deviations, self._first_channel
        )
        self._choices: Recent[tuple[object, ...], Choice] = Recent(_CHOICES_KEPT)
        self._costs: Recent[tuple[object, ...], Array] = Recent(_CHOICES_KEPT)
        self._bases: Recent[tuple[Feature, ...], float] = Recent(_CHOICES_KEPT)

    # -- the three stages --------------------------------------------------------------------------------------------

    def variants(
        self,
        contexts: Sequence[tuple[Feature, ...]],
        actions: tuple[tuple[int, ...], ...],
        method: str = PolicyMethod.THOMPSON,
        shown: bytes = b"",
    ) -> list[Choice]:
        """One choice a context among variants, each given by the keys of its features.

        shown : how long ago each variant was shown (see encoding.ago), empty where none was
        """
        shown = shown if self.recovery.gamma else b""

        def scored(context: tuple[Feature, ...]) -> tuple[Array, Array]:
            acts, options = _variant_options(actions)
            belief = self._beliefs.about(context, acts)
            return options @ belief.mean - self._against(actions, shown), options @ belief.root

        return self._chosen(method, [(context, actions, shown) for context in contexts], lambda key: scored(key[0]))

    def channels(self, asked: Sequence[ChannelAsk], method: str = PolicyMethod.THOMPSON) -> list[Choice]:
        """One choice each, among the channels asked about."""

        def scored(ask: ChannelAsk) -> tuple[Array, Array]:
            context, keys, preferences, shifts = ask
            belief = self._beliefs.about(context, (*(ActKey(KIND_CHANNEL, own) for own in keys), PREFERENCE))
            options = _channel_options(preferences)
            return options @ belief.mean + np.array(shifts), options @ belief.root

        return self._chosen(method, asked, scored)

    def hours(self, asked: Sequence[HourAsk], method: str = PolicyMethod.THOMPSON) -> list[Choice]:
        """One choice each, among the hours asked about."""

        def scored(ask: HourAsk) -> tuple[Array, Array]:
            context, hours, habits = ask
            belief = self._beliefs.about(context, _HOUR_SET)
            options = _hour_options(hours, habits)
            return options @ belief.mean, options @ belief.root

        return self._chosen(method, asked, scored)

    def _chosen(self, method: str, asked: Sequence[Any], scored: Callable[[Any], tuple[Array, Array]]) -> list[Choice]:
        """What is asked for the first time is scored and, where it is alike in shape, chosen from together."""
        known = [self._choices.get((method, ask)) for ask in asked]
        new = list(dict.fromkeys([ask for ask, choice in zip(asked, known, strict=True) if choice is None]))
        if not new:
            return known  # type: ignore[return-value]
        alike: dict[tuple[int, ...], list[_Scored]] = defaultdict(list)
        for ask in new:
            scores, root = scored(ask)
            alike[root.shape].append((ask, np.round(scores, 9), root))
        made: dict[Any, Choice] = {}
        for group in alike.values():
            choices = METHODS[method](self, np.array([s for _, s, _ in group]), np.array([root for _, _, root in group]))
            made.update(zip([ask for ask, _, _ in group], choices, strict=True))
        for ask, choice in made.items():
            self._choices.put((method, ask), choice)
        return [choice or made[ask] for ask, choice in zip(asked, known, strict=True)]

    # -- values ------------------------------------------------------------------------------------------------------

    def value(self, logit: float) -> float:
        """The reward that is expected where the model's logit is this."""
        return self.low + (self.top - self.low) * sigmoid(logit)

    def base(self, context: tuple[Feature, ...]) -> float:
        """The logit of a context to which the scores of its variant, channel and hour are added."""
        found = self._bases.get(context)
        if found is None:
            found = self._base(context)
            self._bases.put(context, found)
        return found

    def _base(self, context: tuple[Feature, ...]) -> float:
        weight = self._beliefs.weight
        shared = sum([value * QUANTUM * weight(key, SHARED_ACT) for key, value in context])
        if self._first_hour is None:
            return shared
        return shared - float(np.dot(self._first_hour, self._beliefs.about(context, _HOUR_SET).mean[:-1]))

    def tired(self, load: int) -> float:
        """What a load adds to the logit."""
        return sum(self._beliefs.weight(BIAS, act) * value for act, value in zip(LOADED, load_values(load), strict=True))

    def marginal(self, logit: float, load: int) -> tuple[float, float]:
        """What one more message is worth in a week that had `load` of them, and its deviation. logit : of the best at load 0.

        Only of a policy whose burden is known, see learning.frequency.
        """
        return self.burden.marginal(lambda n: self.value(logit + self.tired(n)), load)

    def against(self, actions: tuple[tuple[int, ...], ...], shown: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What losses, and what repeats, take off each variant's score, in logits."""
        shown = shown if shown and self.recovery.gamma else bytes(len(actions))
        return tuple(self._worth(self._losses(actions)).tolist()), tuple(self._worth(self._repeats(shown)).tolist())

    def _against(self, actions: tuple[tuple[int, ...], ...], shown: bytes) -> Array:
        """(k,) the two together; remembered, for it is the same in every context."""
        found = self._costs.get((actions, shown))
        if found is None:
            found = self._worth(self._losses(actions) + self._repeats(shown or bytes(len(actions))))
            self._costs.put((actions, shown), found)
        return found

    def _losses(self, actions: tuple[tuple[int, ...], ...]) -> Array:
        """(k,) what each variant loses beyond the usual."""
        if not self.burden.known or not self.split:
            return np.zeros(len(actions))
        return self.burden.size * self.burden.usual * np.array([self.burden.risks.get(a[0], 1.0) - 1.0 for a in actions])

    def _repeats(self, shown: bytes) -> Array:
        """(k,) what showing each variant again takes off its reward."""
        days = np.array([[days_ago(number) for number in shown]])
        return np.asarray(-penalised(np.zeros(days.shape), days, self.recovery)[0])

    def _worth(self, rewards: Array) -> Array:
        """In logits, where the reward is the average one."""
        usual = min(max(self.average, _RARE), 1.0 - _RARE)
        return rewards / (usual * (1.0 - usual) * (self.top - self.low))

    def standings(self, guardrails: Guardrails) -> dict[int, tuple[Standing, ...]]:
        """Variants that were sent, by their keys, each against every guardrail."""
        found = self._standings.get(guardrails)
        if found is None:
            found = standings(self.by_variant, guardrails)
            self._standings.put(guardrails, found)
        return found

    def contributions(self, context: Sequence[Feature], acts: Sequence[tuple[ActKey, float]]) -> list[float]:
        """What each context feature adds to the logit of an action, given as features with values."""
        weight = self._beliefs.weight
        return [value * QUANTUM * sum(weight(key, act) * size for act, size in acts) for key, value in context]

    def deviations(self) -> dict[str, dict[str, float]]:
        """How far weights were found to differ, in logits: level -> part -> standard deviation, the mean over features."""
        found: dict[str, dict[str, list[float]]] = {}
        for group, deviation in sorted(self._deviations.items()):
            level, part = told(group)
            found.setdefault(level, {}).setdefault(part, []).append(deviation)
        return {level: {part: fmean(own) for part, own in parts.items()} for level, parts in found.items()}


def _thompson(policy: Policy, scores: Array, roots: Array) -> list[Choice]:
    """An option as often as it is the best under the posterior."""
    if len(scores) < _TOGETHER or scores.shape[1] > _WIDEST:
        return [_choice(*chances_one(own.tolist(), WIDTH * root), own) for own, root in zip(scores, roots, strict=True)]
    return _choices(chances(scores, WIDTH * roots), scores)


def _squarecb(policy: Policy, scores: Array, roots: Array) -> list[Choice]:
    """Inverse gap weighting of the expected rewards, as shares of the reward's range."""
    gamma = learning_rate(policy.weight, scores.shape[1], policy.dimensions, _COIN)
    return _choices(inverse_gaps(expit(scores), gamma), scores)


def _linucb(policy: Policy, scores: Array, roots: Array) -> list[Choice]:
    """The option of the highest upper confidence bound, always."""
    deviations = np.sqrt((roots * roots).sum(axis=2))
    _, greedy = upper_bounds(scores, deviations, confidence_width(_DELTA))
    return _choices(Odds(np.eye(scores.shape[1])[greedy], greedy), scores)


def _choices(found: Odds, scores: Array) -> list[Choice]:
    return [_choice(*one) for one in zip(found.odds.tolist(), found.greedy.tolist(), scores, strict=True)]


def _choice(odds: Sequence[float], greedy: int, scores: Array) -> Choice:
    total = sum(odds)
    return Choice(greedy, tuple([share / total for share in odds]), tuple(scores.tolist()))


#: How a policy chooses: name -> (policy, scores (n, k), roots (n, k, m) of their covariances) to choices (n,).
METHODS: Mapping[str, Callable[[Policy, Array, Array], list[Choice]]] = {
    PolicyMethod.THOMPSON: _thompson,
    PolicyMethod.SQUARECB: _squarecb,
    PolicyMethod.LINUCB: _linucb,
}


def sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(logit, 500.0), -500.0)))


@lru_cache(maxsize=4096)
def _variant_options(actions: tuple[tuple[int, ...], ...]) -> tuple[tuple[ActKey, ...], Array]:
    """The features of all variants, and (k, m) which variant has which."""
    keys = tuple(dict.fromkeys(key for action in actions for key in action))
    options = np.array([[float(action.count(key)) for key in keys] for action in actions])
    return tuple(ActKey(KIND_VARIANT, key) for key in keys), options


@lru_cache(maxsize=4096)
def _channel_options(preferences: tuple[int, ...]) -> Array:
    """(k, k + 1): each channel with its evidence."""
    return np.column_stack([np.eye(len(preferences)), EVIDENCE * np.array(preferences)])


@lru_cache(maxsize=4096)
def _hour_options(hours: bytes, habits: bytes) -> Array:
    """(k, m): values of _HOUR_SET."""
    values = np.array([hour_values(hour) for hour in hours])
    habit = np.frombuffer(habits, np.int8) if habits else np.zeros(len(hours))
    return np.column_stack([values, EVIDENCE * habit])


def encode_policy(
    model: RewardModel,
    counts: Mapping[str, float],
    burden: Burden = NO_BURDEN,
    by_variant: Mapping[int, Mapping[str, float]] | None = None,
) -> bytes:
    """A snapshot's body: arrays as float32, no pickle."""
    mean, covariance = model.posterior()
    low, top = model.range()
    return msgspec.msgpack.encode(
        _Body(
            keys=list(model.design.index),
            rows=list(model.design.index.values()),
            mean=mean.astype(np.float32).tobytes(),
            covariance=covariance[np.tril_indices(len(mean))].astype(np.float32).tobytes(),
            deviations=sorted(model.deviations.items()),
            weight=model.weight,
            low=low,
            top=top,
            split=model.split(),
            average=model.average(),
            counts=dict(counts),
            first=model.design.first,
            burden=burden,
            recovery=model.recovery(),
            by_variant={variant: dict(found) for variant, found in sorted((by_variant or {}).items())},
        )
    )


def decode_policy(body: bytes, snapshot_id: int, model_id: str) -> Policy:
    """Raises msgspec.ValidationError on bytes that are no snapshot."""
    return Policy(msgspec.msgpack.decode(body, type=_Body), snapshot_id, model_id)


@lru_cache(maxsize=4096)
def fresh_policy(model_id: str) -> Policy:
    """What is believed before anything was learned; snapshot_id 0."""
    return decode_policy(encode_policy(RewardModel(), {}), 0, model_id)
