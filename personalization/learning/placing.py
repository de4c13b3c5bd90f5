"""Placing people in cells one by one at given prices, never over a limit.

Each asks for the cell of its highest net value that still has room. Where more ask than fit, whoever loses most by taking the
next best one (or none, if that has a negative net value) goes first: the regret rule of Vogel's approximation for transports,
and of Martello and Toth 1981 for generalised assignments. Everybody asks at once, in rounds, so a round is array operations.
"""

from __future__ import annotations

from collections.abc import Callable
from math import fsum, sqrt

import numpy as np
import numpy.typing as npt

from personalization.learning.audience import Array, Audience, Flags, Whole

#: Multiples of it fall evenly into [0, 1), however many are taken.
_GOLDEN = (sqrt(5.0) - 1.0) / 2.0


class Placing:
    """An allocation in the making."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self._budgets, self._capacities = audience.budgets.copy(), audience.capacities.flatten()
        self._left = audience.caps.copy()
        self._taken = np.full((audience.users, int(audience.caps.max(initial=1))), -1)
        self._values: list[Array] = []

    @property
    def value(self) -> float:
        return fsum(value for values in self._values for value in values.tolist())

    def sends(self) -> Whole:
        """(m, 3) user, channel, slot, in the order of users."""
        users, place = np.nonzero(self._taken >= 0)
        cells = self._taken[users, place]
        first = np.lexsort((cells, users))
        return np.stack([users[first], cells[first] // self._audience.slots, cells[first] % self._audience.slots], axis=1)

    def place(self, users: Whole, cells: Whole, values: Array) -> None:
        """Those in front first, each as far as its user's cap and the limits leave room. A user and cell come once."""
        channels, limits = cells // self._audience.slots, self._audience.limit_of(cells)
        kept = _rank(users) < self._left[users]
        kept &= (_rank(channels) < self._budgets[channels]) & (_rank(limits) < self._capacities[limits])
        for rank in range(int(_rank(users[kept]).max(initial=-1)) + 1):
            chosen = np.flatnonzero(kept)[_rank(users[kept]) == rank]
            self._left[users[chosen]] -= 1
            self._taken[users[chosen], self._left[users[chosen]]] = cells[chosen]
        self._budgets -= np.bincount(channels[kept], minlength=len(self._budgets))
        self._capacities -= np.bincount(limits[kept], minlength=len(self._capacities))
        self._values.append(values[kept])

    def spread(self, shares: Callable[[Whole], npt.NDArray[np.float32]], surface: Array) -> None:
        """Whoever is indifferent between cells gets one by systematic sampling from shares(users) (m, cells) (Madow 1949): a cell
        is drawn at most once, and people who are alike stand side by side and share the cells out among them evenly."""
        found, at = [], 0
        for block in self._audience.blocks(self._audience.order):
            starts = (np.arange(at, at + len(block)) * _GOLDEN) % 1.0
            passed = np.floor(np.cumsum(shares(block), axis=1, dtype=np.float64) + starts[:, None])
            rows, cells = np.nonzero(np.diff(passed, axis=1, prepend=0.0) >= 1.0)
            found.append(self._drawn(block, rows, cells, surface))
            at += len(block)
        users, cells, values, regrets = (np.concatenate(part) for part in zip(*found, strict=True))
        first = np.argsort(-regrets, kind="stable")
        self.place(users[first], cells[first], values[first])

    def fill(self, surface: Array) -> None:
        """Those for whom a cell is worth more than its price, surface (cells,); then, as long as there is room, all others."""
        for floor in (0.0, -np.inf):
            pending = self._audience.order
            while self._room().any():
                pending = pending[self._left[pending] > 0]
                cells, values, regrets = self._asked(pending, surface, floor)
                asking = cells >= 0
                if not asking.any():
                    break
                pending, cells, values = pending[asking], cells[asking], values[asking]
                first = np.argsort(-regrets[asking], kind="stable")
                self.place(pending[first], cells[first], values[first])

    def _drawn(self, users: Whole, rows: Whole, cells: Whole, surface: Array) -> tuple[Whole, Whole, Array, Array]:
        """User, cell, value and regret of each that was drawn."""
        block = self._audience.read(users)
        nets = block - surface
        gains = nets[rows, cells]
        nets[rows, cells] = -np.inf
        return users[rows], cells, block[rows, cells], gains - np.maximum(nets.max(axis=1), 0.0)[rows]

    def _asked(self, pending: Whole, surface: Array, floor: float) -> tuple[Whole, Array, Array]:
        """Of each the cell, -1 if none has a net value above the floor; its value; the regret. (m,) each"""
        cells, values, regrets = np.full(len(pending), -1), np.zeros(len(pending)), np.zeros(len(pending))
        prices, at = np.where(self._room(), surface, np.inf), 0
        for users in self._audience.blocks(pending):
            block, rows, here = self._audience.read(users), np.arange(len(users)), slice(at, at + len(users))
            nets = self._without_taken(block - prices, users)
            best = nets.argmax(axis=1)
            gain, values[here] = nets[rows, best], block[rows, best]
            nets[rows, best] = -np.inf
            cells[here] = np.where(gain > floor, best, -1)
            regrets[here] = gain - np.maximum(nets.max(axis=1), 0.0)
            at += len(users)
        return cells, values, regrets

    def _without_taken(self, nets: Array, users: Whole) -> Array:
        rows, place = np.nonzero(self._taken[users] >= 0)
        nets[rows, self._taken[users[rows], place]] = -np.inf
        return nets

    def _room(self) -> Flags:
        capacities = self._capacities.reshape(self._audience.capacities.shape)
        room: Flags = self._audience.priced(self._budgets >= 1.0, capacities >= 1.0, np.logical_and)
        return room


def _rank(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(m,) how many of the same group stand before it."""
    order = np.argsort(groups, kind="stable")
    ranks = np.empty(len(groups), dtype=np.int64)
    _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    ranks[order] = np.arange(len(groups)) - np.repeat(starts, sizes)
    return ranks
