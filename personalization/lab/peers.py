"""What others' libraries reach on the very same rows: fitted in the same folds of the same run (extra `peers`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType

import numpy as np

from personalization.errors import ExtraMissing
from personalization.lab.datasets import OutcomeLog
from personalization.learning.evaluation import Array
from personalization.learning.tables import Value
from personalization.learning.uplift import Predict

#: Probabilities of the rows of the second log, learned from the first.
Peer = Callable[[OutcomeLog, OutcomeLog], Array]

_MODULES = ("sklearn", "lightgbm", "lifetimes")
_TREES, _OF_TREES = 200, {"objective": "binary", "num_leaves": 15, "learning_rate": 0.05, "num_threads": 1, "verbosity": -1}


def check_installed() -> None:
    """Raises ExtraMissing."""
    if missing := [name for name in _MODULES if not find_spec(name)]:
        raise ExtraMissing(" and ".join(missing), "peers")


def logistic_regression(x: Array, y: Array) -> Predict:
    """scikit-learn's, on scaled columns; (n, d) rows, (n,) outcomes of both kinds."""
    scaler = import_module("sklearn.preprocessing").StandardScaler().fit(x)
    model = import_module("sklearn.linear_model").LogisticRegression(max_iter=2_000).fit(scaler.transform(x), y)
    return lambda rows: np.asarray(model.predict_proba(scaler.transform(rows))[:, 1], np.float64)


def boosting(x: Array, y: Array) -> Predict:
    """LightGBM's; (n, d) rows, (n,) outcomes."""
    lightgbm = import_module("lightgbm")
    booster = lightgbm.train(_OF_TREES, lightgbm.Dataset(x, y), _TREES)
    return lambda rows: np.asarray(booster.predict(rows, num_threads=1), np.float64)


def _of_tables(fit: Callable[[Array, Array], Predict]) -> Peer:
    def peer(known: OutcomeLog, asked: OutcomeLog) -> Array:
        return fit(_one_hot(known, known), np.array(known.outcomes))(_one_hot(asked, known))

    return peer


CLASSIFIERS: Mapping[str, Peer] = MappingProxyType(
    {"LogisticRegression": _of_tables(logistic_regression), "LightGBM": _of_tables(boosting)}
)


def _one_hot(log: OutcomeLog, known: OutcomeLog) -> Array:
    """(n, d): texts as an indicator of each value that is known, numbers as they are, the known mean where there is none."""
    return np.column_stack([column for name in known.table for column in _columns(log.table[name], known.table[name])])


def _columns(values: Sequence[Value], known: Sequence[Value]) -> list[Array]:
    if any(isinstance(value, str) for value in known):
        return [np.array([str(value) == level for value in values], np.float64) for level in sorted({str(v) for v in known})]
    x, seen = (np.array([np.nan if value is None else value for value in column], np.float64) for column in (values, known))
    return [np.where(np.isnan(x), np.nanmean(seen), x)]
