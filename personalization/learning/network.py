"""A small neural network of an outcome: one hidden layer of rectifiers, the mean of a few seeds.

P(y = 1 | x) = sigmoid(relu(x A + a) . v + c), each by Adam (Kingma and Ba 2015, algorithm 1) on log-loss in batches, with
decoupled weight decay (Loshchilov and Hutter 2019) and initial weights of He et al. (2015). An eighth of the rows does not teach
but says when to stop (Prechelt 1998): the weights of the pass with the least log-loss there are kept. The mean of several
seeds (Hansen and Salamon 1990) is less of an accident than any.

x : (n, d) finite, standardised    y : (n,) 0 or 1, both present    O(n d hidden) a pass and seed
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from personalization.errors import ArrayInvalid
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.logit import check, check_columns

#: Of Adam, as in the paper.
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8
_RATE, _DECAY = 3e-3, 1e-3
#: Passes over the rows at most, and without progress.
_PASSES, _PATIENCE = 100, 8
#: Steps a pass at most and rows a step at least, so that many rows cost little more than few.
_STEPS, _BATCH = 40, 64
_STOPPING = 1 / 8

Layers = list[Array]


@dataclass(frozen=True, eq=False)
class Network:
    """members: of each seed the hidden weights (d, hidden) and offsets (hidden,), the output's (hidden,) and (1,)."""

    members: tuple[tuple[Array, ...], ...]

    def probabilities(self, x: Array) -> Array:
        """(n,). Raises ArrayInvalid where x is not (n, d) and finite."""
        check_columns(x, len(self.members[0][0]))
        return np.asarray(np.mean([expit(_forward(x, list(member))[1]) for member in self.members], axis=0), np.float64)

    def pack(self) -> dict[str, Any]:
        """Arrays alone; `unpack` restores it to the bit."""
        return {"members": [list(member) for member in self.members]}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Network:
        return cls(tuple(tuple(np.asarray(layer, np.float64) for layer in member) for member in packed["members"]))


def network(x: Array, y: Array, rng: np.random.Generator, hidden: int = 32, seeds: int = 3) -> Network:
    """Raises ArrayInvalid as `logit`, and where one class only is there: nothing would say when to stop."""
    check(x, y)
    return Network(tuple(tuple(_member(x, y, hidden, child)) for child in rng.spawn(seeds)))


def apart(y: Array, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Which rows say when to stop, and which teach. Raises ArrayInvalid where one class only is there, or fewer than eight rows."""
    if len(np.unique(y)) < 2 or len(y) < 1 / _STOPPING:
        raise ArrayInvalid("y", "holds one class only, or too few rows", "take `learning.logit`, whose prior answers that")
    stopping, taught = np.split(rng.permutation(len(y)), [int(_STOPPING * len(y))])
    return stopping, taught


def _member(x: Array, y: Array, hidden: int, rng: np.random.Generator) -> Layers:
    stopping, taught = apart(y, rng)
    layers = _initial(x.shape[1], hidden, float(y.mean()), rng)
    adam = _Adam(layers)
    best, least, since = layers, _loss(x[stopping], y[stopping], layers), 0
    for _ in range(_PASSES):
        for batch in _batches(taught, rng):
            layers = adam.after(layers, _slopes(x[batch], y[batch], layers))
        loss, since = _loss(x[stopping], y[stopping], layers), since + 1
        if loss < least:
            best, least, since = layers, loss, 0
        if since == _PATIENCE:
            break
    return best


def _initial(d: int, hidden: int, rate: float, rng: np.random.Generator) -> Layers:
    """The output begins at the base rate."""
    first = rng.normal(0.0, np.sqrt(2.0 / max(d, 1)), (d, hidden))
    last = rng.normal(0.0, np.sqrt(1.0 / hidden), hidden)
    return [first, np.zeros(hidden), last, np.array([np.log(rate / (1.0 - rate))])]


def _batches(rows: IntArray, rng: np.random.Generator) -> Iterator[IntArray]:
    steps = max(min(_STEPS, len(rows) // _BATCH), 1)
    yield from np.array_split(rng.permutation(rows), steps)


def _forward(x: Array, layers: Layers) -> tuple[Array, Array]:
    """Activations (n, hidden) and log-odds (n,)."""
    first, offsets, last, offset = layers
    active = np.maximum(x @ first + offsets, 0.0)
    return active, active @ last + offset


def _loss(x: Array, y: Array, layers: Layers) -> float:
    z = _forward(x, layers)[1]
    return float(np.mean(np.logaddexp(0.0, z) - y * z))


def _slopes(x: Array, y: Array, layers: Layers) -> Layers:
    """Of the mean log-loss in every layer, by back-propagation."""
    active, z = _forward(x, layers)
    out = (expit(z) - y) / len(y)
    into = out[:, None] * layers[2] * (active > 0.0)
    return [x.T @ into, into.sum(axis=0), active.T @ out, out.sum(keepdims=True)]


class _Adam:
    """Its two moments of every layer's slopes."""

    def __init__(self, layers: Layers) -> None:
        self._steps = 0
        self._first = [np.zeros_like(layer) for layer in layers]
        self._second = [np.zeros_like(layer) for layer in layers]

    def after(self, layers: Layers, slopes: Layers) -> Layers:
        self._steps += 1
        self._first = [_FIRST * m + (1.0 - _FIRST) * g for m, g in zip(self._first, slopes, strict=True)]
        self._second = [_SECOND * v + (1.0 - _SECOND) * g * g for v, g in zip(self._second, slopes, strict=True)]
        rate = _RATE * np.sqrt(1.0 - _SECOND**self._steps) / (1.0 - _FIRST**self._steps)
        moved = zip(layers, self._first, self._second, strict=True)
        return [(1.0 - _RATE * _DECAY) * layer - rate * m / (np.sqrt(v) + _TINY) for layer, m, v in moved]
