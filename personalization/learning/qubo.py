"""Allocation as a QUBO, for small batches: what an annealer would be given (extra `qubo`). It runs on classical hardware.

    minimise  - sum v x + sum over limits of p (sends + slack - limit) + P (sends + slack - limit)^2             (1)

x and the bits of the slacks are 0 or 1 (Lucas 2014, "Ising formulations of many NP problems"). p are the shadow prices, those of
users' caps too: on what is feasible they add nothing, and what breaks a limit gains little by it, so a P of a tenth of the highest
value holds (an augmented Lagrangian, Hestenes 1969); without them P has to be ten times as high, and annealing batches of 12, 20
and 40 people at random ended some 3, 5 and 8 % below the optimum instead of 0.1, 0.2 and 0.9 %.

Any sampler of dimod takes (1); the one at hand is simulated annealing (Kirkpatrick et al. 1983). A sample may break limits, so it
is placed like all else, and what has room left is filled. The gap is the dual's. Couplings grow with the square of the variables:
this shows that the formulation holds, `learning.allocation` is faster and better at any size.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

from personalization.errors import ArrayInvalid, ExtraMissing
from personalization.learning.allocation import Allocation, answered
from personalization.learning.audience import Audience, Limits, Values, Whole
from personalization.learning.placing import Placing
from personalization.learning.shadow_prices import Dual, Prices, bound, of_caps

#: Variables that are annealed in seconds.
MOST = 1_000
_READS, _SWEEPS = 20, 2_000
#: P of (1), of the highest value.
_PENALTY = 0.1


def by_annealing(values: Values, limits: Limits, seed: int, sampler: Any = None) -> Allocation:
    """The best of 20 reads, made feasible. sampler : a dimod.Sampler of the caller's. Raises ArrayInvalid, and ExtraMissing."""
    dimod, audience = _extra("dimod"), Audience(values, limits)
    placing, (users, cells, worth) = Placing(audience), audience.sends()
    if len(users) > MOST:
        raise ArrayInvalid("values", f"make {len(users):,} variables of a QUBO", f"give batches of at most {MOST:,} possible sends")
    prices = Dual(audience).prices()
    if audience.most:
        sample = _sampled(_model(dimod, audience, prices), seed, sampler)
        chosen = np.flatnonzero([sample[i] for i in range(len(users))])
        chosen = chosen[np.argsort(-worth[chosen], kind="stable")]
        placing.place(users[chosen], cells[chosen], worth[chosen])
        placing.fill(np.zeros(audience.cells))
    return answered(placing, bound(audience, prices), prices)


def _model(dimod: Any, audience: Audience, prices: Prices) -> Any:
    """(1); variable i is the i-th possible send."""
    users, cells, worth = audience.sends()
    model, penalty = dimod.BinaryQuadraticModel(dict(enumerate((-worth).tolist())), {}, 0.0, "BINARY"), _PENALTY * audience.unit
    for label, members, limit, price in _breakable(audience, prices, users, cells):
        terms = [(i, 1) for i in members]
        slack = model.add_linear_inequality_constraint(terms, lagrange_multiplier=penalty, label=label, lb=0, ub=limit)
        for variable, sends in (*terms, *slack):
            model.add_linear(variable, price * sends)
    return model


def _breakable(audience: Audience, prices: Prices, users: Whole, cells: Whole) -> Iterator[tuple[str, list[int], int, float]]:
    """A label, the sends that count, the limit and its price, of every limit that has more possible sends than room."""
    caps = of_caps(audience, audience.read(np.arange(audience.users)) - prices.surface().ravel())
    for name, groups, limits, costs in (
        ("user", users, audience.caps, caps),
        ("channel", cells // audience.slots, audience.budgets, np.asarray(prices.channels)),
        ("slot", audience.limit_of(cells), audience.capacities.ravel(), np.asarray(prices.cells).ravel()),
    ):
        for group, (limit, price) in enumerate(zip(limits.tolist(), costs.tolist(), strict=True)):
            members = np.flatnonzero(groups == group).tolist()
            if len(members) > limit:
                yield f"{name} {group}", members, int(limit), price


def _sampled(model: Any, seed: int, sampler: Any) -> dict[Hashable, int]:
    if sampler is None:
        annealer = _extra("dwave.samplers").SimulatedAnnealingSampler()
        return dict(annealer.sample(model, num_reads=_READS, num_sweeps=_SWEEPS, seed=seed).first.sample)
    return dict(sampler.sample(model).first.sample)


def _extra(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as missing:
        raise ExtraMissing(module.partition(".")[0].replace("dwave", "dwave-samplers"), "quantum") from missing
