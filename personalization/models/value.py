"""What a person will still buy: BG/NBD on days with a purchase, times gamma-gamma on their amounts (`learning.lifetime`).

    lifetime_value      of the coming 12 months, discounted 1 % a month, in the currency of the amounts
    purchases_expected  days with a purchase in the coming four weeks
    rfm_segment         `learning.segments.Segment`, by cut points of the people that taught; None before the first training

All are None of who never bought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from personalization.errors import ArrayInvalid, ArtifactRefused
from personalization.learning.bgnbd import BGNBD, fit_bgnbd
from personalization.learning.buyer import Buyer, Spender, horizons
from personalization.learning.evaluation import Array
from personalization.learning.gammagamma import GammaGamma, fit_gammagamma
from personalization.learning.segments import SEGMENTS, cuts, fifth
from personalization.learning.tables import Value
from personalization.models.base import Case, Examples, Explained, Features, Judged, Model
from personalization.models.days import BOUGHT, Acted, acted, column, made, newest, number, some
from personalization.models.foresight import (
    AHEAD,
    CDNOW_BUYING,
    CDNOW_SPENDING,
    correlation,
    expected_ahead,
    explained,
    judged,
    restored,
    weeks_of,
)

_SCORES = ("lifetime_value", "purchases_expected", "rfm_segment")
_YEAR = horizons(12, 0.01)
_NOTHING: Mapping[str, Value] = MappingProxyType(dict.fromkeys(_SCORES))
_UNKNOWN: Mapping[str, Explained] = MappingProxyType(dict.fromkeys(_SCORES, Explained(None, None, None)))

#: The least value of each fifth but the first.
Limits = tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Worth:
    """people : how many taught it, 0 of the prior    recency, frequency : cut points, none of the prior."""

    buying: BGNBD
    spending: GammaGamma
    recency: Limits = ()
    frequency: Limits = ()
    people: int
    _buyer: Buyer = field(init=False)
    _spender: Spender = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_buyer", Buyer.of(self.buying))
        object.__setattr__(self, "_spender", Spender.of(self.spending))

    def predict(self, features: Features) -> Mapping[str, Value]:
        who = acted(features, BOUGHT)
        if who is None:
            return _NOTHING
        alive, mean = self._buyer.alive(*who), self._spender.expected(who.x, _mean(features, who))
        return {
            "lifetime_value": alive * self._buyer.counted(who.x, who.age, _YEAR) * mean,
            "purchases_expected": alive * self._buyer.while_alive(who.x, who.age, AHEAD),
            "rfm_segment": self._segment(who),
        }

    def explain(self, features: Features) -> Mapping[str, Explained]:
        who = acted(features, BOUGHT)
        if who is None:
            return _UNKNOWN
        start, mean = "just_begun" if self.people else "published_prior", _mean(features, who)

        def value(buying: BGNBD, spending: GammaGamma, at: Acted) -> float:
            buyer = Buyer.of(buying)
            return buyer.alive(*at) * buyer.counted(at.x, at.age, _YEAR) * Spender.of(spending).expected(at.x, mean)

        segment = self._segment(who)
        fifths = () if segment is None else (("recency", float(self._fifths(who)[0])), ("frequency", float(self._fifths(who)[1])))
        return {
            "lifetime_value": explained(value, who, self.buying, self.spending, start=start),
            "purchases_expected": explained(expected_ahead, who, self.buying, start=start),
            "rfm_segment": Explained(segment, None, None, fifths),
        }

    def pack(self) -> dict[str, Any]:
        limits = {"recency": np.array(self.recency), "frequency": np.array(self.frequency)}
        return {"buying": self.buying.pack(), "spending": self.spending.pack(), **limits, "people": self.people}

    def _segment(self, who: Acted) -> str | None:
        if not self.recency:
            return None
        r, f = self._fifths(who)
        return str(SEGMENTS[r - 1][f - 1])

    def _fifths(self, who: Acted) -> tuple[int, int]:
        return fifth(self.recency, who.t_x - who.age), fifth(self.frequency, who.x)


class ValueFamily:
    """What a person will still buy, by BG/NBD on the days with a purchase times gamma-gamma on amounts. The prior is CDNOW's, as
    published, of people who buy CDs in dollars of 1997: in another currency it is of the right size only once there are repeat
    purchases to learn from."""

    model_id = "value"
    model_type = "gamma_gamma"
    case = Case.PERSON
    scores = _SCORES
    least = 100

    def prior(self) -> Model:
        return Worth(buying=BGNBD.elsewhere(CDNOW_BUYING), spending=GammaGamma.elsewhere(CDNOW_SPENDING), people=0)

    def fit(self, examples: Examples, rng: np.random.Generator) -> Model:
        """By each person's newest case; rng is not needed. Raises ArrayInvalid."""
        people = newest(examples, BOUGHT)
        if not len(people):
            raise ArrayInvalid(
                "bought_days", "is 0 for everybody", "record conversions with their value, or import those of the past"
            )
        bought = made(people, BOUGHT)
        return Worth(
            buying=fit_bgnbd(bought),
            spending=fit_gammagamma(bought.frequency, _means(people)),
            recency=cuts(bought.recency - bought.age),
            frequency=cuts(bought.frequency),
            people=len(people),
        )

    def judge(self, model: Model, examples: Examples) -> Judged:
        """By outcomes purchases and spend, of those who bought before. Raises TypeError for a model of another family."""
        if not isinstance(model, Worth):
            raise TypeError(f"{type(model).__name__} is no model of value")
        rows, weeks = some(examples, BOUGHT), weeks_of(examples)
        asked = examples.taken(rows)
        who = made(asked, BOUGHT)
        silent, expected = 1.0 - model.buying.some(who, weeks), model.buying.expected(who, weeks)
        told = correlation(expected * model.spending.expected(who.frequency, _means(asked)), asked.outcomes["spend"])
        purchases = asked.outcomes["purchases"]
        return judged(len(examples), rows, "no_purchase", silent, expected, purchases, correlation_of_spend=told)

    def unpack(self, packed: Mapping[str, Any]) -> Model:
        return Worth(
            buying=restored(BGNBD, packed, "buying", 4),
            spending=restored(GammaGamma, packed, "spending", 3),
            recency=_limits(packed, "recency"),
            frequency=_limits(packed, "frequency"),
            people=int(packed.get("people", 0)),
        )


FAMILY = ValueFamily()


def _mean(features: Features, who: Acted) -> float:
    """Amount of a repeat purchase, as gamma-gamma takes it."""
    return number(features, "bought_again") / who.x if who.x else 0.0


def _means(examples: Examples) -> Array:
    again, x = column(examples, "bought_again"), column(examples, "bought_days") - 1.0
    return np.divide(again, x, out=np.zeros_like(again), where=x > 0.0)


def _limits(packed: Mapping[str, Any], name: str) -> Limits:
    try:
        return tuple(np.asarray(packed[name], np.float64).tolist())
    except (KeyError, TypeError, ValueError) as wrong:
        raise ArtifactRefused(f"its part {name} cannot be read ({type(wrong).__name__})") from wrong
