"""Logistic regressions over hashed n-grams, several outcomes of one text at once, each known of some texts only.

    P(y_k = 1 | x) = sigmoid(slope_k z_k + shift_k),   z_k = w_k . x + c_k,   x_g = count_g idf_g / sqrt(sum_g count_g idf_g^2)

idf_g = ln((1 + n) / (1 + n_g)) + 1 (Salton and Buckley 1988). The weights make the likelihood less penalty |w|^2 / 2 greatest
(L-BFGS, Liu and Nocedal 1989); slope and shift are Platt's, fitted on texts held out in two folds, where also the threshold is
found at which each outcome's F1 is greatest (Lipton, Elkan and Narayanaswamy 2014). Only the n-grams with the largest weights
are kept, coarsely. O(iterations x n-grams x outcomes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from personalization.errors import ArrayInvalid
from personalization.learning.calibration import platt
from personalization.learning.crossfit import folds_of
from personalization.learning.evaluation import Array
from personalization.learning.ngrams import Windows

Floats = npt.NDArray[np.float32]

_STEPS = 127
_MEMORY = 6
_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Plan:
    """penalty: precision of the weights' prior. least: texts that an n-gram must be in. kept: n-grams at most."""

    penalty: float = 0.5
    least: int = 3
    kept: int = 1 << 20
    iterations: int = 60


@dataclass(frozen=True, eq=False)
class Linear:
    """slots, idf : (g,) n-grams that count, ascending, of 2^bits
    steps : (g, k) signed roots of the weights over their units (k,), in 127ths, for most weights are small
    constants, slopes, shifts, thresholds : (k,), thresholds on the probability"""

    bits: int
    slots: npt.NDArray[np.uint32]
    idf: npt.NDArray[np.float16]
    steps: npt.NDArray[np.int8]
    units: Floats
    constants: Floats
    slopes: Floats
    shifts: Floats
    thresholds: Floats

    def probabilities(self, found: Windows) -> Array:
        """(n, k). A text of unknown n-grams has the base rates. A text's answer does not depend on the others'."""
        return np.asarray(expit(self.slopes * self.scores(found) + self.shifts), np.float64)

    def scores(self, found: Windows) -> Array:
        """z: (n, k)."""
        index, idf, weights = self._tables
        at = index[found.slots]
        rows, at = found.rows[at >= 0], at[at >= 0]
        norms = np.sqrt(np.bincount(rows, weights=(idf * idf)[at], minlength=found.n))
        x = sparse.csr_array((idf[at], (rows, at)), shape=(found.n, len(idf)))
        return np.asarray((x @ weights) / np.maximum(norms, 1e-9)[:, None] + self.constants, np.float64)

    @cached_property
    def _tables(self) -> tuple[npt.NDArray[np.int32], Floats, Floats]:
        """slot -> row or -1, idf (g,) and weights (g, k)."""
        index = np.full(1 << self.bits, -1, np.int32)
        index[self.slots] = np.arange(len(self.slots), dtype=np.int32)
        roots = self.steps.astype(np.float32) / np.float32(_STEPS)
        return index, self.idf.astype(np.float32), np.asarray(roots * np.abs(roots) * self.units, np.float32)

    def pack(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in Linear.__dataclass_fields__}


def unpacked(packed: Mapping[str, Any]) -> Linear:
    return Linear(**{name: packed[name] for name in Linear.__dataclass_fields__})


def fit(counts: sparse.csr_array, outcomes: Array, plan: Plan, rng: np.random.Generator, weights: Array | None = None) -> Linear:
    """counts: (n, 2^bits). outcomes: (n, k) 0 or 1, NaN where it is not known. weights: (n,) what each text counts for, 1 unless
    given. Raises ArrayInvalid."""
    shares = np.ones(len(outcomes)) if weights is None else weights
    known = ~np.isnan(outcomes)
    if len(outcomes) != counts.shape[0] or not len(outcomes) or not known.any(axis=0).all():
        raise ArrayInvalid("outcomes", "are none, not as many as texts, or one of them is never known", "give one a text")
    z = held_out(counts, outcomes, plan, rng, shares)
    columns = [(outcomes[known[:, k], k], expit(z[known[:, k], k])) for k in range(outcomes.shape[1])]
    scales = [platt(y, p) for y, p in columns]
    best = [threshold(y, scale(p)) for (y, p), scale in zip(columns, scales, strict=True)]
    slots, idf, w, constants = _weights(counts, outcomes, plan, shares)
    units = np.maximum(np.abs(w).max(axis=0, initial=0.0), 1e-9).astype(np.float32)
    return Linear(
        bits=int(counts.shape[1]).bit_length() - 1,
        slots=slots,
        idf=idf,
        steps=np.round(np.sign(w) * np.sqrt(np.abs(w / units)) * _STEPS).astype(np.int8),
        units=units,
        constants=constants,
        slopes=np.array([scale.slope for scale in scales], np.float32),
        shifts=np.array([scale.intercept for scale in scales], np.float32),
        thresholds=np.array(best, np.float32),
    )


def held_out(counts: sparse.csr_array, outcomes: Array, plan: Plan, rng: np.random.Generator, shares: Array) -> Array:
    """z of each half of the texts from the other half, (n, k)."""
    z = np.empty(outcomes.shape)
    half = folds_of(len(outcomes), 2, rng) == 0
    for judged in (half, ~half):
        slots, idf, w, constants = _weights(counts[~judged], outcomes[~judged], plan, shares[~judged])
        z[judged] = _scaled(counts[judged], slots, idf) @ w + constants
    return z


def threshold(y: Array, p: Array) -> float:
    """Where F1 = 2 TP / (predicted + ones) is greatest."""
    order = np.argsort(-p, kind="stable")
    f1 = 2.0 * np.cumsum(y[order]) / (np.arange(1, len(y) + 1) + y.sum())
    return float(p[order][int(np.argmax(f1))])


def _weights(
    counts: sparse.csr_array, outcomes: Array, plan: Plan, shares: Array
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float16], Floats, Floats]:
    texts = np.bincount(counts.indices, minlength=counts.shape[1])
    slots = np.flatnonzero(texts >= plan.least).astype(np.uint32)
    idf = (np.log((1.0 + counts.shape[0]) / (1.0 + texts[slots])) + 1.0).astype(np.float16)
    weights, constants = solved(_scaled(counts, slots, idf), outcomes, plan, shares)
    largest = np.sort(np.argsort(-np.abs(weights).max(axis=1, initial=0.0), kind="stable")[: plan.kept])
    return slots[largest], idf[largest], weights[largest], constants


def _scaled(counts: sparse.csr_array, slots: npt.NDArray[np.uint32], idf: npt.NDArray[np.float16]) -> sparse.csr_array:
    """x : (n, g) float32."""
    x = sparse.csr_array(counts[:, slots])
    wide = idf.astype(np.float32)
    norms = np.sqrt(np.maximum(x @ (wide * wide), 1e-9))
    x.data = x.data * wide[x.indices] / np.repeat(norms, np.diff(x.indptr)).astype(np.float32)
    return x


def solved(x: sparse.csr_array, outcomes: Array, plan: Plan, shares: Array) -> tuple[Floats, Floats]:
    """weights (g, k), constants (k,). Each outcome by itself, from the texts it is known of. shares: (n,) what each counts for."""
    found = []
    for y in outcomes.T:
        known = np.flatnonzero(~np.isnan(y))
        found.append(_one(sparse.csr_array(x[known]), y[known], plan, shares[known]))
    together = np.stack(found, axis=1)
    return together[:-1].astype(np.float32), together[-1].astype(np.float32)


def _one(x: sparse.csr_array, y: Array, plan: Plan, shares: Array) -> Array:
    """Weights and constant, (g + 1,); the search starts from the base rate."""
    transposed = sparse.csr_array(x.T)

    def loss(w: Array) -> tuple[float, Array]:
        z = x @ w[:-1].astype(np.float32) + w[-1]
        residual = shares * (expit(z) - y)
        slope = transposed @ residual.astype(np.float32) + plan.penalty * w[:-1]
        misfit = float(shares @ (np.logaddexp(0.0, z) - y * z))
        return misfit + 0.5 * plan.penalty * float(w[:-1] @ w[:-1]), np.append(slope, residual.sum())

    rate = (shares @ y + 0.5) / (shares.sum() + 1.0)
    start = np.append(np.zeros(x.shape[1]), np.log(rate / (1.0 - rate)))
    options = {"maxiter": plan.iterations, "maxcor": _MEMORY, "ftol": _TOLERANCE}
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x, np.float64)
