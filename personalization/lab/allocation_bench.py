"""What an allocation costs and how far it is from the best: 10,000 people x 5 channels x 24 slots, one core.

CPU time of this process on one thread of BLAS. The gap is the one proven by the answer itself; beside it stand the exact solvers,
integer programming always, minimum-cost flow where the limits form a tree and the extra `optimize` is there, and for a small batch
simulated annealing of the QUBO (extra `quantum`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from personalization.errors import ExtraMissing
from personalization.lab.pages import Bar, Chart
from personalization.lab.serving import pinned
from personalization.learning.allocation import Allocation, allocate
from personalization.learning.audience import Limits
from personalization.learning.flow import by_flow
from personalization.learning.programming import by_programming
from personalization.learning.qubo import by_annealing

USERS, CHANNELS, SLOTS = 10_000, 5, 24
#: Seconds, and the share of the bound that may be missing.
MUST_SECONDS, MUST_GAP = 2.0, 0.005

DUAL, PROGRAMMING, FLOW, ANNEALING = "dual prices", "programming", "min-cost flow", "annealed QUBO"
TREE, BATCH = "capacities by channel and slot", "a batch of 20 x 3 x 4"
_CORE, _SEED, _ROUNDS = 0, 20261124, 3

Values = npt.NDArray[np.float32]
Solver = Callable[[Values, Limits], Allocation]


@dataclass(frozen=True)
class Timed:
    """CPU seconds of one solver on one instance, and what came of it."""

    seconds: float
    value: float
    gap: float

    @property
    def met(self) -> bool:
        return self.seconds < MUST_SECONDS and self.gap < MUST_GAP


@dataclass(frozen=True)
class AllocationBench:
    """found: solvers by instance, the small batch among them     missing: what is not installed"""

    found: Mapping[str, Mapping[str, Timed]]
    missing: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        return all(ours.met for _, ours in self._judged())

    def document(self) -> dict[str, Any]:
        return {
            "users": USERS,
            "channels": CHANNELS,
            "slots": SLOTS,
            "instances": {
                name: {
                    solver: {
                        "cpu_s": round(one.seconds, 3),
                        "value": one.value,
                        "gap": one.gap,
                        "below_best": self.below(name, solver),
                    }
                    for solver, one in solvers.items()
                }
                for name, solvers in self.found.items()
            },
            "missing": list(self.missing),
            "musts": {"cpu_s": MUST_SECONDS, "gap": MUST_GAP},
            "met": self.met,
        }

    def below(self, name: str, solver: str) -> float:
        """Share of the best value any solver found that this one misses."""
        solvers = self.found[name]
        return 1.0 - solvers[solver].value / max(one.value for one in solvers.values())

    def columns(self) -> tuple[str, ...]:
        return ("instance", "solver", "CPU s", "value", "gap, proven", "below the best found")

    def rows(self) -> list[tuple[str, ...]]:
        return [
            (name, solver, f"{one.seconds:.2f}", f"{one.value:,.1f}", f"{one.gap:.4%}", f"{self.below(name, solver):.4%}")
            for name, solvers in self.found.items()
            for solver, one in solvers.items()
        ]

    def charts(self) -> list[Chart]:
        bars = [Bar(name, 1.0 / ours.seconds, f"{ours.seconds:.2f} s", 1.0 / MUST_SECONDS) for name, ours in self._judged()]
        return [Chart("Allocations a second and core (the line is what must be reached)", bars)]

    def sentences(self) -> list[str]:
        musts = [
            f"{name}: {ours.seconds:.2f} s, must < {MUST_SECONDS:.0f}; gap {ours.gap:.4%}, must < {MUST_GAP:.1%}: "
            + ("met" if ours.met else "MISSED")
            for name, ours in self._judged()
        ]
        return [*musts, *self.missing, f"{USERS:,} people x {CHANNELS} channels x {SLOTS} slots, CPU of one core."]

    def _judged(self) -> Iterator[tuple[str, Timed]]:
        return ((name, solvers[DUAL]) for name, solvers in self.found.items() if name != BATCH)


def bench_allocation(
    short: bool = False, progress: Callable[[int, int], None] = lambda done, total: None, users: int = USERS
) -> AllocationBench:
    """Short: without the exact solvers, but for the small batch; some ten seconds instead of two minutes."""
    with threadpool_limits(1):
        found: AllocationBench = pinned(_CORE, lambda: _measured(short, progress, users))
    return found


def _measured(short: bool, progress: Callable[[int, int], None], users: int) -> AllocationBench:
    rng = np.random.default_rng(_SEED)
    found: dict[str, dict[str, Timed]] = {}
    missing: dict[str, str] = {}
    for done, (name, (make, solvers)) in enumerate(_INSTANCES.items(), 1):
        values, limits = make(rng, users)
        found[name] = {DUAL: _timed(allocate, values, limits, _ROUNDS)}
        for solver in () if short and name != BATCH else solvers:
            try:
                found[name][solver] = _timed(_SOLVERS[solver], values, limits)
            except ExtraMissing as error:
                missing[solver] = f"{solver} was not measured: {error}"
        progress(done, len(_INSTANCES))
    return AllocationBench(found, tuple(missing.values()))


def _timed(solve: Solver, values: Values, limits: Limits, rounds: int = 1) -> Timed:
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        answer = solve(values, limits)
        seconds.append(time.process_time() - start)
    return Timed(median(seconds), answer.value, answer.gap)


_SOLVERS: Mapping[str, Solver] = {
    PROGRAMMING: by_programming,
    FLOW: by_flow,
    ANNEALING: lambda values, limits: by_annealing(values, limits, _SEED),
}


# -- the instances: channels can serve some 60 % of the people, slots less ------------------------------------------


def _limited(users: int, slots: float = 0.02, part: float = 1.0) -> Limits:
    """slots: what each can take, as a share of the people. part: of these limits"""
    budgets = np.array([0.10, 0.15, 0.20, 0.05, 0.12]) * users * part
    return Limits(budgets=budgets, capacities=np.full(SLOTS, slots * users * part))


def _uniform(rng: np.random.Generator, users: int) -> tuple[Values, Limits]:
    return rng.random((users, CHANNELS, SLOTS), dtype=np.float32), _limited(users)


def _heavy(rng: np.random.Generator, users: int) -> tuple[Values, Limits]:
    """A few people are worth most of it (Pareto's index 1.2)."""
    worth = (
        rng.pareto(1.2, (users, 1, 1)) * rng.lognormal(0.0, 1.0, (users, CHANNELS, 1)) * rng.lognormal(0.0, 0.5, (users, 1, SLOTS))
    )
    return worth.astype(np.float32), _limited(users)


def _tight(rng: np.random.Generator, users: int) -> tuple[Values, Limits]:
    """Room for one in twenty-five."""
    return rng.random((users, CHANNELS, SLOTS), dtype=np.float32), _limited(users, part=1.0 / 12.0)


def _evening(rng: np.random.Generator, users: int) -> tuple[Values, Limits]:
    """Click probabilities with tastes in channels and hours; everybody likes the evening, and budgets bind before slots do."""
    hours = 1.0 + np.cos((np.arange(SLOTS) - 18.0) * 2.0 * np.pi / SLOTS)
    logits = rng.normal(size=(users, CHANNELS, 1)) + hours + 0.5 * rng.normal(size=(users, 1, SLOTS)) - 3.0
    return (1.0 / (1.0 + np.exp(-logits))).astype(np.float32), _limited(users, 0.04)


def _equal(rng: np.random.Generator, users: int) -> tuple[Values, Limits]:
    return np.ones((users, CHANNELS, SLOTS), dtype=np.float32), _limited(users)


def _segments(rng: np.random.Generator, users: int) -> tuple[Values, Limits]:
    """Five kinds of people, each all alike."""
    kinds = rng.random((5, CHANNELS, SLOTS), dtype=np.float32)
    return kinds[rng.integers(0, 5, users)], _limited(users)


def _tree(rng: np.random.Generator, users: int) -> tuple[Values, Limits]:
    values, limits = _evening(rng, users)
    return values, Limits(budgets=limits.budgets, capacities=np.full((CHANNELS, SLOTS), 0.005 * users))


def _small(rng: np.random.Generator, _: int) -> tuple[Values, Limits]:
    return rng.random((20, 3, 4), dtype=np.float32), Limits(budgets=[3, 4, 5], capacities=[3, 2, 2, 3])


_INSTANCES: Mapping[str, tuple[Callable[[np.random.Generator, int], tuple[Values, Limits]], tuple[str, ...]]] = {
    "uniform": (_uniform, (PROGRAMMING,)),
    "heavy-tailed": (_heavy, (PROGRAMMING,)),
    "tight": (_tight, (PROGRAMMING,)),
    "everybody's evening": (_evening, (PROGRAMMING,)),
    "all equal": (_equal, ()),  # 4,800 is the optimum, every slot is full; to a linear program it is nothing but ties
    "five segments": (_segments, (PROGRAMMING,)),
    TREE: (_tree, (PROGRAMMING, FLOW)),
    BATCH: (_small, (PROGRAMMING, ANNEALING)),
}
