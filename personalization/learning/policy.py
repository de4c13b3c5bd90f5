"""What a model published: beliefs about the weights, and how they choose among options.

Thompson sampling (Thompson 1933; linear with a logistic link, Chapelle and Li 2011): an option is drawn as often as it is
the best under the posterior. Those shares are counted over a fixed set of POINTS normal points, so they are
known before the draw. The posterior's deviations are drawn in by WIDTH (ibid., section 5: a narrower posterior loses less in
finite time). Only differences between options matter, and the parts of an action add up in the logit, so each stage's
option has its own share whatever the other stages choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
import numpy as np
from scipy.special import ndtri

from personalization.learning.design import Array, Group, group_of, prior_deviation, prior_mean
from personalization.learning.encoding import (
    BIAS,
    EVIDENCE,
    HABIT,
    HOUR_ACTS,
    KIND_VARIANT,
    PREFERENCE,
    QUANTUM,
    SHARED_ACT,
    ActKey,
    Feature,
    channel_act,
    cross_key,
    hour_values,
)
from personalization.learning.logistic import RewardModel
from personalization.recent import Recent

#: Points at which the posterior is looked at, and what its deviations are multiplied with.
POINTS, WIDTH = 128, 0.7
#: Added to the variance of what a stage compares, so that a root of nothing stays nothing.
_JITTER = 1e-6
#: Scores are rounded to this many digits: BLAS gives other last bits to other shapes.
_DIGITS = 7
#: Contexts in one product; larger blocks leave the processor's cache.
_BLOCK = 32
#: What a policy remembers: beliefs of contexts, and choices.
_BELIEFS_KEPT, _CHOICES_KEPT = 2_048, 16_384


class Choice(msgspec.Struct, frozen=True):
    """One stage's options: the greedy one, the probability of each under the policy, and their scores in logits."""

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
    counts: dict[str, float]
    first_channel: str | None


class Policy:
    """Immutable parameters of one model, as published. Safe to read from any thread.

    mean : (d + 1,) of the weights in logits, the last one 0 for what is unseen     covariance : (d + 1, d + 1)
    low, top : the range of the rewards      weight : decisions behind it      counts : event types -> decisions
    """

    def __init__(self, body: _Body, snapshot_id: int, model_id: str) -> None:
        self.snapshot_id, self.model_id = snapshot_id, model_id
        self.weight, self.low, self.top, self.split, self.counts = body.weight, body.low, body.top, body.split, body.counts
        self.index = dict(zip(body.keys, body.rows, strict=True))
        self._deviations = dict(body.deviations)
        self._known = None if body.first_channel is None else channel_act(body.first_channel)
        mean = np.frombuffer(body.mean, np.float32)
        d = self.dimensions = len(mean)
        self.mean, lower = np.zeros(d + 1), np.zeros((d + 1, d + 1))
        self.mean[:d] = mean
        lower[np.tril_indices(d)] = np.frombuffer(body.covariance, np.float32)
        self.covariance = lower + np.tril(lower, -1).T
        self._beliefs: Recent[tuple[object, ...], _Belief] = Recent(_BELIEFS_KEPT)
        self._choices: Recent[tuple[object, ...], Choice] = Recent(_CHOICES_KEPT)

    # -- the three stages --------------------------------------------------------------------------------------------

    def variants(self, contexts: Sequence[tuple[Feature, ...]], actions: tuple[tuple[int, ...], ...]) -> list[Choice]:
        """One choice a context among variants, each given by the keys of its features. One product for all new contexts."""
        known = [self._choices.get((context, actions)) for context in contexts]
        new = list(dict.fromkeys(c for c, choice in zip(contexts, known, strict=True) if choice is None))
        if new:
            acts, options = _variant_options(actions)
            for context, belief in zip(new, self._believed(new, acts), strict=True):
                self._choices.put((context, actions), _chosen(options @ belief.mean, options @ belief.root))
        return [choice or self._choices.get((c, actions)) for c, choice in zip(contexts, known, strict=True)]  # type: ignore[misc]

    def channels(
        self, context: tuple[Feature, ...], names: tuple[str, ...], preferences: tuple[int, ...], shifts: tuple[float, ...]
    ) -> Choice:
        """Among channels. preferences : evidence in quanta     shifts : what else speaks for or against each, in logits"""
        key = (context, names, preferences, shifts)
        found = self._choices.get(key)
        if found is None:
            belief = self._believed([context], (*map(channel_act, names), PREFERENCE))[0]
            options = np.column_stack([np.eye(len(names)), EVIDENCE * np.array(preferences)])
            found = _chosen(options @ belief.mean + np.array(shifts), options @ belief.root)
            self._choices.put(key, found)
        return found

    def hours(self, context: tuple[Feature, ...], hours: bytes, habits: bytes) -> Choice:
        """Among local hours of the week. habits : evidence in quanta, a signed byte an hour, or empty"""
        key = (context, hours, habits)
        found = self._choices.get(key)
        if found is None:
            belief = self._believed([context], (*HOUR_ACTS, HABIT))[0]
            options = _hour_options(hours, habits)
            found = _chosen(options @ belief.mean, options @ belief.root)
            self._choices.put(key, found)
        return found

    def believe_hours(self, contexts: Sequence[tuple[Feature, ...]]) -> None:
        """Make ready what `hours` will ask for, in one product."""
        self._believed(contexts, (*HOUR_ACTS, HABIT))

    # -- values ------------------------------------------------------------------------------------------------------

    def value(self, logit: float) -> float:
        """The reward that is expected where the model's logit is this."""
        return self.low + (self.top - self.low) / (1.0 + float(np.exp(-logit)))

    def base(self, context: tuple[Feature, ...]) -> float:
        """The logit of a context before anything of the action is known."""
        return float(self._believed([context], (SHARED_ACT,))[0].mean[0])

    def contributions(self, context: Sequence[Feature], acts: Sequence[tuple[ActKey, float]]) -> list[float]:
        """What each context feature adds to the logit of an action, given as features with values."""

        def weight(key: int, act: ActKey) -> float:
            row = self.index.get(cross_key(key, act.key))
            return prior_mean(group_of(key, act)) if row is None else float(self.mean[row])

        return [value * QUANTUM * sum(weight(key, act) * size for act, size in acts) for key, value in context]

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
        return [_Belief(one, WIDTH * root) for one, root in zip(mean, roots, strict=True)]

    def _activate(self, phi: Array, context: tuple[Feature, ...], act: ActKey, mean: Array, extra: Array, j: int) -> None:
        """One action feature in one context; unseen pairs have their prior. Evidence is about the person, in any context."""
        alone = ((BIAS, int(1 / QUANTUM)),) if act in (PREFERENCE, HABIT) else context
        for key, quanta in alone:
            row, value = self.index.get(cross_key(key, act.key)), quanta * QUANTUM
            if row is not None:
                phi[row] += value
            elif act != self._known and (act.kind == KIND_VARIANT or key == BIAS):
                group = group_of(key, act)
                mean[j] += prior_mean(group) * value
                extra[j] += (self._deviations.get(group) or prior_deviation(group)) ** 2 * value**2


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


def _chosen(scores: Array, root: Array) -> Choice:
    """scores : (k,)    root : (k, m) of their covariance"""
    scores = np.round(scores, _DIGITS)
    greedy = int(scores.argmax())
    drawn = np.round(scores + _points(root.shape[1]) @ root.T, _DIGITS)
    shares = np.bincount(drawn.argmax(axis=1), minlength=len(scores)) / POINTS
    return Choice(greedy, tuple(shares.tolist()), tuple(scores.tolist()))


@lru_cache(maxsize=128)
def _points(m: int) -> Array:
    """(POINTS, m): a Latin hypercube of normal quantiles (McKay et al. 1979) and its mirror image, the columns made
    uncorrelated where there are few of them. The same for ever: numpy keeps the stream of RandomState."""
    half, shuffled = POINTS // 2, np.random.RandomState(20261123)
    quantiles = ndtri((np.arange(POINTS) + 0.5) / POINTS)[half:]
    signs = np.array([1.0, -1.0] * (half // 2))
    z = np.column_stack([(quantiles * signs)[shuffled.permutation(half)] for _ in range(m)])
    if m <= half // 2:
        z = z @ np.linalg.inv(np.linalg.cholesky(z.T @ z / half)).T
    return np.vstack([z, -z])


def encode_policy(model: RewardModel, counts: Mapping[str, float]) -> bytes:
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
            counts=dict(counts),
            first_channel=model.design.first[0] if model.design.first else None,
        )
    )


def decode_policy(body: bytes, snapshot_id: int, model_id: str) -> Policy:
    """Raises msgspec.ValidationError on bytes that are no snapshot."""
    return Policy(msgspec.msgpack.decode(body, type=_Body), snapshot_id, model_id)


@lru_cache(maxsize=4096)
def fresh_policy(model_id: str) -> Policy:
    """What is believed before anything was learned; snapshot_id 0."""
    return decode_policy(encode_policy(RewardModel(), {}), 0, model_id)
