"""What a model published: beliefs about the weights, and what they make of the options of each stage.

A belief is normal in the logit, and the parts of an action add up there, so each stage has its own distribution whatever
the other stages choose (learning.choosing).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import fmean
from typing import TypeVar

import msgspec
import numpy as np

from personalization.learning import ensemble
from personalization.learning.beliefs import Beliefs, Single
from personalization.learning.choosing import METHODS, Choice
from personalization.learning.design import Array, Group, told
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
from personalization.learning.ensemble import POINTS, STEPS
from personalization.learning.frequency import NO_BURDEN, Burden
from personalization.learning.guardrails import Guardrails, Standing, standings
from personalization.learning.logistic import RewardModel
from personalization.learning.recovering import Recovery, penalised
from personalization.recent import Recent
from personalization.vocabulary import PolicyMethod

#: Rewards are taken as at least this far from none and from certain.
_RARE = 0.01
#: Choices that a policy remembers, and that it makes together: arrays of more leave the processor's cache. Standings
#: against guardrails that it remembers.
_CHOICES_KEPT, _TOGETHER, _GUARDRAILS_KEPT = 16_384, 32, 16
#: Decisions not to send before which nothing is said of what happens then.
_LEAST_UNSENT = 100.0
#: What is asked about hours.
_HOUR_SET = (*HOUR_ACTS, HABIT)


#: One channel stage: context, keys of the channels, evidence for each in quanta, what else speaks for each in logits.
ChannelAsk = tuple[tuple[Feature, ...], tuple[int, ...], tuple[int, ...], tuple[float, ...]]
#: One timing stage: context, local hours of the week, evidence for each in quanta (a signed byte an hour, or empty).
HourAsk = tuple[tuple[Feature, ...], bytes, bytes]
_VariantAsk = tuple[tuple[Feature, ...], tuple[tuple[int, ...], ...], bytes]
_Ask = TypeVar("_Ask", _VariantAsk, ChannelAsk, HourAsk)
#: What a stage compares: scores (n, k), and their draws (n, k, POINTS) around them.
_Scored = tuple[Array, Single]


class _Body(msgspec.Struct, array_like=True, frozen=True):
    keys: list[int]
    rows: list[int]
    mean: bytes
    draws: bytes
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
    unsent: bytes = b""
    lately: dict[str, float] = {}


class Policy:
    """Immutable parameters of one model, as published. Safe to read from any thread.

    low, top : the range of the rewards     average : reward, as a share of it
    unsent : the policy of who got nothing, None where too few did
    weight : decisions behind it            counts : event types -> decisions     by_variant : the same of each variant
    lately : the same of those that are over, the newest weighing most
    """

    def __init__(self, body: _Body, snapshot_id: int, model_id: str) -> None:
        self.snapshot_id, self.model_id = snapshot_id, model_id
        self.weight, self.low, self.top, self.split = body.weight, body.low, body.top, body.split
        self.average, self.counts, self.lately = body.average, body.counts, body.lately
        self.index = dict(zip(body.keys, body.rows, strict=True))
        self._deviations = dict(body.deviations)
        self._first_channel = None if body.first is None else ActKey(KIND_CHANNEL, body.first[0])
        self._first_hour = None if body.first is None else hour_values(body.first[1])
        self.burden, self.recovery, self.by_variant = body.burden, body.recovery, body.by_variant
        self._standings: Recent[Guardrails, dict[int, tuple[Standing, ...]]] = Recent(_GUARDRAILS_KEPT)
        mean, draws = np.frombuffer(body.mean, np.float32), np.frombuffer(body.draws, np.int16).reshape(-1, POINTS)
        self.dimensions = len(mean)
        self._beliefs = Beliefs(self.index, mean.astype(np.float64), draws, self._deviations, self._first_channel)
        self._choices: Recent[tuple[object, ...], Choice] = Recent(_CHOICES_KEPT)
        self._costs: Recent[tuple[object, ...], Array] = Recent(_CHOICES_KEPT)
        self._bases: Recent[tuple[Feature, ...], float] = Recent(_CHOICES_KEPT)
        self._expectations: Recent[tuple[Feature, ...], tuple[float, float]] = Recent(_CHOICES_KEPT)
        self.unsent = decode_policy(body.unsent, snapshot_id, model_id) if body.unsent else None

    def pairs(self) -> set[int]:
        """Keys of the pairs of context and action behind it."""
        return self.index.keys() | (self.unsent.pairs() if self.unsent else set())

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

        def scored(asks: Sequence[_VariantAsk]) -> _Scored:
            acts, options = _variant_options(actions)
            mean, drawn = self._beliefs.about([context for context, _, _ in asks], acts)
            scores = np.matmul(options, mean[:, :, None])[:, :, 0] - self._against(actions, shown)
            return scores, drawn if len(acts) == len(actions) else np.matmul(options.astype(np.float32), drawn)

        return self._chosen(method, [(context, actions, shown) for context in contexts], lambda _: None, scored)

    def channels(self, asked: Sequence[ChannelAsk], method: str = PolicyMethod.THOMPSON) -> list[Choice]:
        """One choice each, among the channels asked about."""

        def scored(asks: Sequence[ChannelAsk]) -> _Scored:
            acts = (*[ActKey(KIND_CHANNEL, key) for key in asks[0][1]], PREFERENCE)
            mean, drawn = self._beliefs.about([context for context, *_ in asks], acts)
            known, shifts = EVIDENCE * np.array([known for _, _, known, _ in asks]), np.array([shifts for *_, shifts in asks])
            spread = drawn[:, :-1] + known.astype(np.float32)[:, :, None] * drawn[:, -1:]
            return mean[:, :-1] + known * mean[:, -1:] + shifts, spread

        return self._chosen(method, asked, lambda ask: ask[1], scored)

    def hours(self, asked: Sequence[HourAsk], method: str = PolicyMethod.THOMPSON) -> list[Choice]:
        """One choice each, among the hours asked about."""

        def scored(asks: Sequence[HourAsk]) -> _Scored:
            mean, drawn = self._beliefs.about([context for context, _, _ in asks], _HOUR_SET)
            values, stepped = _values_of(asks[0][1])
            scores = np.matmul(values, mean[:, :-1, None])[:, :, 0]
            spread = np.matmul(stepped, drawn[:, :-1].astype(np.float64)).astype(np.float32)
            if not asks[0][2]:
                return scores, spread
            habits = EVIDENCE * np.array([np.frombuffer(habits, np.int8) for _, _, habits in asks])
            spread += habits.astype(np.float32)[:, :, None] * drawn[:, -1:]
            return scores + habits * mean[:, -1:], spread

        return self._chosen(method, asked, lambda ask: (ask[1], not ask[2]), scored)

    def _chosen(
        self,
        method: str,
        asked: Sequence[_Ask],
        alike: Callable[[_Ask], object],
        scored: Callable[[Sequence[_Ask]], _Scored],
    ) -> list[Choice]:
        """What is asked for the first time is scored and chosen from together with what is alike."""
        known = [self._choices.get((method, ask)) for ask in asked]
        new = dict.fromkeys([ask for ask, choice in zip(asked, known, strict=True) if choice is None])
        if not new:
            return known  # type: ignore[return-value]
        groups: dict[object, list[_Ask]] = defaultdict(list)
        for ask in new:
            groups[alike(ask)].append(ask)
        made: dict[_Ask, Choice] = {}
        for group in groups.values():
            for start in range(0, len(group), _TOGETHER):
                asks = group[start : start + _TOGETHER]
                scores, drawn = scored(asks)
                made.update(zip(asks, METHODS[method](self, np.round(scores, 9), drawn), strict=True))
        for ask, choice in made.items():
            self._choices.put((method, ask), choice)
        return [choice or made[ask] for ask, choice in zip(asked, known, strict=True)]

    # -- values ------------------------------------------------------------------------------------------------------

    def value(self, logit: float) -> float:
        """The reward that is expected where the model's logit is this."""
        return self.low + (self.top - self.low) * sigmoid(logit)

    def doubt(self, context: tuple[Feature, ...], action: tuple[int, ...], channel: int, hour: int) -> float:
        """Deviation of the logit of an action, evidence about the person left out."""
        acts = (SHARED_ACT, *[ActKey(KIND_VARIANT, key) for key in action], ActKey(KIND_CHANNEL, channel), *HOUR_ACTS)
        apart = np.subtract(hour_values(hour), self._first_hour or 0.0)
        values = np.concatenate([np.ones(len(action) + 2), np.rint(apart * STEPS) / STEPS])
        return float(np.std(np.matmul(values, self._beliefs.about([context], acts)[1][0].astype(np.float64))))

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
        return shared - float(np.dot(self._first_hour, self._beliefs.mean([context], HOUR_ACTS)[0]))

    def expected(self, context: tuple[Feature, ...]) -> tuple[float, float]:
        """The reward in a context where nothing is chosen, and its deviation. Of `unsent`."""
        found = self._expectations.get(context)
        if found is None:
            found = self._expected(context)
            self._expectations.put(context, found)
        return found

    def _expected(self, context: tuple[Feature, ...]) -> tuple[float, float]:
        mean, drawn = self._beliefs.about([context], (SHARED_ACT,))
        value = sigmoid(float(mean[0, 0]))
        spread = float(np.std(drawn[0, 0], dtype=np.float64))
        return self.low + (self.top - self.low) * value, (self.top - self.low) * value * (1.0 - value) * spread

    def tired(self, load: int) -> float:
        """What a load adds to the logit."""
        return sum(self._beliefs.weight(BIAS, act) * value for act, value in zip(LOADED, load_values(load), strict=True))

    @property
    def burdened(self) -> bool:
        """Whether it is known what messages cost."""
        return self.burden.known and self.split

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
        if not self.burdened:
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


def sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(logit, 500.0), -500.0)))


@lru_cache(maxsize=4096)
def _variant_options(actions: tuple[tuple[int, ...], ...]) -> tuple[tuple[ActKey, ...], Array]:
    """The features of all variants, and (k, m) which variant has which."""
    keys = tuple(dict.fromkeys(key for action in actions for key in action))
    options = np.array([[float(action.count(key)) for key in keys] for action in actions])
    return tuple(ActKey(KIND_VARIANT, key) for key in keys), options


@lru_cache(maxsize=4096)
def _values_of(hours: bytes) -> tuple[Array, Array]:
    """(k, 7): values of HOUR_ACTS, and on a grid where products with draws add up exactly."""
    values = np.array([hour_values(hour) for hour in hours])
    return values, np.rint(values * STEPS) / STEPS


def encode_policy(
    model: RewardModel,
    counts: Mapping[str, float],
    burden: Burden = NO_BURDEN,
    by_variant: Mapping[int, Mapping[str, float]] | None = None,
    unsent: RewardModel | None = None,
    lately: Mapping[str, float] | None = None,
) -> bytes:
    """A snapshot's body: arrays as float32, no pickle. unsent : rewards where nothing was sent"""
    mean, covariance = model.posterior()
    low, top = model.range()
    return msgspec.msgpack.encode(
        _Body(
            keys=list(model.design.index),
            rows=list(model.design.index.values()),
            mean=mean.astype(np.float32).tobytes(),
            draws=ensemble.draws(covariance).tobytes(),
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
            unsent=encode_policy(unsent, {}) if unsent is not None and unsent.weight >= _LEAST_UNSENT else b"",
            lately=dict(lately or {}),
        )
    )


def decode_policy(body: bytes, snapshot_id: int, model_id: str) -> Policy:
    """Raises msgspec.ValidationError on bytes that are no snapshot."""
    return Policy(msgspec.msgpack.decode(body, type=_Body), snapshot_id, model_id)


@lru_cache(maxsize=512)
def fresh_policy(model_id: str) -> Policy:
    """What is believed before anything was learned; snapshot_id 0."""
    return decode_policy(encode_policy(RewardModel(), {}), 0, model_id)
