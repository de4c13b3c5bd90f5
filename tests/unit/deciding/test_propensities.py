"""The logged propensities are how often things happen: chi-square by stage and jointly, with everything in play.

Every draw says how likely its own path was. From what the draws of one context say, each stage's table is put together
(given the stages before) and held against the counts, and so is the joint action. Cells expected fewer than ten times are
one, with whatever probability nobody spoke of.

Significance: the whole family of tests is at level LEVEL, by Bonferroni: each of its TESTS fails below LEVEL / TESTS.
Seeds are made from decision ids as the service makes them and are the same in every run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice, product
from typing import NamedTuple

import pytest
from scipy.stats import chi2

from personalization.deciding.feasible import prepare
from personalization.deciding.paths import CHANNEL, SEND, TIMING, VARIANT
from personalization.deciding.record import Inputs, Outcome, Triple
from personalization.deciding.stages import draw_many
from personalization.learning.drawing import GRID
from personalization.vocabulary import PolicyMethod
from tests.unit.deciding.people import CONTEXTS, asked, drawn_from, learned, prepared

STAGES = ("send", "variant", "channel", "timing")
METHODS = (PolicyMethod.THOMPSON, PolicyMethod.SQUARECB)
EXPLORATIONS = (1.0, 0.1)
CELLS = tuple(product(CONTEXTS, METHODS, EXPLORATIONS))
TESTS = len(CELLS) * (len(STAGES) + 1)
LEVEL = 1e-3
#: Draws a cell: about 10^5 and 4 * 10^6 in all, 10^6 of each method at each exploration.
EVERYDAY, LONG = 5_000, 1_000_000 // len(CONTEXTS)
#: Cells expected less often are put together.
_FEWEST = 10.0
_PAGE = 5_000


class Fit(NamedTuple):
    """Chi-square of counts against probabilities, and its degrees of freedom; fits of independent tables add up."""

    statistic: float = 0.0
    freedom: int = 0

    @property
    def pvalue(self) -> float:
        return float(chi2.sf(self.statistic, self.freedom)) if self.freedom else 1.0


class Tally(NamedTuple):
    """What was drawn, by path, and the probability that every path said it had, by stage."""

    counts: Counter[Triple | None]
    said: dict[Triple | None, tuple[float, ...]]


def tally(outcomes: Iterable[Outcome]) -> Tally:
    counts: Counter[Triple | None] = Counter()
    said: dict[Triple | None, tuple[float, ...]] = {}
    for one in outcomes:
        counts[one.chosen] += 1
        assert said.setdefault(one.chosen, _said(one)) == _said(one), "one path, one propensity"
    return Tally(counts, said)


def _said(one: Outcome) -> tuple[float, ...]:
    return (one.send, one.variant, one.channel, one.timing, one.joint)


def drawn(inputs: Iterable[Inputs]) -> Iterator[Outcome]:
    pages = iter(inputs)
    while page := list(islice(pages, _PAGE)):
        yield from draw_many(page, lambda model_id, snapshot_id: learned())


@cache
def everyday(name: str, method: PolicyMethod, exploration: float) -> Tally:
    return tally(drawn(drawn_from(name, method, exploration, (f"decision-{i}" for i in range(EVERYDAY)))))


def fit(counts: Mapping[object, int], said: Mapping[object, float]) -> Fit:
    """One table: how often each option came, how likely it was said to be."""
    n = sum(counts.values())
    often = [option for option in said if n * said[option] >= _FEWEST]
    cells = [(counts.get(option, 0), n * said[option]) for option in often]
    rest = n - sum(expected for _, expected in cells)
    if rest >= _FEWEST:
        cells.append((n - sum(count for count, _ in cells), rest))
    elif cells:  # too little to stand alone: the smallest takes it in
        least = min(range(len(cells)), key=lambda i: cells[i][1])
        cells[least] = (cells[least][0] + n - sum(count for count, _ in cells), cells[least][1] + max(rest, 0.0))
    return Fit(sum((count - expected) ** 2 / expected for count, expected in cells), max(len(cells) - 1, 0))


#: What a stage's option depends on, and the option, of a path.
_GIVEN = {
    "send": lambda path: ((), path is None),
    "variant": lambda path: ((), path.variant),
    "channel": lambda path: (path.variant, path.channel),
    "timing": lambda path: (path.channel, path.slot),
}


def stage_tables(found: Tally, stage: str) -> list[tuple[Counter[object], dict[object, float]]]:
    """The stage's options among those that got so far, one table for each way to get there."""
    counts: dict[object, Counter[object]] = defaultdict(Counter)
    said: dict[object, dict[object, float]] = defaultdict(dict)
    at = STAGES.index(stage)
    for path, count in found.counts.items():
        if path is None and stage != "send":
            continue
        given, option = _GIVEN[stage](path)
        counts[given][option] += count
        said[given].setdefault(option, found.said[path][at])
    return [(counts[given], said[given]) for given in counts]


def stage_fit(found: Tally, stage: str) -> Fit:
    fits = [fit(counts, said) for counts, said in stage_tables(found, stage)]
    return Fit(sum(one.statistic for one in fits), sum(one.freedom for one in fits))


def joint_fit(found: Tally) -> Fit:
    return fit(found.counts, {path: said[-1] for path, said in found.said.items()})


def assert_true(found: Tally) -> None:
    for stage in STAGES:
        assert stage_fit(found, stage).pvalue > LEVEL / TESTS, stage
    assert joint_fit(found).pvalue > LEVEL / TESTS


def test_everything_is_in_play() -> None:
    names = {name: {(c.name, c.binding) for c in prepared(name).constraints} for name in CONTEXTS}
    assert all(("quiet_hours", False) in found for found in names.values())
    assert all({("frequency_cap", True), ("frequency_cap", False)} <= names[name] for name in ("loaded", "full", "particular"))
    assert ("unreachable", True) in names["particular"]
    held = {name: everyday(name, PolicyMethod.THOMPSON, 1.0).said.get(None, (0.0,))[0] for name in CONTEXTS}
    assert all(0.1 < held[name] < 0.9 for name in ("loaded", "full", "particular"))
    assert held["stranger"] < 0.01


def test_only_the_seed_tells_the_draws_of_one_context_apart() -> None:
    for name, method, exploration in CELLS:
        by_seed = next(drawn_from(name, method, exploration, ["decision-7"]))
        assert by_seed == prepare(asked(name, "decision-7", method, exploration)).inputs
        assert by_seed.stages == VARIANT | CHANNEL | TIMING | SEND


@pytest.mark.parametrize(("name", "method", "exploration"), CELLS)
def test_propensities_agree_with_frequencies(name: str, method: PolicyMethod, exploration: float) -> None:
    assert_true(everyday(name, method, exploration))


@pytest.mark.long
@pytest.mark.parametrize(("name", "method", "exploration"), CELLS)
def test_a_million_draws_agree_with_their_propensities(name: str, method: PolicyMethod, exploration: float) -> None:
    found = tally(drawn(drawn_from(name, method, exploration, (f"long-{i}" for i in range(LONG)))))
    assert_true(found)


def test_every_stage_draws_something_at_full_exploration() -> None:
    """Otherwise the tables above would hold nothing."""
    for method in METHODS:
        for stage in STAGES:
            assert sum(stage_fit(everyday(name, method, 1.0), stage).freedom for name in CONTEXTS) >= 3


@pytest.mark.parametrize(("stage", "name"), [("send", "loaded"), *((stage, "stranger") for stage in (*STAGES[1:], "joint"))])
def test_a_propensity_that_is_off_by_a_fifth_is_found(stage: str, name: str) -> None:
    """What the chi-square could not see it would not prove."""
    found = bent(everyday(name, PolicyMethod.THOMPSON, 1.0), stage)
    assert (joint_fit(found) if stage == "joint" else stage_fit(found, stage)).pvalue < LEVEL / TESTS


def bent(found: Tally, stage: str) -> Tally:
    """The option that came most often is said to be a fifth less likely than it is."""
    at, of = (4, lambda path: path) if stage == "joint" else (STAGES.index(stage), _GIVEN[stage])
    options = {path: of(path) for path in found.counts if path is not None or stage in ("send", "joint")}
    times: Counter[object] = Counter()
    for path, option in options.items():
        times[option] += found.counts[path]
    most = times.most_common(1)[0][0]
    wrong = {path: (*s[:at], 0.8 * s[at], *s[at + 1 :]) for path, s in found.said.items() if options.get(path, ()) == most}
    return found._replace(said={**found.said, **wrong})


@pytest.mark.parametrize(("name", "method", "exploration"), CELLS)
def test_the_options_of_a_stage_are_points_of_one_grid(name: str, method: PolicyMethod, exploration: float) -> None:
    for stage in STAGES:
        for counts, said in stage_tables(everyday(name, method, exploration), stage):
            assert all((p * GRID).is_integer() for p in said.values())
            assert sum(said.values()) <= 1.0
            assert sum(said.values()) > 1.0 - 40 / sum(counts.values())


@pytest.mark.parametrize("name", CONTEXTS)
def test_without_exploration_the_greedy_action_is_certain(name: str) -> None:
    for one in drawn(drawn_from(name, PolicyMethod.THOMPSON, 0.0, (f"greedy-{i}" for i in range(200)))):
        assert (one.chosen, one.joint, one.explored) == (one.greedy, 1.0, 0.0)


def test_exploration_is_never_exceeded_over_ten_thousand_draws() -> None:
    """The bound holds for the probability itself, so how often it happens exceeds it by chance at most (four deviations)."""
    off, n, bound = 0, 10_000, 0.05
    for name in CONTEXTS:
        for one in drawn(drawn_from(name, PolicyMethod.THOMPSON, bound, (f"bound-{i}" for i in range(n // len(CONTEXTS))))):
            assert one.explored <= bound
            off += one.chosen != one.greedy
    assert 0.5 * n * bound < off < n * bound + 4.0 * (n * bound * (1.0 - bound)) ** 0.5
