"""A calibrated classifier of an outcome (engaged, left, answered): which method serves is chosen inside the rows that teach.

Every method predicts each row from the other inner folds; its calibration is chosen on these predictions (`calibration`), and
the method of the least calibrated log-loss is fitted again to all rows (stacked validation, Stone 1974). Where the time of the
rows is given, each inner fold is predicted from the rows before it alone (rolling origin, Tashman 2000), so that what serves is
what foretold later rows best. Below FEWEST rows of either class there is nothing to choose by: the first method serves, as it is.

x : (n, d) finite, as `tables.Encoder.design` gives it    y : (n,) 0 or 1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from personalization.errors import ArrayInvalid
from personalization.learning.calibration import AS_IT_IS, Calibration, calibrated, unpack_calibration
from personalization.learning.crossfit import folds_of
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.logit import Logit, check, logit
from personalization.learning.network import Network, network
from personalization.learning.tables import BoolArray
from personalization.learning.trees import Trees, trees

#: Rows of the rarer class below which nothing is chosen.
FEWEST = 30
_FOLDS = 3
#: A penalty under which a weight stays 0.
_NEVER = 1e12


class Model(Protocol):
    """Frozen once fitted. `probabilities` is a pure function of x (n, d); `pack` gives arrays and plain data."""

    def probabilities(self, x: Array) -> Array: ...

    def pack(self) -> dict[str, Any]: ...


Fit = Callable[[Array, Array, np.random.Generator], Model]


def ridge(x: Array, y: Array, rng: np.random.Generator, penalty: float | Array) -> Model:
    return logit(x, y, penalty)


#: The first one serves where there is nothing to choose by. Trees take part where their extra is installed.
METHODS: Mapping[str, Fit] = MappingProxyType(
    {
        "logit 10": partial(ridge, penalty=10.0),
        "logit 1": partial(ridge, penalty=1.0),
        "network": network,
        **({"trees": trees} if find_spec("lightgbm") else {}),
    }
)
_UNPACK: Mapping[str, Callable[[Mapping[str, Any]], Model]] = MappingProxyType(
    {"logit": Logit.unpack, "network": Network.unpack, "trees": Trees.unpack}
)


def methods_of(bent: BoolArray) -> dict[str, Fit]:
    """METHODS, and a logit that keeps to straight lines: bends may follow what only once was so. bent : (d,) `Encoder.bent`"""
    return {**METHODS, "logit straight": partial(ridge, penalty=np.where(bent, _NEVER, 10.0))}


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


def classifier(
    x: Array, y: Array, rng: np.random.Generator, methods: Mapping[str, Fit] = METHODS, *, at: Array | IntArray | None = None
) -> Classifier:
    """at : (n,) when each row was, where that is known. Raises ArrayInvalid. Four fits a method."""
    check(x, y)
    folds = _stratified(y, rng) if at is None else _in_order(y, at)
    splits = [(_taught(folds, fold, at is not None), folds == fold) for fold in range(_FOLDS)]
    if min(y.sum(), len(y) - y.sum()) < FEWEST or any(len(np.unique(y[taught])) < 2 for taught, _ in splits):
        method = next(iter(methods))
        return Classifier(method, methods[method](x, y, rng), AS_IT_IS, {})
    # Chance of its own for each, so that no method's answer hangs on which others are installed.
    chance, judged = dict(zip(methods, rng.spawn(len(methods)), strict=True)), folds >= 0
    predicted = {name: _out_of_fold(fit, x, y, splits, chance[name])[judged] for name, fit in methods.items()}
    found = {name: calibrated(y[judged], p, folds[judged]) for name, p in predicted.items()}
    method = min(found, key=lambda name: found[name][1])
    losses = {name: loss for name, (_, loss) in found.items()}
    return Classifier(method, methods[method](x, y, chance[method]), found[method][0], losses)


def _stratified(y: Array, rng: np.random.Generator) -> IntArray:
    """(n,) folds of equal size with equal shares of ones."""
    folds = np.empty(len(y), np.int64)
    for outcome in (0.0, 1.0):
        folds[y == outcome] = folds_of(int((y == outcome).sum()), _FOLDS, rng)
    return folds


def _in_order(y: Array, at: Array | IntArray) -> IntArray:
    """(n,) folds of equal size, one after the other in time; -1 for the first rows, which teach alone."""
    if at.shape != y.shape or not np.isfinite(at).all():
        raise ArrayInvalid("at", f"has shape {at.shape} or is not finite", "give one time a row")
    folds = np.empty(len(y), np.int64)
    for fold, rows in enumerate(np.array_split(np.argsort(at, kind="stable"), _FOLDS + 1), -1):
        folds[rows] = fold
    return folds


def _taught(folds: IntArray, fold: int, in_order: bool) -> BoolArray:
    return folds < fold if in_order else folds != fold


def _out_of_fold(fit: Fit, x: Array, y: Array, splits: Sequence[tuple[BoolArray, BoolArray]], rng: np.random.Generator) -> Array:
    """(n,), NaN in rows that only teach."""
    p = np.full(len(y), np.nan)
    for taught, held in splits:
        p[held] = fit(x[taught], y[taught], rng).probabilities(x[held])
    return p
