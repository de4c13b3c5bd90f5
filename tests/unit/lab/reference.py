"""A policy to check the simulation with: logistic Thompson sampling, segments pooled, three Fourier pairs for the hour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from personalization.lab.product import Choice, Event
from personalization.lab.world import ACTIONS, CHANNELS, HOURS, SEGMENTS, VARIANTS


class LogisticThompson:
    """Weights shared by all segments and those of each; Gaussian posterior by one extended Kalman step a reward."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._x = _features()
        k = self._x.shape[1]
        deviation = np.full(k, 0.7)
        deviation[0] = 2.0
        self._mean = np.zeros(k * (SEGMENTS + 1))
        self._covariance = np.diag(np.concatenate([deviation, *[np.full(k, 0.5)] * SEGMENTS]) ** 2)
        self._k, self._now, self._made = k, 0, 0

    def people(self, segments: Sequence[int | None]) -> None:
        self._segments = segments

    def clock(self, now: int) -> None:
        self._now = now

    def decide(self, users: Sequence[int]) -> list[Choice]:
        return [self._choice(user) for user in users]

    def learn(self, events: Sequence[Event]) -> None:
        for event in events:
            assert event.choice.action is not None
            self._update(self._segments[event.choice.user], event.choice.action, event.value or 0.0)

    def _choice(self, user: int) -> Choice:
        """Thompson: only the weights of this segment need drawing, by their marginal."""
        keep = self._columns(self._segments[user])
        mean, covariance = self._mean[keep], self._covariance[np.ix_(keep, keep)]
        drawn = mean + np.linalg.cholesky(covariance + 1e-9 * np.eye(len(keep))) @ self._rng.standard_normal(len(keep))
        self._made += 1
        scores = self._x @ drawn.reshape(-1, self._k).sum(axis=0)
        return Choice(user, f"d{self._made}", int(scores.argmax()), self._now)

    def _update(self, segment: int | None, action: int, reward: float) -> None:
        x = np.zeros(len(self._mean))
        keep = self._columns(segment)
        x[keep] = np.tile(self._x[action], len(keep) // self._k)
        p = 1.0 / (1.0 + np.exp(-float(x @ self._mean)))
        along = self._covariance @ x
        gain = along / (1.0 / (p * (1.0 - p)) + float(x @ along))
        self._covariance -= np.outer(gain, along)
        self._mean = self._mean + self._covariance @ x * (reward - p)

    def _columns(self, segment: int | None) -> np.ndarray:
        shared = np.arange(self._k)
        return shared if segment is None else np.concatenate([shared, shared + self._k * (segment + 1)])


def _features() -> np.ndarray:
    """(288, 1 + 4 + 3 + 6)"""
    action = np.arange(ACTIONS)
    variant, channel, hour = action // (CHANNELS * HOURS), action // HOURS % CHANNELS, action % HOURS
    turn = 2.0 * np.pi * hour / HOURS
    waves = [wave(k * turn) for k in (1, 2, 3) for wave in (np.cos, np.sin)]
    return np.column_stack([np.ones(ACTIONS), np.eye(VARIANTS)[variant], np.eye(CHANNELS)[channel], *waves])
