"""Every policy as one function of (means, factor, allowed), and a small world to play them in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from personalization.learning import linucb, recovering, squarecb, thompson
from personalization.learning.drawing import GRID, Odds, draw, shares
from personalization.learning.ensemble import independent

Policy = Callable[[Any, Any, Any], Odds]


def _deviations(factor: Any) -> Any:
    xp = array_namespace(factor)
    return xp.sqrt(xp.sum(factor * factor, axis=-1))


def _recovering(means: Any, factor: Any, allowed: Any) -> Odds:
    xp = array_namespace(means)
    days = xp.arange(means.shape[1], dtype=means.dtype, device=device(means)) * xp.ones_like(means)
    return recovering.softmax(recovering.penalised(means, days, recovering.Recovery(0.3, 2.0, 0.1)), 0.25, allowed)


def drawn_from(factor: Any) -> Any:
    """(n, k, POINTS) draws of the covariance factor factor', exact on their grid."""
    xp = array_namespace(factor)
    steps = xp.round(xp.where(xp.isfinite(factor), factor, xp.nan) * 1024) / 1024
    points = np.rint(independent(factor.shape[2]) * 1024) / 1024
    return xp.matmul(steps, xp.asarray(points, dtype=factor.dtype, device=device(factor)))


POLICIES: dict[str, Policy] = {
    "squarecb": lambda means, factor, allowed: squarecb.inverse_gaps(means, 20.0, allowed),
    "thompson": lambda means, factor, allowed: thompson.chances(means, drawn_from(factor), allowed),
    "linucb": lambda means, factor, allowed: linucb.upper_bounds(means, _deviations(factor), 1.5, allowed),
    "recovering": _recovering,
}
#: How much of the grid may lie off the greedy arm.
EXPLORATION = {"squarecb": 1.0, "thompson": 1.0, "linucb": 0.1, "recovering": 0.6}


def points_of(name: str, means: Any, factor: Any, allowed: Any = None) -> Any:
    return shares(*POLICIES[name](means, factor, allowed), EXPLORATION[name])


def some(n: int = 200, k: int = 8, r: int = 8, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """means (n, k), factor (n, k, r), allowed (n, k), uniforms (n,); the last row allows nothing."""
    rng = np.random.default_rng(seed)
    allowed = rng.random((n, k)) < 0.8
    allowed[-1] = False
    return rng.normal(size=(n, k)) * 0.5, rng.normal(size=(n, k, r)) * 0.3, allowed, rng.integers(0, GRID, n)


def regret(name: str | None, seed: int, rounds: int = 60, batch: int = 25, k: int = 5, d: int = 6) -> float:
    """What is lost against the best arm per decision, the arms' linear rewards learned by ridge; None draws evenly."""
    rng = np.random.default_rng(seed)
    truth, lost = rng.normal(size=(d, k)) * 0.5, 0.0
    gram, moment = np.tile(np.eye(d), (k, 1, 1)), np.zeros((k, d))
    for _ in range(rounds):
        x = rng.normal(size=(batch, d))
        inverse = np.linalg.inv(gram)
        means = np.einsum("kde,ke,nd->nk", inverse, moment, x)
        deviations = 0.5 * np.sqrt(np.einsum("nd,kde,ne->nk", x, inverse, x))
        odds = (
            POLICIES[name](means, deviations[:, :, None] * np.eye(k), None)
            if name
            else Odds(np.ones((batch, k)), np.zeros(batch, np.int64))
        )
        arm, _ = draw(shares(*odds, EXPLORATION[name] if name else 1.0), rng.integers(0, GRID, batch))
        values = x @ truth
        rewards = values[np.arange(batch), arm] + 0.5 * rng.normal(size=batch)
        lost += float((values.max(axis=1) - values[np.arange(batch), arm]).sum())
        np.add.at(gram, arm, x[:, :, None] * x[:, None, :])
        np.add.at(moment, arm, x * rewards[:, None])
    return lost / (rounds * batch)
