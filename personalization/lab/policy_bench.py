"""What a policy costs: 8 arms x 32 features, scores, probabilities and the draw with its propensity, one core.

CPU time of this process on one thread of BLAS, in interleaved rounds, medians. One decision takes a policy's path for
one, a batch of 1,000 the array kernels; both give the same arm and propensity (tests/unit/learning). LinTS of mabwiser
(extra `peers`) is taught the same rows and asked for the same rows in the same rounds; it tells no propensities.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from personalization.lab.pages import Bar, Chart
from personalization.lab.serving import pinned
from personalization.learning import linucb, scoring, squarecb, thompson
from personalization.learning.drawing import GRID, Odds, draw, shares
from personalization.learning.ensemble import POINTS, independent

Array = npt.NDArray[np.float64]

ARMS, FEATURES, BATCH = 8, 32, 1_000
#: SquareCB: µs a single decision, decisions a second in batches; times as fast as the peer, a row at a time.
MUST_SINGLE, MUST_BATCH, MUST_OVER_PEER = 10.0, 1_000_000, 10.0

SQUARECB, LINUCB, THOMPSON, PEER = "SquareCB", "LinUCB", "Thompson", "mabwiser LinTS"
_TAUGHT, _NOISE, _ALPHA, _EXPLORATION = 4_000, 0.5, 1.5, 0.1
#: Rows whose draws are made at once, so that they stay in the processor's cache.
_BLOCK = 50
_CORE = 0


@dataclass(frozen=True)
class _World:
    """contexts (BATCH, d), uniforms (BATCH,), weights (d, k), factors (k, d, d), and the rows all were taught."""

    contexts: Array
    uniforms: npt.NDArray[np.int64]
    weights: Array
    factors: Array
    gamma: float
    taught: tuple[Array, npt.NDArray[np.int64], Array]


@dataclass(frozen=True)
class Contender:
    """one: decides row i of the batch, by itself; many: decides the batch."""

    one: Callable[[int], object]
    many: Callable[[], object]


@dataclass(frozen=True)
class PolicyBench:
    """CPU µs a decision, round by round: single decisions, and in batches. missing: why there is no peer, or ""."""

    single: Mapping[str, Sequence[float]]
    batched: Mapping[str, Sequence[float]]
    missing: str

    def rate(self, name: str) -> float:
        """Decisions a second in batches."""
        return 1e6 / median(self.batched[name])

    def over_peer(self, name: str) -> tuple[float, float] | None:
        """How many times as fast as the peer: a row at a time, and in batches."""
        if PEER not in self.single:
            return None
        one, many = (median(costs[PEER]) / median(costs[name]) for costs in (self.single, self.batched))
        return one, many

    @property
    def met(self) -> bool:
        return all(met for _, met in self._musts())

    def _musts(self) -> Iterator[tuple[str, bool]]:
        micros, rate, over = median(self.single[SQUARECB]), self.rate(SQUARECB), self.over_peer(SQUARECB)
        yield f"SquareCB, one decision: {micros:.1f} µs, must < {MUST_SINGLE:.0f}", micros < MUST_SINGLE
        yield f"SquareCB in batches of {BATCH:,}: {rate:,.0f} decisions a second, must > {MUST_BATCH:,}", rate > MUST_BATCH
        if over is not None:
            said = f"SquareCB over mabwiser's LinTS, a row at a time: {over[0]:.1f}x, must >= {MUST_OVER_PEER:.0f}x"
            yield said, over[0] >= MUST_OVER_PEER

    def document(self) -> dict[str, Any]:
        ours = [name for name in self.single if name != PEER]
        return {
            "arms": ARMS,
            "features": FEATURES,
            "single_us": {name: round(median(costs), 3) for name, costs in self.single.items()},
            "batch_us": {name: round(median(costs), 4) for name, costs in self.batched.items()},
            "batch_per_second": {name: round(self.rate(name)) for name in self.batched},
            "times_peer": {
                name: dict(zip(("single", "batch"), over, strict=True)) for name in ours if (over := self.over_peer(name))
            },
            "peer_skipped": self.missing,
            "musts": {"single_us": MUST_SINGLE, "batch_per_second": MUST_BATCH, "times_peer_single": MUST_OVER_PEER},
            "met": self.met,
        }

    def columns(self) -> tuple[str, ...]:
        return ("policy", "one decision, µs", "min", "max", f"a second, batches of {BATCH:,}", "times LinTS: one", "in batches")

    def rows(self) -> list[tuple[str, ...]]:
        rows = []
        for name, costs in self.single.items():
            figures = (f"{x:,.1f}" for x in (median(costs), min(costs), max(costs)))
            over = self.over_peer(name) or ()
            rows.append((name, *figures, f"{self.rate(name):,.0f}", *(f"{x:.1f}" for x in over), *("",) * (2 - len(over))))
        return rows

    def charts(self) -> list[Chart]:
        singles = [Bar(name, 1e6 / median(costs), f"{median(costs):,.1f} µs") for name, costs in self.single.items()]
        batches = [
            Bar(name, self.rate(name), f"{self.rate(name):,.0f}", MUST_BATCH if name == SQUARECB else None) for name in self.batched
        ]
        return [
            Chart("One decision: decisions a second and core", singles),
            Chart(f"Batches of {BATCH:,}: decisions a second and core (the line is what must be reached)", batches),
        ]

    def sentences(self) -> list[str]:
        musts = [f"{said}: {'met' if met else 'MISSED'}" for said, met in self._musts()]
        over, batched = self.over_peer(SQUARECB), 1e6 / self.rate(THOMPSON)
        return [
            *musts,
            *([f"The same in batches: {over[1]:.1f}x"] if over else []),
            f"Thompson with propensities: {median(self.single[THOMPSON]):.1f} µs a decision, {batched:.1f} in batches",
            *([f"mabwiser was not measured: {self.missing}"] if self.missing else []),
            f"{ARMS} arms x {FEATURES} features, scores, probabilities and draw; CPU of one core, medians of interleaved rounds.",
        ]


def bench_policies(
    short: bool = False, progress: Callable[[int, int], None] = lambda done, total: None, rounds: int = 9, seconds: float = 0.2
) -> PolicyBench:
    """seconds: of each measurement, two a policy and round. Short: a few seconds in all."""
    if short:
        rounds, seconds = min(rounds, 3), min(seconds, 0.1)
    contenders, missing = _contenders(_world())
    with threadpool_limits(1):
        single, batched = pinned(_CORE, lambda: _measured(contenders, rounds, seconds, progress))
    return PolicyBench(single, batched, missing)


def _measured(
    contenders: Mapping[str, Contender], rounds: int, seconds: float, progress: Callable[[int, int], None]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    single: dict[str, list[float]] = {name: [] for name in contenders}
    batched: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for done, (name, contender) in enumerate(contenders.items(), 1):
            single[name].append(_micros(contender.one, seconds))
            batched[name].append(_micros(lambda _, many=contender.many: many(), seconds) / BATCH)  # type: ignore[misc]
            progress(number * len(contenders) + done, rounds * len(contenders))
    return single, batched


def _micros(act: Callable[[int], object], seconds: float) -> float:
    """CPU µs a call, after one that warms up; calls go through the batch's rows."""
    act(0)
    calls, start, now = 0, time.process_time(), 0.0
    while now < seconds:
        for i in range(calls, calls + _AT_ONCE):
            act(i % BATCH)
        calls += _AT_ONCE
        now = time.process_time() - start
    return 1e6 * now / calls


#: Calls between two looks at the time.
_AT_ONCE = 10


# -- the contenders --------------------------------------------------------------------------------------------------


def _world() -> _World:
    """Linear rewards, each arm learned by ridge from the rows it was drawn in."""
    rng = np.random.default_rng(20261123)
    truth = rng.normal(size=(FEATURES, ARMS)) * 0.2
    rows, arms = scoring.quantised(rng.normal(size=(_TAUGHT, FEATURES))), rng.integers(0, ARMS, _TAUGHT)
    rewards = (rows @ truth)[np.arange(_TAUGHT), arms] + _NOISE * rng.normal(size=_TAUGHT)
    inverses = [np.linalg.inv(rows[arms == arm].T @ rows[arms == arm] + np.eye(FEATURES)) for arm in range(ARMS)]
    weights = [inverse @ (rows[arms == arm].T @ rewards[arms == arm]) for arm, inverse in enumerate(inverses)]
    return _World(
        contexts=scoring.quantised(rng.normal(size=(BATCH, FEATURES))),
        uniforms=rng.integers(0, GRID, BATCH),
        weights=scoring.settled(np.stack(weights, axis=1)),
        factors=scoring.settled_factors(_NOISE * np.linalg.cholesky(np.stack(inverses))),
        gamma=squarecb.learning_rate(_TAUGHT, ARMS, FEATURES * ARMS, _NOISE**2),
        taught=(rows, arms, rewards),
    )


def _contenders(world: _World) -> tuple[dict[str, Contender], str]:
    found = {SQUARECB: _squarecb(world), LINUCB: _linucb(world), THOMPSON: _thompson(world)}
    try:
        found[PEER] = _peer(world)
    except ImportError as error:
        return found, f"{error}; pip install 'deep-personalization[peers]'"
    return found, ""


def _squarecb(world: _World) -> Contender:
    contexts, weights, gamma, uniforms = world.contexts, world.weights, world.gamma, world.uniforms.tolist()

    def one(i: int) -> tuple[int, float]:
        return squarecb.decide_one((contexts[i] @ weights).tolist(), gamma, uniforms[i], _EXPLORATION)

    def many() -> tuple[Any, Any]:
        odds = squarecb.inverse_gaps(scoring.scores(contexts, weights), gamma)
        return draw(shares(*odds, _EXPLORATION), world.uniforms)

    return Contender(one, many)


def _linucb(world: _World) -> Contender:
    contexts, weights, factors, uniforms = world.contexts, world.weights, world.factors, world.uniforms.tolist()

    def one(i: int) -> tuple[int, float]:
        deviations = scoring.deviations(contexts[i : i + 1], factors)[0].tolist()
        return linucb.decide_one((contexts[i] @ weights).tolist(), deviations, _ALPHA, uniforms[i], _EXPLORATION)

    def many() -> tuple[Any, Any]:
        means, deviations = scoring.scores(contexts, weights), scoring.deviations(contexts, factors)
        return draw(shares(*linucb.upper_bounds(means, deviations, _ALPHA), _EXPLORATION), world.uniforms)

    return Contender(one, many)


def _thompson(world: _World) -> Contender:
    contexts, weights, uniforms = world.contexts, world.weights, world.uniforms.tolist()
    draws = np.matmul(world.factors, independent(FEATURES)).astype(np.float32)
    side_by_side, singles = draws.transpose(1, 0, 2).reshape(FEATURES, -1), contexts.astype(np.float32)

    def one(i: int) -> tuple[int, float]:
        return thompson.decide_one((contexts[i] @ weights).tolist(), (singles[i] @ side_by_side).reshape(ARMS, POINTS), uniforms[i])

    def many() -> tuple[Any, Any]:
        found = [many_of(slice(at, at + _BLOCK)) for at in range(0, BATCH, _BLOCK)]
        odds = Odds(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
        return draw(shares(*odds), world.uniforms)

    def many_of(rows: slice) -> Odds:
        drawn = (singles[rows] @ side_by_side).reshape(-1, ARMS, POINTS)
        return thompson.chances(scoring.scores(contexts[rows], weights), drawn)

    return Contender(one, many)


def _peer(world: _World) -> Contender:
    mab = import_module("mabwiser.mab")
    bandit = mab.MAB(arms=list(range(ARMS)), learning_policy=mab.LearningPolicy.LinTS(alpha=_NOISE), seed=1)
    rows, arms, rewards = world.taught
    bandit.fit(arms.tolist(), rewards.tolist(), rows)
    return Contender(lambda i: bandit.predict(world.contexts[i : i + 1]), lambda: bandit.predict(world.contexts))
