"""What one more message costs: how often people are lost by it, and what it takes from the week's other messages.

A loss is a rare, negative reward (an unsubscribe, a complaint). Losses are counted for the whole tenant by a person's load,
the sends of their last seven days before this one, since single variants see too few:

    q_n   = (losses_n + 1) / (sends_n + 1 / q),  made never to fall with the load (isotonic: Barlow et al. 1972)
    rho_a = (5 + losses_a) / (5 + q sends_a)   of a variant, q the tenant's rate

(Gamma-Poisson posterior means). With v(n) the expected reward of a message at load n, its gain less size * q_n, one more
message in a week that had n of them changes the week's value by

    M(n) = (n + 1) v(n) - n v(n - 1)                                                    (1)

itself, and what it takes from the n others by raising their load. It is worth sending while M(n) > 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

#: Loads told apart; whoever got more counts as that.
LOADS = 16
#: Pseudo-losses behind the rate of a load (equation for q_n), and behind the risk of a variant.
_AT_LOAD, _BY_VARIANT = 1.0, 5.0
#: Losses before which nothing is held back for their sake.
_FEWEST = 5.0


class Burden(msgspec.Struct, array_like=True, frozen=True):
    """What was learned of losses, as a snapshot keeps it.

    size : reward lost by a loss, on average, above 0     rates, deviations : (LOADS,) losses a send, by load
    risks : key of a variant -> times the usual rate
    """

    size: float = 0.0
    rates: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    usual: float = 0.0
    risks: dict[int, float] = {}

    @property
    def known(self) -> bool:
        return bool(self.rates)

    def loss(self, load: int) -> float:
        """Expected loss of a message at this load, in rewards."""
        return self.size * self.rates[min(load, LOADS - 1)]

    def marginal(self, gain: Callable[[int], float], load: int) -> tuple[float, float]:
        """M(load) of equation (1) and its standard deviation. gain: expected reward of a message by load, without losses."""
        value = gain(load) - self.loss(load)
        before = gain(load - 1) - self.loss(load - 1) if load else 0.0
        deviation = self.size * (load + 1) * self.deviations[min(load, LOADS - 1)]
        return (load + 1) * value - load * before, deviation


NO_BURDEN = Burden()


@dataclass
class Losses:
    """A tenant's sums, by load: weights of sends, of losses; lost: reward lost in all."""

    sends: list[float] = field(default_factory=lambda: [0.0] * LOADS)
    losses: list[float] = field(default_factory=lambda: [0.0] * LOADS)
    lost: float = 0.0

    def sent(self, load: int, weight: float) -> None:
        self.sends[min(load, LOADS - 1)] += weight

    def changed(self, load: int, weight: float, before: float, now: float) -> None:
        """A send that had cost `before` turns out to cost `now`, both >= 0."""
        self.losses[min(load, LOADS - 1)] += weight * ((now > 0.0) - (before > 0.0))
        self.lost += weight * (now - before)

    def rate(self) -> float:
        """Losses a send, at whatever load."""
        return sum(self.losses) / max(sum(self.sends), 1.0)

    def burden(self, variants: Mapping[int, Sequence[float]]) -> Burden:
        """variants: key -> (losses, sends) weights. Nothing is said before a few losses were seen."""
        total = sum(self.losses)
        if total < _FEWEST:
            return NO_BURDEN
        usual = self.rate()
        weights = [sends + _AT_LOAD / usual for sends in self.sends]
        raw = [(losses + _AT_LOAD) / weight for losses, weight in zip(self.losses, weights, strict=True)]
        rates = _never_falling(raw, weights)
        return Burden(
            size=max(self.lost / total, 0.0),
            rates=tuple(rates),
            deviations=tuple(math.sqrt(rate / weight) for rate, weight in zip(rates, weights, strict=True)),
            usual=usual,
            risks={
                key: (_BY_VARIANT + losses) / (_BY_VARIANT + usual * sends) for key, (losses, sends) in sorted(variants.items())
            },
        )

    def pack(self) -> tuple[Any, ...]:
        return self.sends, self.losses, self.lost

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> Losses:
        sends, losses, lost = packed
        return cls(list(sends), list(losses), lost)


def _never_falling(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The non-decreasing sequence nearest in weighted squares, by pooling adjacent violators. O(n).

    >>> _never_falling([1.0, 3.0, 2.0], [1.0, 1.0, 1.0])
    [1.0, 2.5, 2.5]
    """
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, wa, na), (b, wb, nb) = blocks[-2], blocks.pop()
            blocks[-1] = ((a * wa + b * wb) / (wa + wb), wa + wb, na + nb)
    return [value for value, _, n in blocks for _ in range(n)]
