"""Which variants do more harm than is acceptable: how often an unwelcome event follows them, against its guardrail.

A variant's rate of an event has a Beta posterior, its prior at the model's own rate p with STRENGTH pseudo-events (the
beta-binomial model of groups that are alike, Gelman et al., Bayesian Data Analysis, 3rd ed., sections 2.4 and 5.3):

    rate_a ~ Beta(s + h_a, s (1 - p) / p + n_a - h_a),   s = STRENGTH, h_a events after n_a sends of variant a

It is over its guardrail when P(rate_a > limit) >= SURE and at least FEWEST of its own sends ended so. As a posterior
probability this may be looked at after every send.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
from scipy.special import betainc

from personalization.learning.experience import EXPOSED

#: Pseudo-events behind a variant's prior: its deviation is as large as its mean.
STRENGTH = 1.0
#: Probability from which on a variant counts as over its guardrail.
SURE = 0.95
#: Of a variant's own sends, before which it is not judged: what others did cannot rule it out, nor can one person.
FEWEST = 3.0

#: (event type, highest acceptable rate a send), sorted.
Guardrails = tuple[tuple[str, float], ...]


class Standing(msgspec.Struct, frozen=True):
    """A variant against one guardrail. rate: of its sends that ended in the event; probability: that it truly is over."""

    event: str
    rate: float
    limit: float
    probability: float
    over: bool

    @property
    def excess(self) -> float:
        """How many times the limit."""
        return self.rate / max(self.limit, 1e-6)


def standings(variants: Mapping[int, Mapping[str, float]], guardrails: Guardrails) -> dict[int, tuple[Standing, ...]]:
    """variants: key -> counts of its decisions, by event type and EXPOSED. O(variants * guardrails)."""
    usual = {event: _rate(variants.values(), event) for event, _ in guardrails}
    return {
        variant: tuple(_standing(counts, event, limit, usual[event]) for event, limit in guardrails)
        for variant, counts in variants.items()
    }


def worst(found: Sequence[Standing]) -> Standing | None:
    """The guardrail a variant is furthest over, None when it is over none."""
    return max((one for one in found if one.over), key=lambda one: one.excess, default=None)


def probability_over(events: float, sends: float, limit: float, usual: float) -> float:
    """P(rate > limit) of the docstring's posterior; usual: p.

    >>> round(probability_over(6.0, 100.0, 0.01, 0.005), 2), round(probability_over(5.0, 1000.0, 0.01, 0.005), 2)
    (0.97, 0.02)
    """
    if usual <= 0.0:
        return 0.0
    others = STRENGTH * (1.0 - usual) / usual + max(sends - events, 0.0)
    return round(1.0 - float(betainc(STRENGTH + events, max(others, 1e-9), limit)), 9)


def _standing(counts: Mapping[str, float], event: str, limit: float, usual: float) -> Standing:
    sends, events = max(counts.get(EXPOSED, 0.0), 0.0), max(counts.get(event, 0.0), 0.0)
    probability = probability_over(events, sends, limit, usual)
    rate = min(events / sends, 1.0) if sends > 0.0 else 0.0
    return Standing(event, round(rate, 9), limit, probability, probability >= SURE and events >= FEWEST)


def _rate(variants: Collection[Mapping[str, float]], event: str) -> float:
    sends = sum(counts.get(EXPOSED, 0.0) for counts in variants)
    events = sum(counts.get(event, 0.0) for counts in variants)
    return min(events / sends, 1.0) if sends > 0.0 else 0.0
