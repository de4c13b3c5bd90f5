"""A calibrated classifier of an outcome (engaged, left, answered): which method serves is chosen inside the rows that teach.

Every method predicts each row from the other inner folds; its calibration is chosen on these predictions (`calibration`), and
the method of the least calibrated log-loss is fitted again to all rows (stacked validation, Stone 1974). Below FEWEST rows of
either class there is nothing to choose by: the first method serves, as it is.

x : (n, d) finite, as `tables.Encoder.design` gives it    y : (n,) 0 or 1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from personalization.learning.calibration import AS_IT_IS, Calibration, calibrated, unpack_calibration
from personalization.learning.crossfit import folds_of
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.logit import Logit, check, logit
from personalization.learning.network import Network, network

#: Rows of the rarer class below which nothing is chosen.
FEWEST = 30
_FOLDS = 3


class Model(Protocol):
    """Frozen once fitted. `probabilities` is a pure function of x (n, d); `pack` gives arrays and plain data."""

    def probabilities(self, x: Array) -> Array: ...

    def pack(self) -> dict[str, Any]: ...


Fit = Callable[[Array, Array, np.random.Generator], Model]


def ridge(x: Array, y: Array, rng: np.random.Generator, penalty: float) -> Model:
    return logit(x, y, penalty)


#: The first one serves where there is nothing to choose by.
METHODS: Mapping[str, Fit] = MappingProxyType(
    {"logit 10": partial(ridge, penalty=10.0), "logit 1": partial(ridge, penalty=1.0), "network": network}
)
_UNPACK: Mapping[str, Callable[[Mapping[str, Any]], Model]] = MappingProxyType({"logit": Logit.unpack, "network": Network.unpack})


@dataclass(frozen=True, eq=False)
class Classifier:
    """method: the name in METHODS. losses: calibrated log-loss (nats) of each method on the inner folds, empty if none chosen."""

    method: str
    model: Model
    calibration: Calibration
    losses: Mapping[str, float]

    def probabilities(self, x: Array) -> Array:
        """(n,) calibrated. Raises ArrayInvalid where x is not (n, d) and finite."""
        return self.calibration(self.model.probabilities(x))

    def pack(self) -> dict[str, Any]:
        """Arrays and plain data; `unpack` restores it to the bit."""
        packed = {"method": self.method, "losses": dict(self.losses)}
        return {**packed, "model": self.model.pack(), "calibration": self.calibration.pack()}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Classifier:
        model = _UNPACK[packed["method"].split()[0]](packed["model"])
        return cls(packed["method"], model, unpack_calibration(packed["calibration"]), dict(packed["losses"]))


def classifier(x: Array, y: Array, rng: np.random.Generator, methods: Mapping[str, Fit] = METHODS) -> Classifier:
    """Raises ArrayInvalid. Four fits a method."""
    check(x, y)
    if min(y.sum(), len(y) - y.sum()) < FEWEST:
        method = next(iter(methods))
        return Classifier(method, methods[method](x, y, rng), AS_IT_IS, {})
    folds = _stratified(y, rng)
    found = {name: calibrated(y, _out_of_fold(fit, x, y, folds, rng), folds) for name, fit in methods.items()}
    method = min(found, key=lambda name: found[name][1])
    losses = {name: loss for name, (_, loss) in found.items()}
    return Classifier(method, methods[method](x, y, rng), found[method][0], losses)


def _stratified(y: Array, rng: np.random.Generator) -> IntArray:
    """(n,) folds of equal size with equal shares of ones."""
    folds = np.empty(len(y), np.int64)
    for outcome in (0.0, 1.0):
        folds[y == outcome] = folds_of(int((y == outcome).sum()), _FOLDS, rng)
    return folds


def _out_of_fold(fit: Fit, x: Array, y: Array, folds: IntArray, rng: np.random.Generator) -> Array:
    p = np.empty(len(y))
    for fold in range(_FOLDS):
        held = folds == fold
        p[held] = fit(x[~held], y[~held], rng).probabilities(x[held])
    return p
