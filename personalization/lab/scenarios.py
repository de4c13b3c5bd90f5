"""How the scenarios differ from world A, and the messages that a policy seed rolls for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from personalization.lab.world import DAYS, SEED, SEGMENTS, SHARES, Array, World, best_fixed, sigmoid, user_effects, world_a

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: The exploration that leaves the policy its own way, and the one that is shipped.
OWN, SHIPPED = 1.0, 0.1
#: Rows of a block of (rows, 288) chances.
_BLOCK = 4_096


@dataclass(frozen=True)
class Window:
    """From the start-th to the stop-th message of each segment, counted from 0 (after the drift, where there is one)."""

    start: int
    stop: int
    must: float | None = None
    stretch: float | None = None

    @property
    def name(self) -> str:
        return f"{self.start:,}-{self.stop:,}"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One world and how it is judged.

    messages    : of one run; for G opportunities
    users       : they get messages in rounds; None = one user a message
    drift_at    : the first message of the drifted world
    missing     : share of messages whose segment is not told
    explorations: the first is judged
    runs        : runs a seed    fewest : runs that are judged together at least
    config      : patch of the tenant's configuration, beside exploration
    """

    name: str
    title: str
    messages: int = 40_000
    windows: tuple[Window, ...] = ()
    users: int | None = None
    drift_at: int | None = None
    indifferent: bool = False
    user_effects: bool = False
    delayed: bool = False
    missing: float = 0.0
    explorations: tuple[float, ...] = (OWN, SHIPPED)
    runs: int = 1
    fewest: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)

    def world(self) -> World:
        return world_a().indifferent() if self.indifferent else world_a()

    def traffic(self, seed: int, messages: int | None = None) -> Traffic:
        """The first so many of the messages this seed rolls; fewer are always the beginning of more."""
        n = messages if messages is not None else self.messages
        return _rolled(self, seed, max(n, self.messages)).first(n)


@dataclass(frozen=True)
class Traffic:
    """n messages.

    logits  : (phases, 6, 288)        phase, segment, user, due : (n,)    due : the reward comes before the message of this number
    told    : (n,) whether the trait is there     effect : (n,) of the user     uniform : (n,) decides the click
    """

    logits: Array
    phase: Numbers
    segment: Numbers
    user: Numbers
    due: Numbers
    told: Mask
    effect: Array
    uniform: Array

    def __len__(self) -> int:
        return len(self.user)

    def first(self, n: int) -> Traffic:
        columns = (self.phase, self.segment, self.user, self.due, self.told, self.effect, self.uniform)
        return Traffic(self.logits, *(column[:n] for column in columns))  # type: ignore[arg-type]

    def traits(self) -> list[int | None]:
        """By user: the segment that is told of them."""
        _, at = np.unique(self.user, return_index=True)
        return [int(self.segment[i]) if self.told[i] else None for i in at]

    def chances(self, actions: Numbers) -> Array:
        """(n,): P(click) of one action a message."""
        return sigmoid(self.logits[self.phase, self.segment, actions] + self.effect)

    def oracle(self) -> Array:
        """(n,): of the best action, with segment, drift and user effect known."""
        return sigmoid(self.logits.max(axis=2)[self.phase, self.segment] + self.effect)

    def fixed(self) -> Array:
        """(n,): of the best fixed action of the world in force."""
        best = np.array([best_fixed(sigmoid(table)) for table in self.logits])
        return self.chances(best[self.phase])

    def random(self) -> Array:
        """(n,): of any action with equal chance."""
        blocks = range(0, len(self), _BLOCK)
        parts = [slice(at, at + _BLOCK) for at in blocks]
        means = [sigmoid(self.logits[self.phase[p], self.segment[p]] + self.effect[p][:, None]).mean(axis=1) for p in parts]
        return np.concatenate(means)


def _rolled(scenario: Scenario, seed: int, n: int) -> Traffic:
    """Whole columns at a time, in this order: segments, clicks, and where the scenario has them gaps or delays."""
    rng = np.random.default_rng([SEED, seed])
    numbers = np.arange(n)
    user = numbers if scenario.users is None else numbers % scenario.users
    segment = rng.choice(SEGMENTS, size=scenario.users or n, p=SHARES)[user]
    uniform = rng.random(n)
    told = rng.random(n) >= scenario.missing if scenario.missing else np.ones(n, bool)
    delay = np.floor(1500 * rng.uniform(0.5, 1.5, n)).astype(np.int64) if scenario.delayed else np.ones(n, np.int64)
    world = scenario.world()
    phase = numbers >= scenario.drift_at if scenario.drift_at is not None else np.zeros(n, bool)
    effect = user_effects(scenario.users)[user] if scenario.user_effects and scenario.users else np.zeros(n)
    logits = np.array([world.logits(), world.drifted().logits()])
    return Traffic(logits, phase.astype(np.int64), segment, user, numbers + delay, told, effect, uniform)


def ordinals(segment: Sequence[int] | Numbers) -> Numbers:
    """(n,): which message of its segment each is, from 0."""
    segments = np.asarray(segment)
    found = np.zeros(len(segments), np.int64)
    for s in range(SEGMENTS):
        mine = segments == s
        found[mine] = np.arange(mine.sum())
    return found


def _learning(must: float, stretch: float) -> tuple[Window, ...]:
    """The windows of A, of which only the third is judged."""
    return Window(0, 200), Window(200, 400), Window(400, 1_000, must, stretch), Window(1_000, 2_000)


_OF_A = (Window(0, 200), Window(200, 400, 0.80, 0.88), Window(400, 1_000, 0.90, 0.95), Window(1_000, 2_000, 0.95, 0.98))

#: Logs of A, E and G by which policies are judged that did not make them, see lab.offpolicy.
OFF_POLICY = ("OPE-A", "OPE-E", "OPE-G")


def _off_policy(name: str, messages: int, **world: Any) -> Scenario:
    title = f"off-policy evaluation on logs of {name[-1]}"
    return Scenario(name=name, title=title, messages=messages, explorations=(OWN,), runs=40, fewest=200, **world)


#: Every scenario by its name.
SCENARIOS: Mapping[str, Scenario] = {
    one.name: one
    for one in (
        Scenario(name="A", title="one user a message, the click known before the next", windows=_OF_A),
        Scenario(
            name="B",
            title="every variant takes the place of the next one",
            messages=80_000,
            drift_at=40_000,
            windows=(Window(0, 200), Window(200, 1_000), Window(1_000, 2_000, 0.85, 0.92)),
        ),
        Scenario(
            name="C",
            title="nothing makes a difference; does the interval of the lift cover 0?",
            messages=20_000,
            users=1_000,
            indifferent=True,
            explorations=(OWN,),
            runs=20,
            fewest=100,
            config={"holdout": 0.10},
        ),
        Scenario(name="D", title="2,000 users, 20 messages each", users=2_000, user_effects=True, windows=_learning(0.80, 0.90)),
        Scenario(name="E", title="the click comes 750 to 2,250 messages later", delayed=True, windows=_learning(0.80, 0.90)),
        Scenario(name="F", title="the segment is missing for 30 % of the messages", missing=0.30, windows=_learning(0.75, 0.84)),
        Scenario(
            name="G", title="fatigue: 2,000 users, a chance a day", messages=2_000 * DAYS, users=2_000, explorations=(SHIPPED, OWN)
        ),
        Scenario(
            name="H",
            title="uplift: some convert unprompted",
            messages=100_000,
            explorations=(SHIPPED, OWN),
            config={"holdout_no_send": 0.05},
        ),
        _off_policy("OPE-A", 2_000),
        _off_policy("OPE-E", 6_000, delayed=True),
        _off_policy("OPE-G", 100 * 28, users=100),
    )
}

#: What is run unless something is asked for: all but the logs, of which it takes two hundred each.
USUAL = tuple(name for name in SCENARIOS if name not in OFF_POLICY)
