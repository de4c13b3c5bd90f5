"""Gradient-boosted trees of an outcome (Friedman 2001; LightGBM, Ke et al. 2017), the mean of a few seeds. Extra `trees`.

They find thresholds and interactions that no line tells. An eighth of the rows says when to stop, as for `network`; another one
for each seed. One thread and LightGBM's deterministic mode: the same seed gives the same trees.

x : (n, d) finite    y : (n,) 0 or 1, both present    O(n d) a tree
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from personalization.errors import ExtraMissing
from personalization.learning.evaluation import Array
from personalization.learning.logit import check, check_columns
from personalization.learning.network import apart

#: Trees of a seed at most, and without progress.
_TREES, _PATIENCE = 1_000, 20
_OF_TREES = {"objective": "binary", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 10, "feature_fraction": 0.5}
_REPEATABLE = {"deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1}


@dataclass(frozen=True, eq=False)
class Trees:
    """texts: of each seed the trees in LightGBM's own notation. boosters: the same, read."""

    texts: tuple[str, ...]
    boosters: tuple[Any, ...]

    def probabilities(self, x: Array) -> Array:
        """(n,). Raises ArrayInvalid where x is not (n, d) and finite."""
        check_columns(x, self.boosters[0].num_feature() - 1)
        rows = _with_constant(x)
        # LightGBM refuses to be asked about nobody.
        found = [one.predict(rows, num_threads=1) for one in self.boosters] if len(x) else [np.empty(0)]
        return np.asarray(np.mean(found, axis=0), np.float64)

    def pack(self) -> dict[str, Any]:
        """Texts alone; `unpack` restores it to the bit."""
        return {"texts": list(self.texts)}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Trees:
        """Raises ExtraMissing."""
        return _read(packed["texts"])


def trees(x: Array, y: Array, rng: np.random.Generator, seeds: int = 3) -> Trees:
    """Raises ExtraMissing, and ArrayInvalid as `network`."""
    check(x, y)
    return _read([_text(_with_constant(x), y, child) for child in rng.spawn(seeds)])


def _text(x: Array, y: Array, rng: np.random.Generator) -> str:
    lightgbm = _lightgbm()
    stopping, taught = apart(y, rng)
    booster = lightgbm.train(
        _OF_TREES | _REPEATABLE | {"seed": int(rng.integers(2**31))},
        lightgbm.Dataset(x[taught], y[taught]),
        _TREES,
        valid_sets=[lightgbm.Dataset(x[stopping], y[stopping])],
        callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
    )
    return str(booster.model_to_string(num_iteration=booster.best_iteration))


def _read(texts: Sequence[str]) -> Trees:
    lightgbm = _lightgbm()
    return Trees(tuple(texts), tuple(lightgbm.Booster(model_str=text) for text in texts))


def _with_constant(x: Array) -> Array:
    """LightGBM refuses a table without any column."""
    return np.concatenate([x, np.zeros((len(x), 1))], axis=1)


def _lightgbm() -> Any:
    try:
        return import_module("lightgbm")
    except ImportError as missing:
        raise ExtraMissing("lightgbm", "trees") from missing
