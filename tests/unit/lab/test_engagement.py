"""What is said of a send's chances comes true in the simulated world; the whole of scenario A is the long form."""

from pathlib import Path

import pytest

from personalization.lab.engagement import engagement


def _silent(done: int, total: int) -> None:
    pass


def test_both_the_served_and_the_taught_are_measured() -> None:
    scores = {score.metric: score for score in engagement(Path(), _silent, messages=1_500)}
    assert len(scores) == 8
    served = scores["served click, ECE, 15 bins of equal mass"]
    assert served.at_most
    assert served.value < 0.12, "of 1,500 messages while the policy learns fastest"
    model = scores["model click, later sends, log-loss"]
    assert model.base_rate is not None
    assert model.value < model.base_rate


@pytest.mark.long
def test_scores_are_calibrated_over_scenario_a() -> None:
    scores = engagement(Path(), _silent)
    assert [score.metric for score in scores if score.met is False] == []
    assert sum(score.met is True for score in scores) == 4
