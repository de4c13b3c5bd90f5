"""Whether what is said of a send's chances comes true: in the simulated world, where opens and clicks are drawn from them.

Scenario A through the product, each click known before the next message; who clicks has opened, and an open has one more in the
logit. Held against what happened are the `predicted_engagement` that each decision was served with, and the probabilities of the
family `engagement`, taught by the log's first part, of the sends that came after.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from personalization.clock import DAY, HOUR
from personalization.lab.backtest import collector_at_rest
from personalization.lab.product import START, Event, Product
from personalization.lab.reading import AN_HOUR
from personalization.lab.scenarios import SCENARIOS, SHIPPED, Traffic
from personalization.lab.scores import Score
from personalization.lab.world import sigmoid
from personalization.learning.calibration import expected_calibration_error
from personalization.learning.evaluation import Array
from personalization.models.base import Examples
from personalization.models.engagement import FAMILY
from personalization.vocabulary import EventType

TASK = "engagement, simulation A"

Step = Callable[[int, int], None]

#: An open has so much more in the logit than a click.
_OPEN = 1.0
#: Share of the log that teaches.
_TEACHING = 0.7
_ECE = "ECE, 15 bins of equal mass"
_MUST = 0.03


def engagement(folder: Path, step: Step, messages: int | None = None, seed: int = 0) -> list[Score]:
    """Nothing is read from the folder. messages: all of the scenario's unless said otherwise."""
    traffic = SCENARIOS["A"].traffic(seed, messages)
    with (
        collector_at_rest(),
        threadpool_limits(1, user_api="blas"),
        Product(f"A{seed}", {"exploration": SHIPPED}) as product,
    ):
        y = _played(product, traffic, step)
        p = np.array([record.forecast for record in product.records()])
        step(len(traffic), len(traffic))
        return [*_served(y, p), *_taught(product.examples(START + 400 * DAY))]


def _played(product: Product, traffic: Traffic, step: Step) -> Array:
    """(n, 2): whether each message was opened, and clicked."""
    product.people(traffic.traits())
    y = np.zeros((len(traffic), 2))
    for i in range(len(traffic)):
        product.clock(START + i * HOUR // AN_HOUR)
        choice = product.decide([int(traffic.user[i])])[0]
        logit = traffic.logits[traffic.phase[i], traffic.segment[i], choice.action]
        y[i] = traffic.uniform[i] < sigmoid(logit + _OPEN), traffic.uniform[i] < sigmoid(logit)
        done = zip((EventType.OPENED, EventType.CLICKED), y[i], strict=True)
        events = [Event(choice, type_) for type_, happened in done if happened]
        product.learn([Event(choice, EventType.REWARDED, float(y[i, 1])), *events])
        if not i % AN_HOUR:
            step(i, len(traffic))
    return y


def _served(y: Array, p: Array) -> list[Score]:
    return [
        Score(
            task=TASK,
            metric=f"served {name}, {_ECE}",
            value=expected_calibration_error(y[:, k], p[:, k]),
            must=_MUST,
            at_most=True,
        )
        for k, name in enumerate(("open", "click"))
    ]


def _taught(examples: Examples) -> list[Score]:
    """On the later sends; the base rate is theirs. What came of a send was known before the next, so none is left out between."""
    rows, turn = np.arange(len(examples)), int(_TEACHING * len(examples))
    teaching, judging = examples.taken(rows[:turn]), examples.taken(rows[turn:])
    judged = FAMILY.judge(FAMILY.fit(teaching, np.random.default_rng(1)), judging)
    found = []
    for score in ("open", "click"):
        metric = f"model {score}, later sends"
        calibration = judged.metrics[f"{score}_ece"]
        found.append(Score(task=TASK, metric=f"{metric}, {_ECE}", value=calibration, must=_MUST, at_most=True))
        for measure in ("auc", "log_loss"):
            value, base = judged.metrics[f"{score}_{measure}"], judged.base[f"{score}_{measure}"]
            found.append(Score(task=TASK, metric=f"{metric}, {measure.replace('_', '-')}", value=value, base_rate=base))
    return found
