"""Shadow prices: what one more send by a channel, or in a slot, would add to the value of the whole.

Lagrangian relaxation of (1) in `learning.audience` (Fisher 1981): with a price on every budget and capacity the users part,
each takes what is worth more than its price, and the dual

    D(prices) = sum limits * prices + sum over users of the sum of the per_user[u] largest (v[u, cell] - price[cell])^+      (2)

is an upper bound on what any allocation is worth, at any prices >= 0; its least value is that of the linear program. As in
Zhou et al. 2020 ("Solving billion-scale knapsack problems") a pass over the users is all that is needed of them. (2) has kinks
wherever somebody is indifferent, and where values tie nothing else, so it is smoothed by an entropy of temperature T
(Nesterov 2005) and minimised by L-BFGS-B (Byrd et al. 1995) while T falls to 1/25,000 of a send's mean value:

    T log(1 + sum exp(w / T))                        a user who gets at most one, w = v - price                       (3)
    min over l >= 0 of  k l + T sum log(1 + exp((w - l) / T))         at most k, each cell once                       (4)

O(users * cells) an evaluation, 50 to 160 of them; for k > 1 each costs five times as much. Audiences beyond SAMPLE users have
their prices learned from an even part of them, with limits cut to scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from personalization.errors import ArrayInvalid
from personalization.learning.audience import Array, Audience, Whole

#: Users that prices are learned from.
SAMPLE = 1 << 15
#: Of the mean value of a send; each from where the one before ended.
_TEMPERATURES = (0.1, 0.02, 0.004, 0.0008, 0.0002, 0.00004)
_ITERATIONS = 40
#: Newton steps for the l of (4); from where they end (4) is a bound all the same.
_STEPS = 6
#: exp of more than this, or its inverse, leaves float32.
_MOST = 80.0
#: Mean value of a send, of the highest: what is less is as good as nothing.
_LEAST = 1e-20

Block = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prices:
    """In the values' unit, >= 0. channels : (c,) a send by it; cells : (1, s) a send in that slot, or (c, s) by channel too.

    A price is next to 0 where the limit does not bind, and inf where nothing may be sent at all.
    """

    channels: tuple[float, ...]
    cells: tuple[tuple[float, ...], ...]

    def packed(self) -> list[Any]:
        """For msgpack; `unpacked` restores it to the bit."""
        return [list(self.channels), [list(row) for row in self.cells]]

    @classmethod
    def unpacked(cls, packed: Sequence[Any]) -> Prices:
        channels, cells = packed
        return cls(tuple(channels), tuple(tuple(row) for row in cells))

    def surface(self) -> Array:
        """(c, s) the price of a send by that channel in that slot."""
        surface: Array = np.asarray(self.channels)[:, None] + np.asarray(self.cells)
        return surface


def net(values: npt.NDArray[Any], prices: Prices) -> Array:
    """What a send adds beyond what it takes from others: values (..., channels, slots) less its price; send where it is above 0.

    So a single decision between two solves asks for its share of budgets and slots and needs to know of nobody else.
    """
    surface = prices.surface()
    if values.shape[-2:] != surface.shape:
        raise ArrayInvalid("values", f"end in {values.shape[-2:]}", f"give {surface.shape} channels x slots, as were priced")
    return np.asarray(values - surface)


def priced(audience: Audience, prices: Array) -> Prices:
    """Prices (c + capacities,) as one value; what has no room at all is not for sale."""
    channels, cells = np.split(prices, [audience.channels])
    channels = np.where(audience.budgets < 1.0, np.inf, channels)
    cells = np.where(audience.capacities < 1.0, np.inf, cells.reshape(audience.capacities.shape))
    return Prices(tuple(channels.tolist()), tuple(tuple(row) for row in cells.tolist()))


def bound(audience: Audience, prices: Prices) -> float:
    """D(prices) of (2), in float64. O(users * cells)"""
    surface, most = prices.surface().ravel(), int(audience.caps.max(initial=1))
    total = _paid(audience.budgets, prices.channels) + _paid(audience.capacities, prices.cells)
    for users in audience.blocks(audience.order):
        gains = np.maximum(audience.read(users) - surface, 0.0)
        total += float(np.where(np.arange(most) < audience.caps[users, None], largest(gains, most), 0.0).sum())
    return total


def _paid(limits: Array, prices: Sequence[Any]) -> float:
    return float(np.multiply(limits, prices, where=limits > 0.0, out=np.zeros(limits.shape)).sum())


def of_caps(audience: Audience, nets: Array) -> Array:
    """(users,) the price of each user's cap: what the last message it lets in adds. nets : (users, cells)"""
    added = largest(np.maximum(nets, 0.0), int(audience.caps.max()))
    return np.where(audience.caps > 0, added[np.arange(audience.users), audience.caps - 1], 0.0)


def largest(rows: npt.NDArray[Any], k: int) -> npt.NDArray[Any]:
    """(m, k) of (m, cells), the largest first."""
    start = rows.shape[1] - k
    return np.sort(np.partition(rows, start, axis=1)[:, start:], axis=1)[:, ::-1]


class Dual:
    """The smoothed dual of an audience, from all its users or an even part of them. In here values and prices are parts of the
    audience's unit, and prices and limits (c + capacities,) in one row."""

    def __init__(self, audience: Audience) -> None:
        sample = audience.order[:: max(-(-len(audience.order) // SAMPLE), 1)]
        share = len(sample) / max(len(audience.order), 1)
        self._audience = audience
        self._blocks = [(self._worth(block), audience.caps[block]) for block in audience.blocks(sample)]
        self._limits = np.concatenate([audience.budgets, audience.capacities.ravel()]) * share
        self._sends = audience.most * share
        self._best = np.sort(audience.best[sample])[::-1] / (audience.unit or 1.0)
        self._scale = max(float(self._best[: max(int(self._sends), 1)].sum()) / max(self._sends, 1.0), _LEAST)
        self._smooth = _at_most_one if audience.caps.max(initial=1) == 1 else _at_most

    def prices(self) -> Prices:
        """Whose bound is close to the least. Same audience, same prices."""
        if not self._sends:
            return priced(self._audience, np.zeros(len(self._limits)))
        prices = self._start()
        for temperature in _TEMPERATURES:
            prices = minimize(
                self._evaluated,
                prices,
                args=(self._scale * temperature,),
                method="L-BFGS-B",
                jac=True,
                bounds=[(0.0, 1.0)] * len(prices),
                options={"maxiter": _ITERATIONS, "ftol": 1e-7},
            ).x
        return priced(self._audience, prices * self._audience.unit)

    def shares(self, users: Whole, prices: Prices) -> Block:
        """(m, cells) how much of a send each user takes of each cell at the last temperature; rows sum to at most the cap."""
        surface = (prices.surface().ravel() / self._audience.unit).astype(np.float32)
        x = (self._worth(users) - surface) * np.float32(1.0 / (self._scale * _TEMPERATURES[-1]))
        return self._smooth(x, self._audience.caps[users])[0]

    def _worth(self, users: Whole) -> Block:
        return (self._audience.read(users) / (self._audience.unit or 1.0)).astype(np.float32)

    def _start(self) -> Array:
        """What the last of the best sends is worth, on the side whose limits are tighter; the other is free."""
        c, most = self._audience.channels, float(self._audience.caps.max())
        taken = min(int(self._sends / most), len(self._best) - 1)
        tighter = self._limits[:c].sum() <= self._limits[c:].sum()
        return np.where((np.arange(len(self._limits)) < c) == tighter, self._best[taken], 0.0)

    def _evaluated(self, prices: Array, temperature: float) -> tuple[float, Array]:
        """The smoothed (2) and its gradient, both over what all sends are worth."""
        channels, cells = np.split(prices, [self._audience.channels])
        surface = self._audience.priced(channels, cells.reshape(self._audience.capacities.shape)).astype(np.float32)
        value, counts = float(self._limits @ prices), np.zeros(self._audience.cells)
        for block, caps in self._blocks:
            shares, surplus = self._smooth((block - surface) * np.float32(1.0 / temperature), caps)
            value += temperature * surplus
            counts += np.ones(len(shares), dtype=np.float32) @ shares
        used = np.concatenate([part.ravel() for part in self._audience.used(counts)])
        return value / (self._sends * self._scale), (self._limits - used) / (self._sends * self._scale)


def _at_most_one(x: Block, _: Whole) -> tuple[Block, float]:
    """How much of each cell is taken, and (3) over T. x = w / T : (m, cells), overwritten"""
    top = np.maximum(x.max(axis=1), 0.0)
    shares = np.exp(np.subtract(x, top[:, None], out=x), out=x)
    total = shares.sum(axis=1) + np.exp(-top)
    shares /= total[:, None]
    return shares, float((top + np.log(total)).sum(dtype=np.float64))


def _at_most(x: Block, caps: Whole) -> tuple[Block, float]:
    """How much of each cell is taken, and (4) over T. x = w / T : (m, cells)"""
    level, most = _level(x, caps), caps.astype(np.float32)
    over = x - level[:, None]
    odds = np.exp(np.clip(over, -_MOST, _MOST))
    moved = np.zeros_like(level)
    for _ in range(_STEPS):
        taken = odds / (odds + np.exp(moved)[:, None])
        total = taken.sum(axis=1)
        slope = np.maximum(total - np.einsum("ij,ij->i", taken, taken), 1e-3)
        moved = np.maximum(moved + np.clip((total - most) / slope, -2.0, 2.0), -level)
    odds /= np.exp(moved)[:, None]
    surplus = most * (level + moved) + np.log1p(odds).sum(axis=1) + np.maximum(over - _MOST, 0.0).sum(axis=1)
    return odds / (1.0 + odds), float(surplus.sum(dtype=np.float64))


def _level(x: Block, caps: Whole) -> Block:
    """(m,) halfway between the last cell taken and the first one left, at least 0."""
    padded = np.concatenate([np.full((len(x), 1), -_MOST, dtype=np.float32), x], axis=1)
    most, rows = largest(padded, int(caps.max()) + 1), np.arange(len(x))
    level: Block = np.maximum((most[rows, caps - 1] + most[rows, caps]) / np.float32(2.0), np.float32(0.0))
    return level
