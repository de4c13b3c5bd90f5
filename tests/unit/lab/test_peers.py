from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from personalization.errors import ExtraMissing
from personalization.lab.churn import cross_validated, in_time
from personalization.lab.datasets import OutcomeLog, TrialLog
from personalization.lab.mailing import t_learned as mailed
from personalization.lab.peers import CLASSIFIERS, boosting, check_installed, logistic_regression
from personalization.lab.targeting import t_learned as targeted
from personalization.learning.calibration import auc

with_peers = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("sklearn", "lightgbm")), reason="the extra peers is not installed"
)


def log(n: int = 600) -> OutcomeLog:
    """Text and numbers with gaps, both of which tell."""
    rng = np.random.default_rng(1)
    y = (rng.random(n) < 0.4).astype(float)
    days = (y + rng.normal(size=n)).tolist()
    plan = np.where(rng.random(n) < 0.3 + 0.4 * y, "a", "b").tolist()
    return OutcomeLog(
        name="made up",
        table={
            "days": [None if i % 9 == 0 else v for i, v in enumerate(days)],
            "plan": [None if i % 7 == 0 else v for i, v in enumerate(plan)],
        },
        outcomes=y.tolist(),
    )


@with_peers
def test_peers_are_judged_on_the_rows_of_the_same_folds_and_find_what_is_told() -> None:
    for found in (cross_validated(log(), peers=CLASSIFIERS), in_time(log(), peers=CLASSIFIERS)):
        assert list(found.peers) == ["LogisticRegression", "LightGBM"]
        for p in found.peers.values():
            assert p.shape == found.y.shape
            assert 0.7 < auc(found.y, p) < 0.95


@with_peers
def test_a_value_that_only_later_rows_have_is_taken() -> None:
    later = OutcomeLog(name="later", table={"days": [None, 1e9], "plan": ["new", None]}, outcomes=[0.0, 1.0])
    for peer in CLASSIFIERS.values():
        assert np.isfinite(peer(log(), later)).all()


def trial(rows: int = 3_000) -> TrialLog:
    """Mail helps the young by a fifth and harms the others as much."""
    rng = np.random.default_rng(1)
    age, given = rng.uniform(20.0, 80.0, rows), rng.integers(2, size=rows)
    rewards = rng.random(rows) < 0.4 + given * np.where(age < 50.0, 0.2, -0.2)
    return TrialLog(
        name="made up",
        arms=("nothing", "mailing"),
        traits=[{"age": one, "tall": bool(i % 2)} for i, one in enumerate(age.tolist())],
        given=given.tolist(),
        rewards=rewards.astype(float).tolist(),
    )


@with_peers
def test_a_t_learner_of_a_peer_treats_whom_it_helps() -> None:
    assert mailed(trial(), boosting).low > 0.05
    assert targeted(trial(), logistic_regression).low > trial().mean()


def test_a_missing_peer_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalization.lab.peers.find_spec", lambda name: None if name == "sklearn" else sys)
    with pytest.raises(ExtraMissing, match=r"^sklearn is not installed.*\[peers\]"):
        check_installed()
