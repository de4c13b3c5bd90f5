"""C: nothing makes a difference. Does the product's interval of the lift say so?"""

from __future__ import annotations

import math

from personalization.clock import HOUR
from personalization.lab.product import START, Event, Product
from personalization.lab.reading import AN_HOUR, Reading, Run, Step
from personalization.lab.scenarios import Scenario
from personalization.vocabulary import EventType

#: Share of the runs whose 95 % interval must cover 0.
_MUST = 0.92


def noise(product: Product, scenario: Scenario, seed: int, messages: int, step: Step) -> Run:
    """An hour's messages are decided together: the clicks do not depend on what is sent, so neither does the lift.

    Clicks are reported as `clicked` too, after the final `rewarded`, so that the product's overview counts them.
    """
    traffic = scenario.traffic(seed, messages)
    product.people(traffic.traits())
    clicked = traffic.uniform < traffic.oracle()
    for at in range(0, messages, AN_HOUR):
        product.clock(START + at // AN_HOUR * HOUR)
        choices = product.decide(traffic.user[at : at + AN_HOUR].tolist())
        hits = clicked[at : at + AN_HOUR].tolist()
        product.learn([Event(choice, EventType.REWARDED, float(hit)) for choice, hit in zip(choices, hits, strict=True)])
        product.learn([Event(choice, EventType.CLICKED) for choice, hit in zip(choices, hits, strict=True) if hit])
        step(at)
    lift = product.lift()
    value, low, high = lift["value"], lift["low"], lift["high"]
    if value is None or low is None or high is None:
        covers, complete = 0.0, False
    else:
        covers, complete = float(low <= 0.0 <= high), messages >= scenario.messages
    reading = Reading(
        window="interval of the lift covers 0",
        policy=covers,
        random=math.nan,
        best_fixed=math.nan,
        oracle=math.nan,
        must=_MUST,
        complete=complete,
    )
    return Run(readings=(reading,), curve=() if value is None else ((float(seed), value),))
