"""Who will be active again: BG/NBD on the days with an engagement (Fader, Hardie and Lee 2005; `learning.bgnbd`).

    churn_risk             probability of no engagement in the coming four weeks, 1 less equation (3)
    active_days_expected   days with an engagement in the coming four weeks, equation (2)
    days_to_next_activity  days until the next one has come with a chance of one half; None where they have more likely stopped,
                           and beyond two years
    journey_stage          `learning.segments.Stage`, by how much silence has cooled them

One churn for all: the chance of an event that can be seen to happen or not. P(alive) is none: it is 1 for who was active once,
whatever their silence. Who comes by every other month has a high risk in any four weeks; whether that is unusual of them say
`journey_stage`, which is relative to the day they were active last, and the family `rhythm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from personalization.errors import ArrayInvalid
from personalization.learning.bgnbd import BGNBD, fit_bgnbd
from personalization.learning.buyer import Buyer
from personalization.learning.laplace import LOG_ODDS
from personalization.learning.purchases import DAYS_A_WEEK
from personalization.learning.segments import stage_of, warmth_of
from personalization.learning.tables import Value
from personalization.models.base import Case, Examples, Explained, Features, Judged, Model
from personalization.models.days import ACTIVE, Acted, acted, made, newest, number, some
from personalization.models.foresight import AHEAD, CDNOW_BUYING, expected_ahead, explained, judged, restored, weeks_of

_SCORES = ("churn_risk", "active_days_expected", "days_to_next_activity", "journey_stage")
_LONGEST = 730.0
_NOTHING: Mapping[str, Value] = MappingProxyType(dict.fromkeys(_SCORES))
_UNKNOWN: Mapping[str, Explained] = MappingProxyType(dict.fromkeys(_SCORES, Explained(None, None, None)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """people : how many taught it, 0 of the prior."""

    buying: BGNBD
    people: int
    _buyer: Buyer = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_buyer", Buyer.of(self.buying))

    def predict(self, features: Features) -> Mapping[str, Value]:
        who, buyer = acted(features, ACTIVE), self._buyer
        if who is None:
            return _NOTHING
        alive = buyer.alive(*who)
        days = _next(buyer, who, alive)
        return {
            "churn_risk": 1.0 - alive * buyer.some_alive(who.x, who.age, AHEAD),
            "active_days_expected": alive * buyer.while_alive(who.x, who.age, AHEAD),
            "days_to_next_activity": days if days < _LONGEST else None,
            "journey_stage": str(stage_of(buyer, *who, _pause(features))),
        }

    def explain(self, features: Features) -> Mapping[str, Explained]:
        who, found = acted(features, ACTIVE), self.predict(features)
        if who is None:
            return _UNKNOWN
        start = "just_begun" if self.people else "published_prior"
        days = explained(_wait, who, self.buying, start=start)
        return {
            "churn_risk": explained(_churn, who, self.buying, start=start, link=LOG_ODDS),
            "active_days_expected": explained(expected_ahead, who, self.buying, start=start),
            "days_to_next_activity": days if found["days_to_next_activity"] is not None else Explained(None, None, None),
            "journey_stage": Explained(found["journey_stage"], None, None, (("warmth", warmth_of(self._buyer, *who)),)),
        }

    def pack(self) -> dict[str, Any]:
        return {"buying": self.buying.pack(), "people": self.people}


class ActivityFamily:
    """Who will be active again, by BG/NBD on the days with an engagement; `churn_risk` is the chance of none in the coming four
    weeks. The prior is CDNOW's, as published, of people who buy CDs: something finite until the first training."""

    model_id = "activity"
    model_type = "bg_nbd"
    case = Case.PERSON
    scores = _SCORES
    least = 100

    def prior(self) -> Model:
        return Activity(buying=BGNBD.elsewhere(CDNOW_BUYING), people=0)

    def fit(self, examples: Examples, rng: np.random.Generator) -> Model:
        """By each person's newest case; rng is not needed. Raises ArrayInvalid."""
        people = newest(examples, ACTIVE)
        if not len(people):
            raise ArrayInvalid("active_days", "is 0 for everybody", "wait for engagements, or import those of the past")
        return Activity(buying=fit_bgnbd(made(people, ACTIVE)), people=len(people))

    def judge(self, model: Model, examples: Examples) -> Judged:
        """By outcome active_days, of those who were active before. Raises TypeError for a model of another family."""
        if not isinstance(model, Activity):
            raise TypeError(f"{type(model).__name__} is no model of activity")
        rows, weeks = some(examples, ACTIVE), weeks_of(examples)
        asked = examples.taken(rows)
        who = made(asked, ACTIVE)
        silent, expected = 1.0 - model.buying.some(who, weeks), model.buying.expected(who, weeks)
        return judged(len(examples), rows, "churn_risk", silent, expected, asked.outcomes["active_days"])

    def unpack(self, packed: Mapping[str, Any]) -> Model:
        return Activity(buying=restored(BGNBD, packed, "buying", 4), people=int(packed.get("people", 0)))


FAMILY = ActivityFamily()


def _churn(model: BGNBD, who: Acted) -> float:
    return 1.0 - Buyer.of(model).some(*who, AHEAD)


def _wait(model: BGNBD, who: Acted) -> float:
    buyer = Buyer.of(model)
    return _next(buyer, who, buyer.alive(*who))


def _next(buyer: Buyer, who: Acted, alive: float) -> float:
    """Days; two years where it is longer or never."""
    weeks = buyer.even_odds(who.x, who.age, alive)
    return _LONGEST if weeks is None else min(weeks * DAYS_A_WEEK, _LONGEST)


def _pause(features: Features) -> float:
    return number(features, "active_pause") / DAYS_A_WEEK
