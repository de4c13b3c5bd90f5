"""Logs of A, E and G by which policies are judged that did not make them: do the 95 % intervals hold the truth?

A run is one log of the product's own policy, which learns while it decides, with the propensities its decisions record. At
half of the messages, T, the candidates that are learned are taken from it: what its policy of that time would do without
exploring. They are judged by the messages after T; one that is fixed in advance also by the whole log, which is how
`personalization evaluate --tenant` judges variants. What is judged is the first one, two or three stages of a decision
(variant, channel, hour); the later ones, and whether to send, stay as the log's policy drew them.

Truth. The mean, over the same messages, of what the world pays in expectation for the candidate's choice, given who got
the message, the stages that were not judged and, in G, how much that person was sent in the week before. So it is the value
of the next message (in G click - 20 x unsubscribe), not that of a changed week. In E only decisions count whose click or
its absence had been reported when the log ended; the delay says nothing of the click. In G a person's rows are one cluster.

Intervals are made for the mean of a population; for these same messages they are a little too wide, by as much as what
the messages differ in adds to the variance of the clicks.

That the policy moves as it learns leaves estimates unbiased, for each propensity was fixed before its draw: errors are
martingale differences (Hadad et al. 2021, "Confidence intervals for policy evaluation in adaptive experiments"). But it need
not leave them normal where propensities fall towards 0 (ibid.): rare large weights are then missing from most logs.
Their reweighting is not used. Nor are rewards predicted from the past alone, as that argument asks: the product cross-fits
over folds at random, so later rows predict earlier ones; predictions from before T alone were further off on such logs.

A refusal (SupportThin) is no interval: it is counted, and neither holds nor misses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from personalization.clock import DAY, HOUR
from personalization.errors import SupportThin
from personalization.lab.fatigue import fatigue
from personalization.lab.playing import play
from personalization.lab.product import START, Choice, Event, Product, certain
from personalization.lab.reading import AN_HOUR, Reading, Run, Step
from personalization.lab.scenarios import Mask, Numbers, Scenario
from personalization.lab.world import (
    ACTIONS,
    CHANNELS,
    HOURS,
    UNSUBSCRIBE_COST,
    WEEK,
    Array,
    best_fixed_by_value,
    leaves,
    sigmoid,
    tired,
    world_a,
)
from personalization.learning.crossfit import cross_fitted, design, folds_of
from personalization.learning.evaluation import ChoiceLog, Estimate, dr, ips, snips
from personalization.vocabulary import EventType

_FOLDS, _SEED = 5, 17
#: Decisions below which nothing is judged.
_LEAST = 100
#: Of the runs that told something, the share whose interval must and might hold the truth.
_MUST, _STRETCH = 0.90, 0.93
METHODS = ("dr", "snips", "ips")
#: The method that is judged; the others are shown.
_JUDGED = "dr"


@dataclass(frozen=True)
class Candidate:
    """stages : of variant, channel and hour, how many are its own    learned : before T, otherwise fixed in advance
    whole : judged by the whole log, not by what came after T
    """

    name: str
    stages: int
    learned: bool
    whole: bool = False

    @property
    def below(self) -> int:
        """Actions that agree in these stages."""
        return (CHANNELS * HOURS, HOURS, 1)[self.stages - 1]


CANDIDATES = (
    Candidate("a fixed variant", 1, learned=False),
    Candidate("a fixed variant, whole log", 1, learned=False, whole=True),
    Candidate("variant learned", 1, learned=True),
    Candidate("variant and channel learned", 2, learned=True),
    Candidate("variant, channel and hour learned", 3, learned=True),
)


@dataclass(frozen=True, kw_only=True)
class Log:
    """n decisions that sent something, in their order, those whose reward is known.

    drawn, learned : (n,) actions, of the log's policy and of the one at T without exploring (-1: would not send)
    propensities   : (n, 3) of variant, channel and hour     features : (n, d)     after : (n,) whether made after T
    logits         : (n, 288) of a click, were it the only message of the week     sends7 : (n,)
    people         : (n,) None where each got one message     lowest : least reward there is
    """

    drawn: Numbers
    learned: Numbers
    propensities: Array
    features: Array
    rewards: Array
    after: Mask
    logits: Array
    sends7: Array
    people: Numbers | None
    lowest: float

    def of(self, candidate: Candidate) -> Log:
        """The rows by which it is judged: of what came after T only messages that both send."""
        rows = (self.after | candidate.whole) & (self.learned >= 0 if candidate.learned else True)
        kept: dict[str, Any] = {name: getattr(self, name)[rows] for name in _COLUMNS}
        people = None if self.people is None else np.unique(self.people[rows], return_inverse=True)[1]
        return Log(**kept, people=people, lowest=self.lowest)

    def chosen(self, candidate: Candidate) -> Numbers:
        """(n,) the actions it leads to: its own stages, the others as drawn."""
        wanted = self.learned if candidate.learned else np.full(len(self.drawn), best_fixed_by_value(world_a().probabilities()))
        return np.asarray(wanted // candidate.below * candidate.below + self.drawn % candidate.below)

    def truth(self, actions: Numbers) -> float:
        """The mean of what these are worth, in expectation."""
        logits = self.logits[np.arange(len(actions)), actions]
        if self.people is None:
            return float(sigmoid(logits).mean())
        return float((tired(logits, self.sends7) - UNSUBSCRIBE_COST * leaves(self.sends7)).mean())


_COLUMNS = ("drawn", "learned", "propensities", "features", "rewards", "after", "logits", "sends7")


def off_policy(product: Product, scenario: Scenario, seed: int, messages: int, step: Step) -> Run:
    log = logged(product, scenario, seed, messages, step)
    complete = messages >= scenario.messages
    return Run(readings=tuple(one for candidate in CANDIDATES for one in _readings(log.of(candidate), candidate, complete)))


# -- the log ---------------------------------------------------------------------------------------------------------


class Witness:
    """The product, and what came of its decisions. policy: what it decided with at `turn`."""

    def __init__(self, product: Product, turn: int) -> None:
        self._product, self._turn = product, turn
        self.people, self.decide = product.people, self._decide
        self.policy = product.policy()
        self.choices: list[Choice] = []
        self.rewards: dict[str, float] = {}

    def clock(self, now: int) -> None:
        if now < self._turn:
            self.policy = self._product.policy()
        self._product.clock(now)

    def _decide(self, users: Sequence[int]) -> list[Choice]:
        made = self._product.decide(users)
        self.choices += made
        return made

    def learn(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.type == EventType.REWARDED and event.value is not None:
                self.rewards[event.choice.decision_id] = event.value
        self._product.learn(events)


def logged(product: Product, scenario: Scenario, seed: int, messages: int, step: Step) -> Log:
    turn = START + (messages // 2 // scenario.users * DAY if scenario.users else messages // 2 * HOUR // AN_HOUR)
    witness, traffic = Witness(product, turn), scenario.traffic(seed, messages)
    if scenario.users:
        fatigue(witness, scenario, seed, messages, step)
    else:
        play(witness, traffic, step)
    records, rows = product.records(), _sent(witness)
    made = [witness.choices[i] for i in rows]
    learned = certain([records[i] for i in rows], witness.policy)
    user = np.array([choice.user for choice in made], np.int64)
    rewards = np.array([witness.rewards[choice.decision_id] for choice in made])
    outcomes = [records[i].outcome for i in rows]
    return Log(
        drawn=np.array([choice.action for choice in made], np.int64),
        learned=np.array([-1 if action is None else action for action in learned], np.int64),
        propensities=np.array([(o.variant, o.channel, o.timing) for o in outcomes]).reshape(-1, 3),
        features=design([records[i].inputs.features for i in rows]),
        rewards=rewards,
        after=np.array([choice.at >= turn for choice in made], bool),
        logits=traffic.logits[0][traffic.segment[user]],
        sends7=_week_before(made),
        people=user if scenario.users else None,
        lowest=float(rewards.min(initial=0.0)),
    )


def _sent(witness: Witness) -> list[int]:
    """Which decisions sent something and have a reward that is known."""
    return [i for i, choice in enumerate(witness.choices) if choice.action is not None and choice.decision_id in witness.rewards]


def _week_before(made: Sequence[Choice]) -> Array:
    """(n,) what was sent to the same person on the seven days before, today excluded."""
    days: dict[int, list[int]] = {}
    found = []
    for choice in made:
        day, sent = (choice.at - START) // DAY, days.setdefault(choice.user, [])
        found.append(sum(day - WEEK <= earlier < day for earlier in sent))
        sent.append(day)
    return np.array(found, np.float64)


# -- judging ---------------------------------------------------------------------------------------------------------


def _readings(log: Log, candidate: Candidate, complete: bool) -> Iterator[Reading]:
    truth = log.truth(log.chosen(candidate)) if len(log.drawn) else math.nan
    for method, estimate in zip(METHODS, estimates(log, candidate), strict=True):
        asked = method == _JUDGED
        yield Reading(
            window=f"{candidate.name}, {method}",
            policy=math.nan if estimate is None else float(estimate.covers(truth)),
            random=math.nan,
            best_fixed=math.nan,
            oracle=math.nan,
            must=_MUST if asked else None,
            stretch=_STRETCH if asked else None,
            complete=complete,
            refused=estimate is None,
        )


def estimates(log: Log, candidate: Candidate) -> list[Estimate | None]:
    """By METHODS, as `operations.judging` makes them of a tenant's log; None where the product refuses."""
    if len(log.drawn) < _LEAST:
        return [None] * len(METHODS)
    choices = ChoiceLog(
        actions=log.drawn // candidate.below,
        rewards=log.rewards,
        propensities=log.propensities[:, : candidate.stages].prod(axis=1),
        clusters=log.people,
        lowest=log.lowest,
    )
    target = np.eye(ACTIONS // candidate.below)[log.chosen(candidate) // candidate.below]
    folds = folds_of(len(choices), _FOLDS, np.random.default_rng(_SEED), choices.clusters)
    predictions = cross_fitted(log.features, choices.actions, choices.rewards, target.shape[1], folds)
    return [
        _unless_thin(lambda: dr(choices, target, predictions)),
        _unless_thin(lambda: snips(choices, target)),
        _unless_thin(lambda: ips(choices, target)),
    ]


def _unless_thin(estimate: Callable[[], Estimate]) -> Estimate | None:
    try:
        return estimate()
    except SupportThin:
        return None
