"""Problems of allocation, and what holds of every answer."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import strategies as st

from personalization.learning.allocation import Allocation
from personalization.learning.audience import Limits


@st.composite
def problems(draw: st.DrawFn, users: int = 8, cells: int = 3) -> tuple[np.ndarray, Limits]:
    """Values on few levels, so that they tie, some not allowed; limits from nothing to everything."""
    n, c, s = draw(st.integers(0, users)), draw(st.integers(1, cells)), draw(st.integers(1, cells))
    levels = st.sampled_from([-np.inf, -1.0, 0.0, 0.25, 1.0, 1.0, 1.5, 40.0])
    values = np.array(draw(st.lists(levels, min_size=n * c * s, max_size=n * c * s))).reshape(n, c, s)

    def some(size: int) -> st.SearchStrategy[list[float] | None]:
        return st.none() | st.lists(st.sampled_from([0.0, 1.0, 2.0, 2.5, 5.0, np.inf]), min_size=size, max_size=size)

    capacities = draw(some(s)) if draw(st.booleans()) else np.reshape(draw(some(c * s)) or [1.0] * c * s, (c, s))
    per_user = draw(st.integers(0, 3) | st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return values, Limits(budgets=draw(some(c)), capacities=capacities, per_user=per_user)


def crossing(n: int = 300, seed: int = 1) -> tuple[np.ndarray, Limits]:
    """5 channels x 6 slots; budgets and capacities bind."""
    values = np.random.default_rng(seed).random((n, 5, 6)).astype(np.float32)
    return values, Limits(budgets=np.array([0.1, 0.15, 0.2, 0.05, 0.12]) * n, capacities=np.full(6, 0.09 * n))


def check(found: Allocation, values: np.ndarray, limits: Limits) -> None:
    """Within every limit, each cell once a user, worth what it says and no more than the bound."""
    users, channels, slots = found.sends.T
    counts = np.zeros(values.shape)
    np.add.at(counts, (users, channels, slots), 1)
    assert (counts <= 1).all()
    assert (counts.sum(axis=(1, 2)) <= limits.per_user).all()
    assert limits.budgets is None or (counts.sum(axis=(0, 2)) <= limits.budgets).all()
    if limits.capacities is not None:
        by_slot = np.ndim(limits.capacities) == 1
        assert (counts.sum(axis=(0, 1) if by_slot else 0) <= limits.capacities).all()
    assert (values[users, channels, slots] > 0.0).all()
    assert found.value == pytest.approx(values[users, channels, slots].sum(dtype=float))
    assert 0.0 <= found.value <= found.bound
    assert 0.0 <= found.gap <= 1.0
    assert (np.diff(users) >= 0).all()


def best(values: np.ndarray, limits: Limits) -> float:
    """The optimum by trying everything; nobody gets more than one."""
    n, c, s = values.shape
    flat, most = values.reshape(n, -1), 0.0
    for choice in product(range(-1, c * s), repeat=n):
        sent = [(u, cell) for u, cell in enumerate(choice) if cell >= 0]
        counts = np.bincount([cell for _, cell in sent], minlength=c * s).reshape(c, s)
        fits = (counts.sum(axis=1) <= limits.budgets).all() and (counts.sum(axis=0) <= limits.capacities).all()
        most = max(most, sum(flat[pair] for pair in sent)) if fits else most
    return most
