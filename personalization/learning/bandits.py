"""A contextual bandit over variants: Bayesian linear regression with shared weights and per-arm offsets.

Model (Li et al. 2010, "A contextual-bandit approach to personalized news article recommendation", hybrid form,
eq. 6; posterior as in Agrawal and Goyal 2013): reward r of action a in context x is

    r = w . phi(x, a) + noise,   phi(x, a) = x (x) u_a,   u_a = {shared, the arm itself, its declared features}

so what is learned of a feature serves arms never seen, and an anonymous context (x = bias alone) still has offsets.
Features are 32-bit keys; the first EXACT of a model get their own dimension, later ones share the rest by hashing.

Exploration: the probability of an action is proportional to the posterior odds that it beats the greedy one,
Phi(z) / (1 - Phi(z)) with z = -(m_g - m_a) / sd(m_g - m_a). For two actions this is exactly Thompson sampling
(Thompson 1933), ties are drawn evenly, and certainty sends exploration to 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.special import ndtr

from personalization.recent import Recent

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: One unit of a feature's value.
QUANTUM = 1 / 256
#: (key, value in quanta): one active feature.
Feature = tuple[int, int]
#: The greedy action and every action's odds of beating it.
Ranking = tuple[int, tuple[float, ...]]

EXACT, DIMENSIONS = 96, 128
#: The context feature that is always 1, and the action feature that every action has.
BIAS, SHARED = 1, 1

#: Prior standard deviations of weights, in standard deviations of the reward.
_PRIOR_BIAS, _PRIOR_SHARED, _PRIOR_OFFSET, _PRIOR_CROSS = 3.0, 0.3, 0.5, 0.15
#: What the deviation of the cross weights may be multiplied with, and the nats of evidence a halving has to bring.
_SCALES, _HALVING = (1.0, 0.5, 0.25, 0.125), 0.25
#: Pseudo-decisions behind the first guess of the reward's variance.
_PRIOR_WEIGHT, _PRIOR_VARIANCE = 2.0, 0.1
#: Contexts scored in one product; larger blocks leave the processor's cache and cost page faults.
BLOCK = 32
#: Rankings a policy remembers of one tuple of actions, and how many such tuples.
_RANKINGS_KEPT, _ACTIONS_KEPT = 4_096, 100


@lru_cache(maxsize=65536)
def feature_key(name: str) -> int:
    """A stable 32-bit key of a feature's name, never BIAS or SHARED. Same name, same key, in every process."""
    return max(int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big"), 2)


def cross_key(context: int, action: int) -> int:
    """The key of a context feature seen together with an action feature (multiplicative hash, 32 bits)."""
    mixed = (context * 0x9E3779B1 + action * 0x85EBCA77) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF


def prior_deviation(context: int, action: int, cross_scale: float = 1.0) -> float:
    if context == BIAS:
        return _PRIOR_BIAS if action == SHARED else _PRIOR_OFFSET
    return _PRIOR_SHARED if action == SHARED else _PRIOR_CROSS * cross_scale


@dataclass
class BanditStatistics:
    """Sufficient statistics of one model, built row by row in the log's order.

    gram : (d, d) sum of weight * phi phi'     moment : (d,) sum of weight * phi r     precision : (d,) of the prior
    Rewards may be corrected later exactly, since they enter `moment` linearly. O(m^2) a row with m active features.
    """

    index: dict[int, int] = field(default_factory=dict)
    gram: Array = field(default_factory=lambda: np.zeros((8, 8)))
    moment: Array = field(default_factory=lambda: np.zeros(8))
    precision: Array = field(default_factory=lambda: np.zeros(8))
    size: int = 0
    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    _landings: dict[tuple[int, ...], _Landing] = field(default_factory=dict, repr=False, compare=False)

    def add(self, context: Sequence[Feature], action: tuple[int, ...], reward: float, weight: float) -> None:
        """A decision enters with the reward known so far."""
        self.add_many([context], [action], [reward], [weight])

    def add_many(
        self,
        contexts: Sequence[Sequence[Feature]],
        actions: Sequence[tuple[int, ...]],
        rewards: Sequence[float],
        weights: Sequence[float],
    ) -> None:
        """Decisions enter, one matrix product for all of one action: equal calls in equal order give equal bits. O(n d^2)."""
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, action in enumerate(actions):
            alike[action].append(i)
        for action, members in alike.items():
            phi = self._phi([contexts[i] for i in members], action)
            weight, reward = (np.array([listed[i] for i in members]) for listed in (weights, rewards))
            self._enter(phi, reward, weight)

    def _enter(self, phi: Array, reward: Array, weight: Array) -> None:
        d, weighted = self.size, phi * weight[:, None]
        self.gram[:d, :d] += weighted.T @ phi
        self.moment[:d] += reward @ weighted
        self.weight += float(weight.sum())
        self.total += float(weight @ reward)
        self.squares += float(weight @ reward**2)

    def correct(self, context: Sequence[Feature], action: tuple[int, ...], old: float, new: float, weight: float) -> None:
        """A decision that entered with reward `old` turns out to have `new`."""
        phi = self._phi([context], action)[0]
        self.moment[: self.size] += weight * (new - old) * phi
        self.total += weight * (new - old)
        self.squares += weight * (new * new - old * old)

    def variance(self) -> float:
        """Of the reward, with a weak prior so that a few equal rewards do not look like certainty."""
        mean = self.total / self.weight if self.weight else 0.0
        spread = max(self.squares - self.weight * mean * mean, 0.0)
        return (_PRIOR_WEIGHT * _PRIOR_VARIANCE + spread) / (_PRIOR_WEIGHT + self.weight)

    def cross_scale(self) -> float:
        """What the prior deviation of the cross weights is multiplied with: the scale under which the data are most likely
        (empirical Bayes, MacKay 1992, "Bayesian interpolation", sections 2.3 and 4). Where context makes no difference
        between arms its weights shrink, so that they neither mislead nor ask to be explored. O(d^3)."""
        if not self.size:
            return 1.0
        evidence = [self._evidence(scale) + _HALVING * math.log2(scale) for scale in _SCALES]
        return _SCALES[int(np.argmax(evidence))]

    def posterior(self, cross_scale: float | None = None) -> tuple[Array, Array]:
        """mean (d,) and covariance (d, d) of the weights. O(d^3)."""
        d = self.size
        precision = self._scaled_precision(self.cross_scale() if cross_scale is None else cross_scale)
        scaled = np.asarray(np.linalg.inv(self.gram[:d, :d] + np.diag(precision)), np.float64)
        return scaled @ self.moment[:d], scaled * self.variance()

    def _evidence(self, cross_scale: float) -> float:
        """Log marginal likelihood of the rewards, up to what all scales share."""
        d, precision = self.size, self._scaled_precision(cross_scale)
        lower = np.linalg.cholesky(self.gram[:d, :d] + np.diag(precision))
        whitened = solve_triangular(lower, self.moment[:d], lower=True, check_finite=False)
        fit = float(whitened @ whitened) / (2.0 * self.variance())
        return fit + float(0.5 * np.log(precision).sum() - np.log(np.diagonal(lower)).sum())

    def _scaled_precision(self, cross_scale: float) -> Array:
        precision = self.precision[: self.size]
        return np.where(precision == _PRIOR_CROSS**-2, precision / cross_scale**2, precision)

    def _phi(self, contexts: Sequence[Sequence[Feature]], action: tuple[int, ...]) -> Array:
        """(n, size): what each context activates under one action; unseen features get their dimension now."""
        landing = self._landings.setdefault(action, _Landing(len(action)))
        keys = [key for context in contexts for key, _ in context]
        new = [key for key in dict.fromkeys(keys) if key not in landing.place]
        landing.add(new, [[self._indexed(key, act) for act in action] for key in new])
        return spread(contexts, landing.rows[[landing.place[key] for key in keys]], self.size)

    def _indexed(self, context: int, action: int) -> int:
        key = cross_key(context, action)
        row = self.index.get(key)
        if row is None:
            row = self.index[key] = self.size if self.size < EXACT else EXACT + key % (DIMENSIONS - EXACT)
            self._grow(row + 1)
            if self.precision[row] == 0.0:
                self.precision[row] = prior_deviation(context, action) ** -2
        return row

    def _grow(self, size: int) -> None:
        if size > len(self.moment):
            room = min(DIMENSIONS, max(size, 2 * len(self.moment)))
            wider = np.zeros((room, room))
            wider[: len(self.gram), : len(self.gram)] = self.gram
            self.gram = wider
            self.moment = np.concatenate([self.moment, np.zeros(room - len(self.moment))])
            self.precision = np.concatenate([self.precision, np.zeros(room - len(self.precision))])
        if size > self.size:
            self.precision[self.size : size - 1] = np.where(
                self.precision[self.size : size - 1] == 0.0, _PRIOR_CROSS**-2, self.precision[self.size : size - 1]
            )
            self.size = size

    def pack(self) -> tuple[object, ...]:
        d = self.size
        arrays = (self.gram[:d, :d].tobytes(), self.moment[:d].tobytes(), self.precision[:d].tobytes())
        return (list(self.index.items()), *arrays, d, self.weight, self.total, self.squares)

    @classmethod
    def unpack(cls, packed: Sequence[object]) -> BanditStatistics:
        index, gram, moment, precision, d, weight, total, squares = packed
        return cls(
            index={key: row for key, row in index},  # type: ignore[attr-defined]  # noqa: C416
            gram=np.frombuffer(gram).reshape(d, d).copy(),  # type: ignore[call-overload]
            moment=np.frombuffer(moment).copy(),  # type: ignore[call-overload]
            precision=np.frombuffer(precision).copy(),  # type: ignore[call-overload]
            size=d,  # type: ignore[arg-type]
            weight=weight,  # type: ignore[arg-type]
            total=total,  # type: ignore[arg-type]
            squares=squares,  # type: ignore[arg-type]
        )


class _Landing:
    """Where context features land under one action. place: key -> row of `rows`; rows: (n, n_features of the action)."""

    def __init__(self, width: int) -> None:
        self.place: dict[int, int] = {}
        self.rows = np.zeros((0, width), np.int64)

    def add(self, keys: Sequence[int], rows: Sequence[Sequence[int]]) -> None:
        if keys:
            self.place.update(zip(keys, range(len(self.rows), len(self.rows) + len(keys)), strict=True))
            self.rows = np.vstack([self.rows, rows])


def spread(contexts: Sequence[Sequence[Feature]], columns: IntArray, width: int) -> Array:
    """(n, width): the values of each context's features added up in their columns.

    columns : (features of all contexts one after the other, columns of each)
    """
    values = np.array([value for context in contexts for _, value in context]) * QUANTUM
    owner = np.repeat(np.arange(len(contexts)), [len(context) for context in contexts])
    places = (owner * width)[:, None] + columns
    flat = np.bincount(places.ravel(), values.repeat(columns.shape[1]), len(contexts) * width)
    return np.asarray(flat, np.float64).reshape(len(contexts), width)


class _Body(msgspec.Struct, array_like=True, frozen=True):
    keys: list[int]
    rows: list[int]
    mean: bytes
    covariance: bytes
    weight: float
    variance: float
    counts: dict[str, float]
    cross_scale: float = 1.0


@dataclass(frozen=True)
class _Table:
    """Where known context features land: `place` gives the row of a feature in the two arrays."""

    place: dict[int, int]
    rows: IntArray
    unseen: Array


class _Columns:
    """Where context features land for one tuple of actions; grows by a row a context feature ever asked for.

    rows   : (n, n_actions * n_features) dimension of each pair, `dimensions` where unseen
    unseen : (n, n_actions) prior variance of the unseen pairs

    A grown table replaces the old one in one step, so threads never see half of it; two that grow it at once cost a row
    being made again.
    """

    def __init__(self, policy: Policy, actions: tuple[tuple[int, ...], ...]) -> None:
        self._policy, self._actions = policy, actions
        self.width = max(map(len, actions))
        self._table = _Table({}, np.zeros((0, len(actions) * self.width), np.int64), np.zeros((0, len(actions))))

    def places(self, keys: Sequence[int]) -> tuple[IntArray, IntArray, Array]:
        """Row numbers (len(keys),) and the tables they point into."""
        table = self._table
        missing = [key for key in dict.fromkeys(keys) if key not in table.place]
        if missing:
            table = self._table = self._grown(table, missing)
        place = table.place
        return np.fromiter((place[key] for key in keys), np.int64, len(keys)), table.rows, table.unseen

    def _grown(self, table: _Table, keys: Sequence[int]) -> _Table:
        made = [self._row(key) for key in keys]
        start = len(table.place)
        return _Table(
            {**table.place, **{key: start + i for i, key in enumerate(keys)}},
            np.vstack([table.rows, [rows for rows, _ in made]]),
            np.vstack([table.unseen, [unseen for _, unseen in made]]),
        )

    def _row(self, context: int) -> tuple[IntArray, Array]:
        policy = self._policy
        rows = np.full((len(self._actions), self.width), policy.dimensions, np.int64)
        unseen = np.zeros(len(self._actions))
        for a, action in enumerate(self._actions):
            for f, act in enumerate(action):
                row = policy.index.get(cross_key(context, act))
                if row is not None:
                    rows[a, f] = row
                elif act != SHARED:
                    unseen[a] += prior_deviation(context, act, policy.cross_scale) ** 2 * policy.variance
        return rows.ravel(), unseen


class Policy:
    """Immutable parameters of one model, as published. Safe to read from any thread.

    mean       : (d + 1,) posterior mean of the weights, the last one 0 for what is unseen
    covariance : (d + 1, d + 1) posterior covariance
    counts     : "exposed" and event types -> decisions, for forecasts
    """

    def __init__(self, body: _Body, snapshot_id: int, model_id: str) -> None:
        self.snapshot_id, self.model_id = snapshot_id, model_id
        self.weight, self.variance, self.counts = body.weight, body.variance, body.counts
        self.cross_scale = body.cross_scale
        self.index = dict(zip(body.keys, body.rows, strict=True))
        mean = np.frombuffer(body.mean, np.float32)
        d = self.dimensions = len(mean)
        self.mean, lower = np.zeros(d + 1), np.zeros((d + 1, d + 1))
        self.mean[:d] = mean
        lower[np.tril_indices(d)] = np.frombuffer(body.covariance, np.float32)
        self.covariance = lower + np.tril(lower, -1).T
        self._columns: dict[tuple[tuple[int, ...], ...], _Columns] = {}
        self._ranked: dict[tuple[tuple[int, ...], ...], Recent[tuple[Feature, ...], Ranking]] = {}

    def rank(self, contexts: Sequence[tuple[Feature, ...]], actions: tuple[tuple[int, ...], ...]) -> list[Ranking]:
        """One ranking of the actions a context. A policy never changes, so what was asked before is remembered."""
        known = self._ranked.get(actions) or self._remembering(actions)
        rankings = [known.get(context) for context in contexts]
        new = list(dict.fromkeys([context for context, ranking in zip(contexts, rankings, strict=True) if ranking is None]))
        if not new:
            return rankings  # type: ignore[return-value]
        _, greedy, odds = self.compare(new, actions, np.ones((len(new), len(actions)), np.bool_))
        found = {context: (best, tuple(row)) for context, best, row in zip(new, greedy.tolist(), odds.tolist(), strict=True)}
        for context, ranking in found.items():
            known.put(context, ranking)
        return [ranking or found[context] for context, ranking in zip(contexts, rankings, strict=True)]

    def _remembering(self, actions: tuple[tuple[int, ...], ...]) -> Recent[tuple[Feature, ...], Ranking]:
        if len(self._ranked) > _ACTIONS_KEPT:
            self._ranked.clear()
        return self._ranked.setdefault(actions, Recent(_RANKINGS_KEPT))

    def compare(
        self, contexts: Sequence[Sequence[Feature]], actions: tuple[tuple[int, ...], ...], allowed: npt.NDArray[np.bool_]
    ) -> tuple[Array, IntArray, Array]:
        """Posterior mean reward (n, k), the greedy action (n,) among the allowed, and odds (n, k) of beating it.

        Means and z-scores are rounded to a grid, since BLAS gives other last bits to other batch sizes.
        Cost O(n k d^2) in one product.
        """
        blocks = [
            self._compare(contexts[at : at + BLOCK], actions, allowed[at : at + BLOCK]) for at in range(0, len(contexts), BLOCK)
        ]
        if len(blocks) == 1:
            return blocks[0]
        means, greedy, odds = zip(*blocks, strict=True)
        return np.concatenate(means), np.concatenate(greedy), np.concatenate(odds)

    def _compare(
        self, contexts: Sequence[Sequence[Feature]], actions: tuple[tuple[int, ...], ...], allowed: npt.NDArray[np.bool_]
    ) -> tuple[Array, IntArray, Array]:
        n, k = len(contexts), len(actions)
        phi, unseen = self._design(contexts, actions)
        means = np.round(phi @ self.mean, 9).reshape(n, k)
        greedy = np.argmax(np.where(allowed, means, -np.inf), axis=1)
        at = np.arange(n)
        difference = (phi.reshape(n, k, -1) - phi[at * k + greedy][:, None, :]).reshape(n * k, -1)
        variance = np.einsum("ij,ij->i", difference @ self.covariance, difference).reshape(n, k)
        variance = np.maximum(variance, 0.0) + unseen + unseen[at, greedy][:, None]
        return means, greedy, odds_of_beating(means[at, greedy][:, None] - means, np.sqrt(variance), greedy, allowed)

    def contributions(self, context: Sequence[Feature], action: tuple[int, ...]) -> list[float]:
        """What each context feature adds to the action's mean reward."""
        weights = [[self.mean[self.index.get(cross_key(key, act), self.dimensions)] for act in action] for key, _ in context]
        return [value * QUANTUM * float(sum(row)) for (_, value), row in zip(context, weights, strict=True)]

    def _design(self, contexts: Sequence[Sequence[Feature]], actions: tuple[tuple[int, ...], ...]) -> tuple[Array, Array]:
        """phi of every (context, action): (n * k, d + 1), and the prior variance of what is unseen: (n, k)."""
        n, k, d = len(contexts), len(actions), self.dimensions + 1
        columns = self._columns.get(actions) or self._columns_of(actions)
        places, rows, extra = columns.places([key for context in contexts for key, _ in context])
        base = (np.arange(k) * d).repeat(columns.width)
        phi = spread(contexts, rows[places] + base, k * d).reshape(n * k, d)
        squares = (np.array([value for context in contexts for _, value in context]) * QUANTUM) ** 2
        starts = np.cumsum([0, *(len(context) for context in contexts[:-1])])
        return phi, np.add.reduceat(squares[:, None] * extra[places], starts)

    def _columns_of(self, actions: tuple[tuple[int, ...], ...]) -> _Columns:
        if len(self._columns) > _ACTIONS_KEPT:
            self._columns.clear()
        return self._columns.setdefault(actions, _Columns(self, actions))


def odds_of_beating(lead: Array, deviation: Array, greedy: IntArray, allowed: npt.NDArray[np.bool_]) -> Array:
    """Odds (n, k) that an action beats the greedy one, which itself has 1; 0 where not allowed.

    lead : (n, k) >= 0 mean of greedy minus mean of action     deviation : (n, k) of that difference
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(deviation > 0.0, lead / deviation, np.where(lead > 0.0, np.inf, 0.0))
    beats = np.clip(ndtr(-np.round(z, 6)), 0.0, 0.5)
    odds = np.where(allowed, beats / (1.0 - beats), 0.0)
    odds[np.arange(len(greedy)), greedy] = 1.0
    return np.asarray(odds)


def encode_policy(statistics: BanditStatistics, counts: dict[str, float]) -> bytes:
    """A snapshot's body: arrays as float32, no pickle."""
    cross_scale = statistics.cross_scale()
    mean, covariance = statistics.posterior(cross_scale)
    d = statistics.size
    return msgspec.msgpack.encode(
        _Body(
            keys=list(statistics.index),
            rows=list(statistics.index.values()),
            mean=mean.astype(np.float32).tobytes(),
            covariance=covariance[np.tril_indices(d)].astype(np.float32).tobytes(),
            weight=statistics.weight,
            variance=statistics.variance(),
            counts=counts,
            cross_scale=cross_scale,
        )
    )


def decode_policy(body: bytes, snapshot_id: int, model_id: str) -> Policy:
    """Raises msgspec.ValidationError on bytes that are no snapshot."""
    return Policy(msgspec.msgpack.decode(body, type=_Body), snapshot_id, model_id)


@lru_cache(maxsize=4096)
def fresh_policy(model_id: str) -> Policy:
    """What is believed before anything was learned; snapshot_id 0."""
    return decode_policy(encode_policy(BanditStatistics(), {}), 0, model_id)


def action_features(variant_id: str, features: Iterable[tuple[str, object]]) -> tuple[int, ...]:
    """u_a: shared, the arm's own offset, and one key a declared feature (at most 8, by name)."""
    declared = [feature_key(f"action:{name}={value}") for name, value in sorted(features)[:8]]
    return (SHARED, feature_key(f"arm:{variant_id}"), *declared)
