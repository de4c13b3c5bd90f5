"""What rows of rewards add up to, in the design's dimensions. Late rewards and rows that leave are added and taken exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from personalization.learning.design import Array


@dataclass
class Sums:
    """What rows add up to; sums of disjoint rows add up too.

    curvature : (d, d) sum of weight * 2 lambda phi phi'      mass : (d,) of weight * phi
    gain, loss : (d,) of weight * phi * the positive and the negative part of the reward
    scalars    : weight, reward+, reward+ squared, reward, reward squared, weight of the negative ones
    """

    curvature: Array = field(default_factory=lambda: np.zeros((0, 0)))
    mass: Array = field(default_factory=lambda: np.zeros(0))
    gain: Array = field(default_factory=lambda: np.zeros(0))
    loss: Array = field(default_factory=lambda: np.zeros(0))
    scalars: Array = field(default_factory=lambda: np.zeros(6))

    @property
    def weight(self) -> float:
        return float(self.scalars[0])

    def grow(self, d: int) -> None:
        if d > len(self.mass):
            more = d - len(self.mass)
            self.curvature = np.pad(self.curvature, (0, more))
            self.mass, self.gain, self.loss = (np.pad(a, (0, more)) for a in (self.mass, self.gain, self.loss))

    def enter(self, phi: Array, rewards: Array, weights: Array, curvatures: Array) -> None:
        self.grow(phi.shape[1])
        self.curvature += (phi * (weights * curvatures)[:, None]).T @ phi
        self.mass += weights @ phi
        self.reward(phi, rewards, weights)
        self.scalars[0] += float(weights.sum())

    def reward(self, phi: Array, rewards: Array, weights: Array) -> None:
        """The part of a row that depends on its reward."""
        up, down = np.maximum(rewards, 0.0), np.minimum(rewards, 0.0)
        self.gain += (weights * up) @ phi
        self.loss += (weights * down) @ phi
        self.scalars[1:] += [float(weights @ part) for part in (up, up**2, rewards, rewards**2, down < 0.0)]

    def __add__(self, other: Sums) -> Sums:
        d = max(len(self.mass), len(other.mass))
        self.grow(d)
        other.grow(d)
        return Sums(
            self.curvature + other.curvature,
            self.mass + other.mass,
            self.gain + other.gain,
            self.loss + other.loss,
            self.scalars + other.scalars,
        )

    def faded(self, kept: float) -> Sums:
        return Sums(kept * self.curvature, kept * self.mass, kept * self.gain, kept * self.loss, kept * self.scalars)

    def of(self, rows: list[int]) -> Sums:
        """Of some dimensions alone."""
        return Sums(self.curvature[np.ix_(rows, rows)], self.mass[rows], self.gain[rows], self.loss[rows], self.scalars.copy())

    def pack(self) -> tuple[object, ...]:
        return (self.curvature.tobytes(), self.mass.tobytes(), self.gain.tobytes(), self.loss.tobytes(), self.scalars.tobytes())

    @classmethod
    def unpack(cls, packed: Sequence[bytes]) -> Sums:
        curvature, mass, gain, loss, scalars = (np.frombuffer(part).copy() for part in packed)
        return cls(curvature.reshape(len(mass), len(mass)), mass, gain, loss, scalars)
