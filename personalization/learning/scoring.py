"""Linear scores that do not depend on the batch: contexts x weights, on grids where every sum is exact.

A matrix product adds in an order that depends on its shape, so the same row gets other last bits in other company. Here
contexts are whole multiples of 2^-8 and weights of 2^-22: every product is a whole multiple of 2^-30 and every partial
sum below 2^23 is exact in float64, in whatever order it is made. Larger sums, and float32 (devices without float64),
keep the last bits of their order; scores are then rounded to the score grid, which leaves a difference in one case of
a million (float64). What is drawn has its true propensity in every case, since that is read off what was drawn from.

Arrays are of any library that follows the array API standard; x : (n, d) contexts, k arms.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace, device

from personalization.errors import ArrayInvalid

#: An array of any library that follows the array API standard (https://data-apis.org/array-api).
Array = Any

#: Steps in one unit: of a context's values, of weights, of factors of a covariance, and of scores in float64 and float32.
CONTEXT_STEPS, WEIGHT_STEPS, FACTOR_STEPS, SCORE_STEPS, SINGLE_STEPS = 2.0**8, 2.0**22, 2.0**20, 2.0**30, 2.0**16
#: The largest value a context may hold; beyond it values are held there, so that none can explode.
LARGEST = 2.0**8
#: No score, weight, factor or rate may be larger.
MOST = 2.0**62
_NO_NUMBERS = "hold NaN, an infinity or a number beyond 2^62"


def quantised(contexts: Array) -> Array:
    """Contexts (n, d) on their grid, within +-LARGEST. Raises ArrayInvalid on NaN and infinities."""
    xp = array_namespace(contexts)
    if not bool(xp.all(xp.isfinite(contexts))):
        raise ArrayInvalid("contexts", "hold NaN or an infinity", "leave the feature out, or give it a number")
    return on_grid(xp.clip(contexts, -LARGEST, LARGEST), CONTEXT_STEPS)


def settled(weights: Array) -> Array:
    """Weights on their grid, any shape. Raises ArrayInvalid on NaN and infinities."""
    return _finite_on_grid("weights", weights, WEIGHT_STEPS)


def settled_factors(factors: Array) -> Array:
    """Factors of covariances on their grid, any shape. Raises ArrayInvalid on NaN and infinities."""
    return _finite_on_grid("factors", factors, FACTOR_STEPS)


def scores(contexts: Array, weights: Array) -> Array:
    """(n, k) expected rewards of arms with weights (d, k) of their own. O(n d k).

    Exact, so the same alone and in company, when `contexts` are `quantised` and `weights` `settled`.
    """
    xp = array_namespace(contexts, weights)
    return xp.permute_dims(xp.matmul(xp.permute_dims(weights, (1, 0)), xp.permute_dims(contexts, (1, 0))), (1, 0))


def deviations(contexts: Array, factors: Array) -> Array:
    """(n, k) posterior deviation sqrt(x' S_a x) of each arm's score, S_a = F_a F_a', factors (k, d, r). O(n k d r).

    Projections are rounded to the factor grid, so sums of their squares are exact below 2^13.
    """
    xp = array_namespace(contexts, factors)
    k, d, r = factors.shape
    flat = xp.reshape(xp.permute_dims(factors, (1, 0, 2)), (d, k * r))
    steps = xp.round(xp.reshape(xp.matmul(contexts * FACTOR_STEPS, flat), (contexts.shape[0], k, r)))
    return xp.sqrt(xp.sum(steps * steps, axis=-1)) / FACTOR_STEPS


def on_grid(values: Array, steps: float | None = None) -> Array:
    """Values rounded to 1/steps, half to even; by default to the grid of scores."""
    xp = array_namespace(values)
    steps = steps or (SCORE_STEPS if values.dtype == xp.float64 else SINGLE_STEPS)
    return xp.round(values * steps) * (1.0 / steps)


def checked(name: str, values: Array, allowed: Array | None) -> tuple[Array, Array]:
    """Values (n, k) on the score grid, 0 where not allowed, and the mask; None allows every arm.

    What is not allowed may hold anything: sleeping arms need no score.
    Raises ArrayInvalid on other shapes, no arm at all, NaN and infinities where allowed.
    """
    xp = array_namespace(values)
    if values.ndim != 2 or values.shape[1] < 1:
        raise ArrayInvalid(name, f"have shape {tuple(values.shape)}", "give one row a decision and one column an arm, at least one")
    if allowed is None:
        allowed = xp.permute_dims(xp.ones(values.shape[::-1], dtype=xp.bool, device=device(values)), (1, 0))
    elif tuple(allowed.shape) != tuple(values.shape):
        raise ArrayInvalid("allowed", f"has shape {tuple(allowed.shape)}", f"give it the shape of {name}, {tuple(values.shape)}")
    else:
        values = xp.where(allowed, values, 0.0)
    if not bounded(values):
        raise not_finite(name)
    return on_grid(arms_first(values)), arms_first(allowed)


def arms_first(values: Array) -> Array:
    """The same (n, k), in memory arm by arm where the library lets us: what is done arm by arm then runs along rows."""
    xp = array_namespace(values)
    n, k = values.shape
    return xp.permute_dims(xp.reshape(xp.reshape(xp.permute_dims(values, (1, 0)), (n * k,)), (k, n)), (1, 0))


def summed(values: Array) -> Array:
    """(n,) sums over arms, one arm after the other: the same in any batch, layout and library."""
    total = values[:, 0]
    for arm in range(1, values.shape[1]):
        total = total + values[:, arm]
    return total


def bounded(values: Array) -> bool:
    """Whether all are numbers within +-MOST; NaN is not."""
    xp = array_namespace(values)
    return bool(xp.all(xp.abs(values) <= MOST))


def not_finite(name: str) -> ArrayInvalid:
    return ArrayInvalid(name, _NO_NUMBERS, "mask the arm in `allowed`, or mend its features and weights")


def column(values: float | Array) -> Any:
    """A number for all rows as it is, one a row (n,) as (n, 1)."""
    return values if isinstance(values, int | float) else values[:, None]


def _finite_on_grid(name: str, values: Array, steps: float) -> Array:
    if not bounded(values):
        raise ArrayInvalid(name, _NO_NUMBERS, "publish the model again from finite statistics")
    return on_grid(values, steps)
