"""What a model published: beliefs about the weights, and how they choose among options.

A belief is normal in the logit (linear Thompson sampling with a logistic link, Chapelle and Li 2011). The parts of an
action add up there, so each stage has its own distribution whatever the other stages choose: METHODS names the ways to
make one. Thompson's posterior is drawn in by WIDTH (ibid., section 5: a narrower one loses less in finite time).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import fmean

import msgspec
import numpy as np

from personalization.learning.design import Array, Group, group_of, prior_deviation, prior_mean, told
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
    cross_key,
    days_ago,
    hour_values,
    load_values,
)
from personalization.learning.frequency import NO_BURDEN, Burden
from personalization.learning.linucb import confidence_width, upper_bounds
from personalization.learning.logistic import RewardModel
from personalization.learning.recovering import Recovery, penalised
from personalization.learning.squarecb import inverse_gaps, learning_rate
from personalization.learning.thompson import chances_one
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
#: Added to the variance of what a stage compares, so that a root of nothing stays nothing.
_JITTER = 1e-6
#: Contexts in one product; larger blocks leave the processor's cache.
_BLOCK = 32
#: What a policy remembers: beliefs of contexts, and choices.
_BELIEFS_KEPT, _CHOICES_KEPT = 2_048, 16_384


class Choice(msgspec.Struct, frozen=True):
    """One stage's options: the greedy one, the share of each under the policy, and their scores in logits."""

    greedy: int
    shares: tuple[float, ...]
    scores: tuple[float, ...]


class _Belief(msgspec.Struct, frozen=True):
    """About some action features in one context. mean : (m,)    root : (m, m) of the covariance"""

    mean: Array
    root: Array


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


class Policy:
    """Immutable parameters of one model, as published. Safe to read from any thread.

    mean : (d + 1,) of the weights in logits, the last one 0 for what is unseen     covariance : (d + 1, d + 1)
    low, top : the range of the rewards     average : reward, as a share of it
    weight : decisions behind it            counts : event types -> decisions
    """

    def __init__(self, body: _Body, snapshot_id: int, model_id: str) -> None:
        self.snapshot_id, self.model_id = snapshot_id, model_id
        self.weight, self.low, self.top, self.split = body.weight, body.low, body.top, body.split
        self.average, self.counts = body.average, body.counts
        self.index = dict(zip(body.keys, body.rows, strict=True))
        self._deviations = dict(body.deviations)
        self._first_channel = None if body.first is None else ActKey(KIND_CHANNEL, body.first[0])
        self._first_hour = None if body.first is None else hour_values(body.first[1])
        self.burden, self.recovery = body.burden, body.recovery
        mean = np.frombuffer(body.mean, np.float32)
        d = self.dimensions = len(mean)
        self.mean, lower = np.zeros(d + 1), np.zeros((d + 1, d + 1))
        self.mean[:d] = mean
        lower[np.tril_indices(d)] = np.frombuffer(body.covariance, np.float32)
        self.covariance = lower + np.tril(lower, -1).T
        self._beliefs: Recent[tuple[object, ...], _Belief] = Recent(_BELIEFS_KEPT)
        self._choices: Recent[tuple[object, ...], Choice] = Recent(_CHOICES_KEPT)

    # -- the three stages --------------------------------------------------------------------------------------------

    def variants(
        self,
        contexts: Sequence[tuple[Feature, ...]],
        actions: tuple[tuple[int, ...], ...],
        method: str = PolicyMethod.THOMPSON,
        shown: bytes = b"",
    ) -> list[Choice]:
        """One choice a context among variants, each given by the keys of its features. One product for all new contexts.

        shown : how long ago each variant was shown (see encoding.ago), empty where none was
        """
        shown = shown if self.recovery.gamma else b""
        known = [self._choices.get((context, actions, method, shown)) for context in contexts]
        new = list(dict.fromkeys(c for c, choice in zip(contexts, known, strict=True) if choice is None))
        if new:
            acts, options = _variant_options(actions)
            against = self._worth(self._losses(actions) + self._repeats(shown or bytes(len(actions))))
            for context, belief in zip(new, self._believed(new, acts), strict=True):
                self._choices.put(
                    (context, actions, method, shown), self._chosen(method, options @ belief.mean - against, options @ belief.root)
                )
        return [choice or self._choices.get((c, actions, method, shown)) for c, choice in zip(contexts, known, strict=True)]  # type: ignore[misc]

    def channels(
        self,
        context: tuple[Feature, ...],
        keys: tuple[int, ...],
        preferences: tuple[int, ...],
        shifts: tuple[float, ...],
        method: str = PolicyMethod.THOMPSON,
    ) -> Choice:
        """Among channels, by their keys.

        preferences : evidence in quanta     shifts : what else speaks for or against each, in logits
        """
        key = (context, keys, preferences, shifts, method)
        found = self._choices.get(key)
        if found is None:
            belief = self._believed([context], (*(ActKey(KIND_CHANNEL, own) for own in keys), PREFERENCE))[0]
            options = np.column_stack([np.eye(len(keys)), EVIDENCE * np.array(preferences)])
            found = self._chosen(method, options @ belief.mean + np.array(shifts), options @ belief.root)
            self._choices.put(key, found)
        return found

    def hours(self, context: tuple[Feature, ...], hours: bytes, habits: bytes, method: str = PolicyMethod.THOMPSON) -> Choice:
        """Among local hours of the week. habits : evidence in quanta, a signed byte an hour, or empty"""
        key = (context, hours, habits, method)
        found = self._choices.get(key)
        if found is None:
            belief = self._believed([context], (*HOUR_ACTS, HABIT))[0]
            options = _hour_options(hours, habits)
            found = self._chosen(method, options @ belief.mean, options @ belief.root)
            self._choices.put(key, found)
        return found

    def believe_hours(self, contexts: Sequence[tuple[Feature, ...]]) -> None:
        """Make ready what `hours` will ask for, in one product."""
        self._believed(contexts, (*HOUR_ACTS, HABIT))

    def _chosen(self, method: str, scores: Array, root: Array) -> Choice:
        """scores : (k,)    root : (k, m) of their covariance"""
        values = [round(score, 9) for score in scores.tolist()]
        odds, greedy = METHODS[method](self, values, root)
        total = sum(odds)
        return Choice(greedy, tuple([share / total for share in odds]), tuple(values))

    # -- values ------------------------------------------------------------------------------------------------------

    def value(self, logit: float) -> float:
        """The reward that is expected where the model's logit is this."""
        return self.low + (self.top - self.low) * sigmoid(logit)

    def base(self, context: tuple[Feature, ...]) -> float:
        """The logit of a context to which the scores of its variant, channel and hour are added."""
        shared = float(self._believed([context], (SHARED_ACT,))[0].mean[0])
        if self._first_hour is None:
            return shared
        return shared - float(np.dot(self._first_hour, self._believed([context], (*HOUR_ACTS, HABIT))[0].mean[:-1]))

    def tired(self, load: int) -> float:
        """What a load adds to the logit."""
        weights = [self.mean[self.index.get(cross_key(BIAS, act.key), self.dimensions)] for act in LOADED]
        return sum(float(weight) * value for weight, value in zip(weights, load_values(load), strict=True))

    def marginal(self, logit: float, load: int) -> tuple[float, float]:
        """What one more message is worth in a week that had `load` of them, and its deviation. logit : of the best at load 0.

        Only of a policy whose burden is known, see learning.frequency.
        """
        return self.burden.marginal(lambda n: self.value(logit + self.tired(n)), load)

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

    def contributions(self, context: Sequence[Feature], acts: Sequence[tuple[ActKey, float]]) -> list[float]:
        """What each context feature adds to the logit of an action, given as features with values."""

        def weight(key: int, act: ActKey) -> float:
            row = self.index.get(cross_key(key, act.key))
            return prior_mean(group_of(key, act)) if row is None else float(self.mean[row])

        return [value * QUANTUM * sum(weight(key, act) * size for act, size in acts) for key, value in context]

    def deviations(self) -> dict[str, dict[str, float]]:
        """How far weights were found to differ, in logits: level -> part -> standard deviation, the mean over features."""
        found: dict[str, dict[str, list[float]]] = {}
        for group, deviation in sorted(self._deviations.items()):
            level, part = told(group)
            found.setdefault(level, {}).setdefault(part, []).append(deviation)
        return {level: {part: fmean(own) for part, own in parts.items()} for level, parts in found.items()}

    # -- beliefs -----------------------------------------------------------------------------------------------------

    def _believed(self, contexts: Sequence[tuple[Feature, ...]], acts: tuple[ActKey, ...]) -> list[_Belief]:
        known = [self._beliefs.get((context, acts)) for context in contexts]
        new = [context for context, belief in zip(contexts, known, strict=True) if belief is None]
        made = {}
        for at in range(0, len(new), _BLOCK):
            block = new[at : at + _BLOCK]
            for context, belief in zip(block, self._made(block, acts), strict=True):
                made[context] = belief
                self._beliefs.put((context, acts), belief)
        return [belief or made[context] for context, belief in zip(contexts, known, strict=True)]

    def _made(self, contexts: Sequence[tuple[Feature, ...]], acts: tuple[ActKey, ...]) -> list[_Belief]:
        """Weights summed over each context's features: a belief about the action features alone. O(n m d^2)."""
        n, m, d = len(contexts), len(acts), self.dimensions + 1
        phi, mean, extra = np.zeros((n * m, d)), np.zeros((n, m)), np.zeros((n, m))
        for i, context in enumerate(contexts):
            for j, act in enumerate(acts):
                self._activate(phi[i * m + j], context, act, mean[i], extra[i], j)
        mean += np.round(phi @ self.mean, 9).reshape(n, m)
        wide = np.einsum("nad,nbd->nab", (phi @ self.covariance).reshape(n, m, d), phi.reshape(n, m, d))
        diagonal = np.arange(m)
        wide[:, diagonal, diagonal] += extra + _JITTER
        roots = np.linalg.cholesky((wide + wide.swapaxes(1, 2)) / 2.0)
        return [_Belief(one, root) for one, root in zip(mean, roots, strict=True)]

    def _activate(self, phi: Array, context: tuple[Feature, ...], act: ActKey, mean: Array, extra: Array, j: int) -> None:
        """One action feature in one context; unseen pairs have their prior. Evidence is about the person, in any context."""
        alone = ((BIAS, int(1 / QUANTUM)),) if act in (PREFERENCE, HABIT) else context
        for key, quanta in alone:
            row, value = self.index.get(cross_key(key, act.key)), quanta * QUANTUM
            if row is not None:
                phi[row] += value
            elif act != self._first_channel and (act.kind == KIND_VARIANT or key == BIAS):
                group = group_of(key, act)
                mean[j] += prior_mean(group) * value
                extra[j] += (self._deviations.get(group) or prior_deviation(group)) ** 2 * value**2


def _thompson(policy: Policy, scores: Sequence[float], root: Array) -> tuple[list[float], int]:
    """An option as often as it is the best under the posterior."""
    return chances_one(scores, WIDTH * root)


def _squarecb(policy: Policy, scores: Sequence[float], root: Array) -> tuple[list[float], int]:
    """Inverse gap weighting of the expected rewards, as shares of the reward's range."""
    k = len(scores)
    rewards = np.array([[sigmoid(score) for score in scores]])
    odds, greedy = inverse_gaps(rewards, learning_rate(policy.weight, k, policy.dimensions, _COIN))
    return odds[0].tolist(), int(greedy[0])


def _linucb(policy: Policy, scores: Sequence[float], root: Array) -> tuple[list[float], int]:
    """The option of the highest upper confidence bound, always."""
    deviations = np.sqrt((root * root).sum(axis=1))[None, :]
    _, greedy = upper_bounds(np.array([scores]), deviations, confidence_width(_DELTA))
    best = int(greedy[0])
    return [float(option == best) for option in range(len(scores))], best


#: How a policy chooses: name -> (policy, scores (k,), root (k, m)) to odds (k,) and the greedy option.
METHODS: Mapping[str, Callable[[Policy, Sequence[float], Array], tuple[list[float], int]]] = {
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
def _hour_options(hours: bytes, habits: bytes) -> Array:
    """(k, m): values of HOUR_ACTS, and the habit."""
    values = np.array([hour_values(hour) for hour in hours])
    habit = np.frombuffer(habits, np.int8) if habits else np.zeros(len(hours))
    return np.column_stack([values, EVIDENCE * habit])


def encode_policy(model: RewardModel, counts: Mapping[str, float], burden: Burden = NO_BURDEN) -> bytes:
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
        )
    )


def decode_policy(body: bytes, snapshot_id: int, model_id: str) -> Policy:
    """Raises msgspec.ValidationError on bytes that are no snapshot."""
    return Policy(msgspec.msgpack.decode(body, type=_Body), snapshot_id, model_id)


@lru_cache(maxsize=4096)
def fresh_policy(model_id: str) -> Policy:
    """What is believed before anything was learned; snapshot_id 0."""
    return decode_policy(encode_policy(RewardModel(), {}), 0, model_id)
