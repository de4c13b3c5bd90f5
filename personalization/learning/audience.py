"""Who may get a message by which channel in which slot: values of an audience, and the limits on how many go out.

    maximise  sum v[u, c, s] x[u, c, s],  x in {0, 1}                                           (1)
    subject to  sum over c, s  <= per_user[u],   sum over u, s  <= budgets[c],
                sum over u  <= capacities[c, s],  or  sum over u, c  <= capacities[s]

A cell is a pair of channel and slot, numbered c * slots + s. What is worth nothing or less is never sent, so a value of -inf
forbids a send. Values are read in blocks of users: an audience whose values do not fit into memory can be given as `Factored`,
or as a memory-mapped array.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from personalization.errors import ArrayInvalid

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Values read at once, so that a block stays in the processor's cache.
_BLOCK = 1 << 17
#: Values are below: a float32 holds it, and sums stay finite.
_LARGEST = 1e30
_KEYED = 20261124


@dataclass(frozen=True)
class Factored:
    """v[u, c, s] = user_channel[u, c] + channel_slot[c, s] + user_slot[u, s]: 30 numbers a user instead of 120 at 5 x 24."""

    user_channel: npt.NDArray[np.floating[Any]]
    channel_slot: npt.NDArray[np.floating[Any]]
    user_slot: npt.NDArray[np.floating[Any]]

    def __post_init__(self) -> None:
        if not all(factor.ndim == 2 for factor in (self.user_channel, self.channel_slot, self.user_slot)):
            raise ArrayInvalid(
                "values", "have factors that are no matrices", "give users x channels, channels x slots, users x slots"
            )
        (n, c), (m, s) = self.user_channel.shape, self.user_slot.shape
        if n != m or self.channel_slot.shape != (c, s):
            raise ArrayInvalid("values", "have factors that do not fit", "give users x channels, channels x slots, users x slots")

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.user_channel.shape, self.user_slot.shape[1])

    def __getitem__(self, users: Whole) -> npt.NDArray[np.floating[Any]]:
        """(m, channels, slots)"""
        block: npt.NDArray[np.floating[Any]] = (
            self.user_channel[users][:, :, None] + self.channel_slot + self.user_slot[users][:, None, :]
        )
        return block


Values = npt.NDArray[np.floating[Any]] | Factored


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Most sends of each kind; None or inf: no limit, fractions are rounded down.

    budgets : (channels,), sends; `affordable` makes them of money     capacities : (slots,) or (channels, slots)
    per_user : one number, or (users,): most messages a person gets, each in a cell of its own
    """

    budgets: npt.ArrayLike | None = None
    capacities: npt.ArrayLike | None = None
    per_user: npt.ArrayLike = 1


def affordable(money: npt.ArrayLike, costs: npt.ArrayLike) -> Array:
    """Budgets in sends: what each channel's money buys at its cost a send, any number where it costs nothing. (channels,)"""
    paid, each = _counts("money", money), _counts("costs", costs)
    if paid.shape != each.shape:
        raise ArrayInvalid("costs", f"are {each.shape} for money {paid.shape}", "give both for every channel")
    with np.errstate(divide="ignore", invalid="ignore"):
        sends = np.where(each > 0.0, paid / each, np.inf)
    # 0.3 / 0.1 is 2.9999999999999996: what is a whole number but for rounding counts as one.
    return np.where(np.isfinite(sends), np.floor(sends * (1.0 + 1e-12)), np.inf)


class Audience:
    """Values and limits, checked. Raises ArrayInvalid.

    budgets : (c,)   capacities : (1, s) or (c, s)   caps : (n,)   best : (n,) each user's highest value   unit : the highest of all
    order : users who may get anything, by what they are and not by where they stand: a permuted audience gets the permuted answer
    """

    def __init__(self, values: Values, limits: Limits) -> None:
        self._values = values if isinstance(values, Factored) else np.asarray(values)
        if len(self._values.shape) != 3:
            raise ArrayInvalid(
                "values", f"are {self._values.shape}", "give users x channels x slots, or learning.audience.Factored"
            )
        self.users, self.channels, self.slots = (int(size) for size in self._values.shape)
        self.cells = self.channels * self.slots
        self.caps = self._caps(limits.per_user)
        most = float(self.caps.sum())
        self.budgets = np.minimum(self._budgets(limits.budgets), most)
        self.capacities = np.minimum(self._capacities(limits.capacities), most)
        self.best, keys = self._surveyed()
        self.unit = float(self.best.max(initial=0.0))
        reached = np.flatnonzero(self.best)
        self.order = reached[np.lexsort((keys[reached], self.caps[reached]))]

    def read(self, users: Whole) -> Array:
        """(m, cells) values of these users, -inf for what is never sent."""
        block = np.asarray(self._values[users], dtype=np.float64).reshape(len(users), self.cells)
        return np.where(self.open & (block > 0.0) & (self.caps[users, None] > 0), block, -np.inf)

    def sends(self) -> tuple[Whole, Whole, Array]:
        """User, cell and value (m,) of every send there may be, at once."""
        worth = self.read(np.arange(self.users))
        users, cells = np.nonzero(worth > 0.0)
        return users, cells, worth[users, cells]

    def blocks(self, users: Whole) -> Iterator[Whole]:
        step = max(_BLOCK // max(self.cells, 1), 1)
        return (users[start : start + step] for start in range(0, len(users), step))

    @cached_property
    def open(self) -> Flags:
        """(cells,) where anything may be sent at all."""
        return self.priced(self.budgets >= 1.0, self.capacities >= 1.0, np.logical_and)

    @property
    def most(self) -> float:
        """No allocation has more sends."""
        return float(min(self.budgets.sum(), self.capacities.sum(), self.caps.sum())) if self.unit else 0.0

    def used(self, counts: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """What sends by cell (cells,) take of the budgets and of the capacities, in their shapes."""
        grid = counts.reshape(self.channels, self.slots)
        return grid.sum(axis=1), grid.sum(axis=0, keepdims=True) if self.by_slot else grid

    def priced(self, budgets: npt.NDArray[Any], capacities: npt.NDArray[Any], joined: np.ufunc = np.add) -> npt.NDArray[Any]:
        """(cells,) what a cell has by its channel and by its slot, together."""
        joint: npt.NDArray[Any] = joined(budgets[:, None], capacities)
        return joint.ravel()

    @property
    def by_slot(self) -> bool:
        """Whether a slot's capacity is shared by the channels."""
        return len(self.capacities) == 1 < self.channels

    def limit_of(self, cells: Whole) -> Whole:
        """The index of each cell's limit in `capacities.ravel()`."""
        return cells % self.slots if self.by_slot else cells

    def _surveyed(self) -> tuple[Array, Array]:
        """best, and a key for each user's values, which is as good as another where they are other values."""
        best, keys = np.zeros(self.users), np.zeros(self.users)
        spread = np.random.default_rng(_KEYED).random(self.cells)
        for users in self.blocks(np.arange(self.users)):
            raw = self._values[users]
            if not bool(np.all(raw < _LARGEST)):  # neither does NaN pass
                raise ArrayInvalid("values", "hold NaN, infinity or more than 1e30", "give -inf for what must not be sent")
            block = np.maximum(self.read(users), 0.0)
            best[users], keys[users] = block.max(axis=1, initial=0.0), (block * spread).sum(axis=1)
        return best, keys

    def _caps(self, per_user: npt.ArrayLike) -> Whole:
        caps = _counts("per_user", per_user)
        if caps.shape not in ((), (self.users,)):
            raise ArrayInvalid("per_user", f"are {caps.shape} for {self.users:,} users", "give one number, or one for each user")
        return np.broadcast_to(np.minimum(np.floor(caps), self.cells).astype(np.int64), (self.users,))

    def _budgets(self, given: npt.ArrayLike | None) -> Array:
        budgets = np.full(self.channels, np.inf) if given is None else _counts("budgets", given)
        if budgets.shape != (self.channels,):
            raise ArrayInvalid("budgets", f"are {budgets.shape} for {self.channels} channels", "give one for each channel")
        return np.floor(budgets)

    def _capacities(self, given: npt.ArrayLike | None) -> Array:
        capacities = np.full(self.slots, np.inf) if given is None else _counts("capacities", given)
        if capacities.shape not in ((self.slots,), (self.channels, self.slots)):
            change = "give one for each slot, or channels x slots"
            raise ArrayInvalid("capacities", f"are {capacities.shape} for {self.channels} channels x {self.slots} slots", change)
        return np.atleast_2d(np.floor(capacities))


def _counts(name: str, given: npt.ArrayLike) -> Array:
    counts = np.asarray(given, dtype=np.float64)
    if not bool(np.all(counts >= 0.0)):
        raise ArrayInvalid(name, "hold NaN or a negative number", "give numbers from 0 up, inf for no limit")
    return counts
