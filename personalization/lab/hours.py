"""At which hour does a person act next? The product's model of hours on logs of who wrote mails when.

Protocol: the first 70 % of the acts teach, the others judge; people with at least 10 acts before and 3 after. Mean log-loss
in nats over the 24 hours of the day, an act a term; lower is better, log 24 = 3.178 knows nothing. Intervals resample people
(percentile bootstrap, Efron 1979, 2,000 draws of a fixed seed).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from personalization.clock import DAY, HOUR, hour_of_week
from personalization.lab.datasets import ActLog, email_eu, enron
from personalization.lab.scores import Score
from personalization.learning.evaluation import Array
from personalization.learning.timing import CONCENTRATION, Population, hour_distribution, population
from personalization.learning.week import HOUR_OF, summed
from personalization.profile import HALF_LIFE

TASK = "send hour"
FILES = ("enron.csv.gz", "email_eu.csv.gz")

#: By how many nats persons must beat one distribution for all, on average; what a hierarchical model reached on the full logs.
_MUST, _PEERS = 0.08, {"enron": 2.947, "email_eu": 2.502}
_TRAINED, _LEAST_BEFORE, _LEAST_AFTER = 0.7, 10, 3
_DRAWS, _SEED = 2_000, 7
_UNIFORM = math.log(24)

Step = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """half_life of an act's weight in microseconds; concentration: how alike people are."""

    half_life: float
    concentration: float

    def __str__(self) -> str:
        days = "no decay" if math.isinf(self.half_life) else f"half-life {self.half_life / DAY:g} days"
        return f"{days}, concentration {self.concentration:g}"


SHIPPED = Setting(half_life=HALF_LIFE, concentration=CONCENTRATION)
SETTINGS = tuple(
    Setting(half_life=days * DAY, concentration=concentration)
    for days, concentration in product((7, 14, 28, 56, 112, math.inf), (5.0, 10.0, 20.0, 40.0, 80.0))
)


@dataclass(frozen=True, kw_only=True)
class Losses:
    """losses (n,): summed over a person's acts    acts (n,): how many these are. The same n people for every forecast."""

    losses: Array
    acts: Array

    @property
    def mean(self) -> float:
        return float(self.losses.sum() / self.acts.sum())

    def less(self, other: Losses) -> Losses:
        """By how much this loses less than the other does."""
        return Losses(losses=other.losses - self.losses, acts=self.acts)

    def drawn(self, rng: np.random.Generator) -> Array:
        """(draws,) means of people drawn again."""
        drawn = rng.integers(len(self.acts), size=(_DRAWS, len(self.acts)))
        return np.asarray(self.losses[drawn].sum(axis=1) / self.acts[drawn].sum(axis=1), np.float64)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What each forecast loses on one log; chosen: the setting that was best inside the part that teaches."""

    name: str
    chosen: Setting
    everyone: Losses
    everyone_decayed: Losses
    shipped: Losses
    tuned: Losses
    following: Losses


def send_hour(folder: Path, step: Step) -> list[Score]:
    """Scores of both logs, then of what persons gain over one distribution for all. Raises DataMissing."""
    logs = (enron(folder), email_eu(folder))
    found = [judged(log, lambda done, total, i=i: step(i * total + done, len(logs) * total)) for i, log in enumerate(logs)]  # type: ignore[misc]
    scores = [score for one in found for score in _scores(one)]
    return [
        *scores,
        _gain("person over global, mean of both logs, as shipped", [one.shipped.less(one.everyone) for one in found]),
        _gain("person over global, mean of both logs, chosen before", [one.tuned.less(one.everyone) for one in found]),
        _gain(
            "person over global decayed alike, mean of both logs", [one.shipped.less(one.everyone_decayed) for one in found], None
        ),
    ]


def judged(log: ActLog, step: Step = lambda done, total: None, settings: Sequence[Setting] = SETTINGS) -> Judged:
    """Every forecast of one log. The setting is chosen on a split of the same kind inside the part that teaches."""
    before, after = log.apart(_TRAINED)
    steps = len(settings) + 2
    inner = before.apart(_TRAINED)
    tried = []
    for done, setting in enumerate(settings, 1):
        tried.append(frozen(*inner, setting).mean)
        step(done, steps)
    chosen = settings[int(np.argmin(tried))]
    shipped, tuned = frozen(before, after, SHIPPED), frozen(before, after, chosen)
    step(steps - 1, steps)
    found = Judged(
        name=log.name,
        chosen=chosen,
        everyone=everyone(before, after),
        everyone_decayed=decayed_for_all(before, after),
        shipped=shipped,
        tuned=tuned,
        following=following(before, after, SHIPPED),
    )
    step(steps, steps)
    return found


# -- forecasts -------------------------------------------------------------------------------------------------------


@dataclass
class Known:
    """Counts by hour of week of each person, and of all: forward-decayed, as the product keeps them."""

    setting: Setting
    since: int
    people: dict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    everyone: dict[int, float] = field(default_factory=dict)

    def see(self, person: int, at: int) -> None:
        weight, hour = math.exp2((at - self.since) / self.setting.half_life), hour_of_week(at, 0)
        for counts in (self.people[person], self.everyone):
            counts[hour] = counts.get(hour, 0.0) + weight

    def fade(self, now: int) -> float:
        return math.exp2((self.since - now) / self.setting.half_life)

    def population(self, now: int) -> Population:
        fade = self.fade(now)
        return population({w: fade * n for w, n in self.everyone.items()}, concentration=self.setting.concentration)

    def hours(self, found: Population, person: int, now: int) -> list[float]:
        """(24,) probabilities of the person's next act."""
        return summed(HOUR_OF, hour_distribution(found, self.people.get(person, {}), self.fade(now)))


def frozen(before: ActLog, after: ActLog, setting: Setting) -> Losses:
    """Persons in a population, as known at the split."""
    now = after.at[0]
    known = _seen(before, setting, now)
    found = known.population(now)
    forecasts = {person: known.hours(found, person, now) for person in judges(before, after)}
    return _losses(before, after, lambda person, _: forecasts[person])


def following(before: ActLog, after: ActLog, setting: Setting) -> Losses:
    """The same, but each act is forecast from all before it, and the population anew each day, as the product learns."""
    known = _seen(before, setting, after.at[0])
    asked, forecasts, day, found = set(judges(before, after)), [], -1, Population()
    for person, at in zip(after.people, after.at, strict=True):
        if at // DAY != day:
            day, found = at // DAY, known.population(at)
        forecasts.append(known.hours(found, person, at) if person in asked else [])
        known.see(person, at)
    return _losses(before, after, lambda _, i: forecasts[i])


def everyone(before: ActLog, after: ActLog) -> Losses:
    """The base rate: one distribution for all, every act before counting the same, one more in each hour."""
    counts = np.bincount([at // HOUR % 24 for at in before.at], minlength=24) + 1.0
    shares = (counts / counts.sum()).tolist()
    return _losses(before, after, lambda _, __: shares)


def decayed_for_all(before: ActLog, after: ActLog) -> Losses:
    """One distribution for all, decayed as shipped: what persons add is what is left."""
    found = _seen(before, SHIPPED, after.at[0]).population(after.at[0])
    shares = summed(HOUR_OF, found.shares)
    return _losses(before, after, lambda _, __: shares)


def judges(before: ActLog, after: ActLog) -> list[int]:
    """The people with enough acts on both sides."""
    earlier, later = Counter(before.people), Counter(after.people)
    return [person for person, acts in sorted(later.items()) if acts >= _LEAST_AFTER and earlier[person] >= _LEAST_BEFORE]


def _seen(before: ActLog, setting: Setting, now: int) -> Known:
    known = Known(setting, since=now)
    for person, at in zip(before.people, before.at, strict=True):
        known.see(person, at)
    return known


def _losses(before: ActLog, after: ActLog, forecast: Callable[[int, int], Sequence[float]]) -> Losses:
    """forecast(person, i): (24,) probabilities for act i of the later part."""
    losses = dict.fromkeys(judges(before, after), 0.0)
    acts: Counter[int] = Counter()
    for i, (person, at) in enumerate(zip(after.people, after.at, strict=True)):
        if person in losses:
            losses[person] -= math.log(forecast(person, i)[at // HOUR % 24])
            acts[person] += 1
    return Losses(losses=np.array(list(losses.values())), acts=np.array([float(acts[person]) for person in losses]))


# -- scores ----------------------------------------------------------------------------------------------------------


def _scores(found: Judged) -> Iterator[Score]:
    base = found.everyone.mean
    named: Mapping[str, tuple[Losses, float]] = {
        f"global, {len(found.everyone.acts)} people": (found.everyone, _UNIFORM),
        f"global, {SHIPPED}".partition(", conc")[0]: (found.everyone_decayed, base),
        f"person, as shipped: {SHIPPED}": (found.shipped, base),
        f"person, chosen before: {found.chosen}": (found.tuned, base),
        "person, as shipped, learning on act by act": (found.following, base),
    }
    for metric, (losses, rate) in named.items():
        low, high = _interval(losses.drawn(np.random.default_rng(_SEED)))
        peer = _PEERS[found.name] if metric.startswith("person") else None
        yield Score(
            task=TASK,
            metric=f"{found.name}: log-loss, {metric}",
            value=losses.mean,
            low=low,
            high=high,
            peer=peer,
            base_rate=rate,
        )


def _gain(metric: str, gains: Sequence[Losses], must: float | None = _MUST) -> Score:
    rng = np.random.default_rng(_SEED)
    low, high = _interval(np.mean([gain.drawn(rng) for gain in gains], axis=0))
    value = float(np.mean([gain.mean for gain in gains]))
    return Score(task=TASK, metric=metric, value=value, low=low, high=high, base_rate=0.0, must=must)


def _interval(draws: Array) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
