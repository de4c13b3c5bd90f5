"""One run of a scenario through the product, and what it was worth. Values are true probabilities, never realised clicks.

Every message is decided with all rewards known that come before it, so messages go through one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from personalization.lab.fatigue import fatigue
from personalization.lab.noise import noise
from personalization.lab.offpolicy import off_policy
from personalization.lab.playing import play
from personalization.lab.product import Product
from personalization.lab.reading import Reading, Run, Step
from personalization.lab.scenarios import OFF_POLICY, Mask, Numbers, Scenario, Traffic, Window, ordinals
from personalization.lab.uplift import uplift
from personalization.lab.world import SEGMENTS, Array

#: Messages of a segment in one point of a curve.
_POINT = 50


def run(scenario: Scenario, seed: int, exploration: float, messages: int | None = None, step: Step = lambda done: None) -> Run:
    """Through a house of its own. Same arguments, same answer."""
    with Product(f"{scenario.name}{seed}", {**scenario.config, "exploration": exploration}) as product:
        return _RUNS.get(scenario.name, _relative_to_oracle)(product, scenario, seed, messages or scenario.messages, step)


# -- A, B, D, E, F: value over the oracle's ------------------------------------------------------------------------------


def _relative_to_oracle(product: Product, scenario: Scenario, seed: int, messages: int, step: Step) -> Run:
    traffic = scenario.traffic(seed, messages)
    return judged(scenario, traffic, play(product, traffic, step))


def judged(scenario: Scenario, traffic: Traffic, actions: Numbers) -> Run:
    """The mean over segments of (value of these actions / value of the oracle's), by the segment's message count."""
    since = traffic.phase == (1 if scenario.drift_at is not None else 0)
    count, segment = ordinals(traffic.segment[since]), traffic.segment[since]
    values = {"policy": traffic.chances(actions), "random": traffic.random(), "best_fixed": traffic.fixed()}
    values = {name: value[since] for name, value in values.items()}
    oracle = traffic.oracle()[since]

    def ratio(name: str, start: int, stop: int) -> float:
        return over_segments(values[name], oracle, segment, (count >= start) & (count < stop))

    readings = [
        Reading(
            window=window.name,
            policy=ratio("policy", window.start, window.stop),
            random=ratio("random", window.start, window.stop),
            best_fixed=ratio("best_fixed", window.start, window.stop),
            oracle=1.0,
            must=window.must,
            stretch=window.stretch,
            complete=_filled(window, segment),
        )
        for window in scenario.windows
    ]
    starts = range(0, max(window.stop for window in scenario.windows), _POINT)
    curve = [(start + _POINT / 2, ratio("policy", start, start + _POINT)) for start in starts]
    return Run(readings=tuple(readings), curve=tuple((x, y) for x, y in curve if not math.isnan(y)))


def over_segments(value: Array, oracle: Array, segment: Numbers, where: Mask) -> float:
    """NaN when a segment has no message there."""
    earned = np.bincount(segment[where], value[where], SEGMENTS)
    possible = np.bincount(segment[where], oracle[where], SEGMENTS)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float((earned / possible).mean())


def _filled(window: Window, segment: Numbers) -> bool:
    """Whether every segment came at least nine tenths of the way through; the rarest has about 2,000 messages of 40,000."""
    fewest = int(np.bincount(segment, minlength=SEGMENTS).min())
    return fewest >= window.start + 0.9 * (window.stop - window.start)


#: The scenarios that are run and judged in their own way.
_RUNS: Mapping[str, Callable[[Product, Scenario, int, int, Step], Run]] = {
    "C": noise,
    "G": fatigue,
    "H": uplift,
    **dict.fromkeys(OFF_POLICY, off_policy),
}
