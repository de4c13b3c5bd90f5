"""What every predictive model keeps to. A family teaches, judges and restores; a model, once fitted, never changes.

Families are stateless and named once over the installation; `models.families` lists ours, the entry points
`personalization.models` those that users bring. Anything a family learns from is given as examples, so that a tenant's log, its
lake and a file of its own teach alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import numpy as np

from personalization.errors import ArrayInvalid
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.tables import Table, Value

#: What is known of one person at one moment, by name (`models.features`).
Features = Mapping[str, Value]


class Case(StrEnum):
    """What one example is: a send and what came of it, or a person at a moment and what they did in the weeks after."""

    SEND = "send"
    PERSON = "person"


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """n cases in order of time, each as it was known at its moment.

    table    : name -> (n,) values, None for unknown
    outcomes : name -> (n,), 0 or 1, counts or amounts: what came after, and is never among the features
    at       : (n,) microseconds    people : (n,) whose case it is; cases of one person are not independent
    horizon  : microseconds after `at` within which outcomes were looked for
    """

    table: Table
    outcomes: Mapping[str, Array]
    at: IntArray
    people: IntArray
    horizon: int

    def __post_init__(self) -> None:
        lengths = {len(self.at), len(self.people), *map(len, self.table.values()), *map(len, self.outcomes.values())}
        if len(lengths) != 1:
            raise ArrayInvalid("examples", "differ in length", "give one value of every column a case")
        if (np.diff(self.at) < 0).any():
            raise ArrayInvalid("at", "is not in order of time", "sort the cases by it")

    def __len__(self) -> int:
        return len(self.at)

    def taken(self, rows: IntArray) -> Examples:
        """These rows, ascending."""
        return Examples(
            table={name: [values[i] for i in rows.tolist()] for name, values in self.table.items()},
            outcomes={name: values[rows] for name, values in self.outcomes.items()},
            at=self.at[rows],
            people=self.people[rows],
            horizon=self.horizon,
        )

    def split(self, share: float) -> tuple[Examples, Examples]:
        """The first `share` of the cases teach and the last ones judge; of those between, whatever was not yet known when the
        first judged case was made is left out."""
        turn, rows = int(share * len(self)), np.arange(len(self))
        known = rows[:turn][self.at[:turn] + self.horizon <= self.at[min(turn, len(self) - 1)]] if turn else rows[:0]
        return self.taken(known), self.taken(rows[turn:])


class Explained(NamedTuple):
    """A score with what it leaves open (95 % interval, from a posterior or a calibration) and what made it, most first."""

    value: Value
    low: float | None
    high: float | None
    reasons: tuple[tuple[str, float], ...] = ()


class Model(Protocol):
    """Frozen once fitted; read by many threads."""

    def predict(self, features: Features) -> Mapping[str, Value]:
        """Score name -> value, None where nothing can be said. Takes microseconds; unknown features count as missing."""
        ...

    def explain(self, features: Features) -> Mapping[str, Explained]:
        """The same scores with intervals and reasons. Takes its time."""
        ...

    def pack(self) -> dict[str, Any]:
        """Arrays, numbers, texts, lists and dicts by text; the family's `unpack` restores it to the bit."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A model on examples it never saw. losses : (n,) what promotion compares, less is better.

    metrics, base : name -> figure, and the same figure of the base rate (one prediction for all)
    p, y          : by outcome, what a reliability diagram is drawn from; empty where the outcome is no event
    """

    losses: Array
    metrics: Mapping[str, float]
    base: Mapping[str, float] = field(default_factory=dict)
    p: Mapping[str, Array] = field(default_factory=dict)
    y: Mapping[str, Array] = field(default_factory=dict)


class Family(Protocol):
    """One kind of model.

    model_id : its name in REST and storage    model_type : the method, for people    case : what it is taught by
    scores   : names its models predict        least : cases below which it does not teach
    """

    @property
    def model_id(self) -> str: ...

    @property
    def model_type(self) -> str: ...

    @property
    def case(self) -> Case: ...

    @property
    def scores(self) -> tuple[str, ...]: ...

    @property
    def least(self) -> int: ...

    def prior(self) -> Model | None:
        """What serves before anything was taught, with a source of its figures; None where that would be a guess."""
        ...

    def fit(self, examples: Examples, rng: np.random.Generator) -> Model:
        """Same examples and seed, same model. Raises ArrayInvalid saying what to change."""
        ...

    def judge(self, model: Model, examples: Examples) -> Judged: ...

    def unpack(self, packed: Mapping[str, Any]) -> Model:
        """Raises ArtifactRefused for what `pack` did not make."""
        ...
