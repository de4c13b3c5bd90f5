"""Draws whose propensities are true by construction: odds become whole points of a grid, and points are drawn from.

Odds are scaled to GRID points and rounded down; the rest goes to the greedy arm. At most `exploration` of the grid lies
off the greedy arm: where the odds explore more, the others are scaled down together. A uniform in [0, GRID) falls on one
point, so an arm's propensity is its points over GRID, no matter how the odds came about.

odds, points, allowed : (n, k), odds 0 where not allowed     greedy, uniforms, index, propensity : (n,)
A row without an allowed arm has greedy -1, no points, and the draw -1 ("nothing") with propensity 1.
Sums over arms are made arm by arm, so a row's answer does not depend on the batch, its layout or the library.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from array_api_compat import array_namespace, device

from personalization.errors import ArrayInvalid
from personalization.learning.scoring import Array, column, summed

#: Draws are made on a grid of this many points.
GRID = 1 << 20


class Odds(NamedTuple):
    """A policy's distribution before exploration is bounded: odds (n, k) and the greedy arm (n,)."""

    odds: Array
    greedy: Array


def greedy_of(scores: Array, allowed: Array) -> Array:
    """The allowed arm of the highest score, the first of equals; -1 where none is allowed."""
    return lead_of(scores, allowed)[0]


def lead_of(scores: Array, allowed: Array) -> tuple[Array, Array]:
    """The greedy arm (n,) and its score (n, 1), 0 where none is allowed."""
    xp = array_namespace(scores)
    reachable = xp.where(allowed, scores, -float("inf"))
    greedy, best = xp.argmax(reachable, axis=-1), xp.max(reachable, axis=-1)
    real = xp.any(allowed, axis=-1)
    return xp.where(real, greedy, -1), xp.where(real, best, 0.0)[:, None]


def at(greedy: Array, k: int) -> Array:
    """(n, k) True at each row's arm."""
    xp = array_namespace(greedy)
    return xp.permute_dims(xp.arange(k, dtype=greedy.dtype, device=device(greedy))[:, None] == greedy[None, :], (1, 0))


def shares(odds: Array, greedy: Array, exploration: float | Array = 1.0) -> Array:
    """Whole points (n, k), each row GRID together. exploration : one share for all rows, or one a row. O(n k)."""
    xp = array_namespace(odds)
    _check_exploration(exploration)
    chosen, bound = at(greedy, odds.shape[1]), column(exploration)
    total, own = column(summed(odds)), xp.sum(xp.where(chosen, odds, 0.0), axis=-1, keepdims=True)
    total = xp.where(total > 0.0, total, 1.0)
    off = 1.0 - own / total
    shrunk = xp.where(off > bound, bound / xp.where(off > bound, off, 1.0), 1.0)
    points = xp.astype(xp.floor(odds * (GRID / total * shrunk)), _whole(odds))
    others, taken = _within(xp.where(chosen, 0, points), bound)
    return xp.where(chosen, GRID - taken, others)


def draw(points: Array, uniforms: Array) -> tuple[Array, Array]:
    """The arm each uniform, a whole number in [0, GRID), falls on, and its propensity. O(n k)."""
    xp = array_namespace(points, uniforms)
    if bool(xp.any((uniforms < 0) | (uniforms >= GRID))):
        raise _uniforms_invalid()
    uniforms = xp.astype(uniforms, points.dtype)
    index, bound = xp.zeros_like(uniforms), xp.zeros_like(uniforms)
    for arm in range(points.shape[1]):
        bound = bound + points[:, arm]
        index = index + xp.astype(bound <= uniforms, index.dtype)
    nothing = bound == 0
    index = xp.where(nothing, 0, index)
    taken = xp.take_along_axis(points, index[:, None], axis=-1)[:, 0]
    propensity = xp.astype(taken, _default(points, "real floating")) / GRID
    return xp.where(nothing, -1, index), xp.where(nothing, 1.0, propensity)


def draw_one(odds: Sequence[float], greedy: int, uniform: int, exploration: float = 1.0) -> tuple[int, float]:
    """What `draw(shares(...))` answers for one row, without arrays: at eight arms a tenth of their overhead."""
    if not 0 <= uniform < GRID:
        raise _uniforms_invalid()
    _check_exploration(exploration)
    if greedy < 0:
        return -1, 1.0
    points = points_of(odds, greedy, exploration)
    index = bisect_right(list(accumulate(points)), uniform)
    return index, points[index] / GRID


def points_of(odds: Sequence[float], greedy: int, exploration: float) -> list[int]:
    """`shares` of one row, without arrays. greedy : an arm of the row"""
    total = 0.0
    for share in odds:
        total += share
    total = total or 1.0
    off = 1.0 - odds[greedy] / total
    scale = GRID / total * (exploration / off if off > exploration else 1.0)
    points = [int(own * scale) for own in odds]
    points[greedy] = 0
    others, bound = sum(points), int(exploration * GRID)
    if others > bound:
        share = (others - bound) / others
        points = [own - int(own * share) - 1 if own else 0 for own in points]
        others = sum(points)
    points[greedy] = GRID - others
    return points


def _within(others: Array, exploration: float | Array) -> tuple[Array, Array]:
    """The points off the greedy arm, and their sum (n, 1). Rounding can carry it over its bound (in float32, hardly ever in
    float64): then each gives what is too much."""
    xp = array_namespace(others)
    bound = (
        int(exploration * GRID) if isinstance(exploration, int | float) else xp.astype(xp.floor(exploration * GRID), others.dtype)
    )
    total = xp.sum(others, axis=-1, keepdims=True)
    if not bool(xp.any(total > bound)):
        return others, total
    real = _default(others, "real floating")
    share = xp.astype(total - bound, real) / xp.astype(xp.where(total > 0, total, 1), real)
    cut = xp.astype(xp.floor(xp.astype(others, real) * share), others.dtype) + 1
    others = xp.where((total > bound) & (others > 0), others - cut, others)
    return others, xp.sum(others, axis=-1, keepdims=True)


def _whole(values: Array) -> Any:
    return _default(values, "integral")


def _default(values: Array, kind: str) -> Any:
    """The library's dtype of that kind where the array lives: a device may know no 64 bits."""
    return array_namespace(values).__array_namespace_info__().default_dtypes(device=device(values))[kind]


def _check_exploration(exploration: float | Array) -> None:
    if isinstance(exploration, int | float):
        inside = 0.0 <= exploration <= 1.0
    else:
        xp = array_namespace(exploration)
        inside = bool(xp.all((exploration >= 0.0) & (exploration <= 1.0)))
    if not inside:
        raise ArrayInvalid("exploration", "is no share", "give a number from 0 to 1")


def _uniforms_invalid() -> ArrayInvalid:
    return ArrayInvalid("uniforms", f"are not whole numbers from 0 to {GRID - 1}", "take them from the decision's keyed hash")
