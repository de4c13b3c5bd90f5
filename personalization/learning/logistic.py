"""Bayesian logistic regression of rewards, kept as sums over the log's rows.

The reward's place y = (r - low) / (top - low) in its range is believed to have the mean sigmoid(w . phi): for clicks a
logistic model, for rewards in between a quasi-likelihood (Papke and Wooldridge 1996) with a dispersion of its own. Each row
enters by the quadratic bound of Jaakkola and Jordan (2000, "Bayesian parameter estimation via variational methods",
eq. 10), taken where the row was believed to be when it entered:

    precision += 2 lambda(xi) phi phi',   moment += (y - 1/2) phi,   lambda(xi) = tanh(xi / 2) / (4 xi)

The moment is linear in the reward, so late rewards correct it exactly, and what a row added can be taken out again.

Priors: weights of one group (see `design`) share a deviation, learned with the weights by empirical Bayes (MacKay 1992;
an EM step at each refresh), families of features borrowing from all families of their kind: what makes no difference is
neither followed nor explored.

A tenant's newest model is the heir of its heaviest one (tenant > message > segment > person): a prior in rows.

Forgetting: rows enter in blocks. Once a block is complete and all its rewards are known, everything older is believed as
much as makes the block's rewards most likely (power prior, Ibrahim and Chen 2000), so a world that stays is remembered in
full and a world that changed is forgotten at once.

Cost: O(d^2) a row, O(d^3) a refresh; refreshes come each time _RENEWED of the weight is new, so d^3 log(n) in all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from personalization.learning.design import Array, Design, Group, is_ambient_family, prior_deviation, priors
from personalization.learning.encoding import Feature, Taken, days_ago
from personalization.learning.recovering import UNKNOWN, Recovery, estimate, statistics
from personalization.learning.sums import Sums

#: Share of the weight that is new when the belief is made anew.
_RENEWED = 0.04
#: Pseudo-weights behind a group's prior deviation.
_PRIOR_STRENGTH = 2.0
#: Rows of a block at least, and as a share of all.
_BLOCK, _BLOCK_SHARE = 250, 0.05
#: How much of the past may be kept, and the nats of evidence that forgetting has to bring.
_KEPT, _FORGETTING = (1.0, 0.7, 0.4, 0.2, 0.1, 0.03), 6.0
#: From this share of negative rewards on they are part of the range; rarer ones are losses, for another model.
_OFTEN = 0.25
#: Pseudo-rows behind the first guess of the dispersion.
_DISPERSION_WEIGHT = 5.0
#: Columns of the sums of learning.recovering, and the deviations of doubt that a penalty must have left behind.
_SUMS, _BEYOND_DOUBT = 6, 2.0
#: Decisions that an inherited belief counts for.
_INHERITED = 50.0
#: A logit beyond this is as good as certain.
_SURE = 8.0


class Entered(NamedTuple):
    """What a row must be told again when its reward changes or it leaves: as it was when it came in."""

    curvature: float
    block: int
    expected: float


@dataclass
class RewardModel:
    """One model's experience. Equal calls in equal order give equal bits, however they are cut into pages.

    past, ripe, fresh : rows judged against later ones, rows waiting for their last rewards, rows still coming in
    block  : number of the block that is coming in        waiting : block -> rows whose reward is not final
    low, top : the rewards seen        belief : (d,) mean of the weights at the last refresh
    deviations : group -> prior standard deviation, as far as learned        changed : weight since the last refresh
    forgot : how often the past was faded
    recovering : sums of what repeats cost, see learning.recovering; empty before anything was repeated
    """

    design: Design = field(default_factory=Design)
    past: Sums = field(default_factory=Sums)
    ripe: Sums | None = None
    fresh: Sums = field(default_factory=Sums)
    block: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    low: float = 0.0
    top: float = 0.0
    belief: Array = field(default_factory=lambda: np.zeros(0))
    deviations: dict[Group, float] = field(default_factory=dict)
    changed: float = 0.0
    forgot: int = 0
    recovering: Array = field(default_factory=lambda: np.zeros((0, 0)))

    def heir(self) -> RewardModel:
        """The model of another message of the same tenant: what this one knows of people, channels and hours stands in it for
        a few decisions (a power prior), until its own say otherwise."""
        design, left = self.design.without_variants()
        past = self.total().of(left).faded(min(1.0, _INHERITED / max(self.weight, 1.0)))
        heir = RewardModel(design=design, past=past, low=self.low, top=self.top, deviations=dict(self.deviations))
        heir.belief = heir.posterior()[0]
        return heir

    def enter(
        self, contexts: Sequence[Sequence[Feature]], taken: Sequence[Taken], rewards: Sequence[float], weights: Sequence[float]
    ) -> list[Entered]:
        """Decisions come in with the reward known so far; what each must be told again when its reward changes."""
        entered: list[Entered] = []
        at = 0
        while at < len(taken):
            upto = at + self._room(weights[at:])
            entered += self._enter(contexts[at:upto], taken[at:upto], np.array(rewards[at:upto]), np.array(weights[at:upto]))
            self.waiting[self.block] = self.waiting.get(self.block, 0) + upto - at
            self._renew()
            self._turn()
            at = upto
        return entered

    def correct(self, context: Sequence[Feature], taken: Taken, old: float, new: float, weight: float, entered: Entered) -> None:
        """A decision that came in with reward `old` turns out to have `new`."""
        phi, weights = self.design.phi([context], [taken]), np.array([weight])
        sums = self._of(entered.block)
        sums.grow(phi.shape[1])
        sums.reward(phi, np.array([new]), weights)
        sums.reward(phi, np.array([old]), -weights)
        self._repeated([taken], np.array([new]), weights, np.array([entered.expected]))
        self._repeated([taken], np.array([old]), -weights, np.array([entered.expected]))
        self._range(new)
        self.changed += weight
        self._renew()

    def leave(self, context: Sequence[Feature], taken: Taken, reward: float, weight: float, entered: Entered) -> None:
        """A decision is taken out as if it had never been; its reward will not change any more."""
        phi = self.design.phi([context], [taken])
        self._of(entered.block).enter(phi, np.array([reward]), np.array([-weight]), np.array([entered.curvature]))
        self._repeated([taken], np.array([reward]), np.array([-weight]), np.array([entered.expected]))
        self.changed += weight
        self.settle([entered.block])

    def settle(self, blocks: Sequence[int]) -> None:
        """So many decisions of these blocks have their final reward."""
        for block in blocks:
            left = self.waiting.get(block, 0) - 1
            if left > 0:
                self.waiting[block] = left
            else:
                self.waiting.pop(block, None)
        self._renew()
        self._turn()

    # -- what is believed --------------------------------------------------------------------------------------------

    @property
    def weight(self) -> float:
        return self.past.weight + self.fresh.weight + (self.ripe.weight if self.ripe else 0.0)

    def total(self) -> Sums:
        total = self.past + self.fresh if self.ripe is None else self.past + self.ripe + self.fresh
        total.grow(self.design.size)
        return total

    def split(self) -> bool:
        """Whether negative rewards are rare losses, which this model leaves out."""
        scalars = self._scalars()
        return bool(scalars[5] < _OFTEN * max(scalars[0], 1.0))

    def range(self) -> tuple[float, float]:
        """low and top of the rewards modelled."""
        low = 0.0 if self.split() else self.low
        return low, max(self.top, low + 1e-9) if self.top > low else low + 1.0

    def average(self) -> float:
        """Mean reward modelled, as a share of its range."""
        low, top = self.range()
        scalars = self._scalars()
        first = scalars[1] if self.split() else scalars[3]
        return float((first / scalars[0] - low) / (top - low)) if scalars[0] > 0.0 else 0.0

    def _scalars(self) -> Array:
        return np.asarray(self.past.scalars + self.fresh.scalars + (self.ripe.scalars if self.ripe else 0.0))

    def posterior(self) -> tuple[Array, Array]:
        """mean (d,) and covariance (d, d) of the weights. O(d^3)."""
        mean, precision = priors(self.design.groups, self.deviations)
        curvature, moment = self._data(self.total())
        covariance = np.linalg.inv(curvature + np.diag(precision))
        return np.asarray(covariance @ (moment + precision * mean)), np.asarray(covariance)

    def _data(self, sums: Sums) -> tuple[Array, Array]:
        """precision (d, d) and moment (d,) that the rows add to the prior's."""
        low, top = self.range()
        gain = sums.gain if self.split() else sums.gain + sums.loss
        moment = (gain - low * sums.mass) / (top - low) - 0.5 * sums.mass
        spread = self.dispersion()
        return sums.curvature / spread, moment / spread

    def dispersion(self) -> float:
        """Variance of the reward over that of a coin of the same mean, at most 1 (by Bhatia and Davis)."""
        low, top = self.range()
        scalars = self._scalars()
        n, first, second = scalars[0], *(scalars[1:3] if self.split() else scalars[3:5])
        if n <= 0.0:
            return 1.0
        mean, square = first / n, second / n
        coin = (mean - low) * (top - mean)
        found = (square - mean * mean) / coin if coin > 0.0 else 1.0
        return float((_DISPERSION_WEIGHT + n * min(max(found, 0.0), 1.0)) / (_DISPERSION_WEIGHT + n))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _room(self, weights: Sequence[float]) -> int:
        """How many rows may come in before the belief or the block is due, one at least."""
        room = max(_RENEWED * self.weight - self.changed, 0.0)
        until = len(weights) if self.ripe else int(max(self._block_size() - self.fresh.weight, 1.0))
        taken, n = 0.0, 0
        for weight in weights[:until]:
            taken, n = taken + weight, n + 1
            if taken >= room:
                break
        return max(n, 1)

    def _enter(
        self, contexts: Sequence[Sequence[Feature]], taken: Sequence[Taken], rewards: Array, weights: Array
    ) -> list[Entered]:
        phi = self.design.phi(contexts, taken)
        logits = np.clip(phi[:, : len(self.belief)] @ self.belief, -_SURE, _SURE)
        xi = np.abs(logits)
        curvatures = np.where(xi < 1e-6, 0.25, np.tanh(xi / 2.0) / (2.0 * np.maximum(xi, 1e-6)))
        self.fresh.enter(phi, rewards, weights, curvatures)
        self._range(float(rewards.min()))
        self._range(float(rewards.max()))
        self.changed += float(weights.sum())
        low, top = self.range()
        expected = low + (top - low) / (1.0 + np.exp(-logits))
        self._repeated(taken, rewards, weights, expected)
        return [Entered(c, self.block, e) for c, e in zip(curvatures.tolist(), expected.tolist(), strict=True)]

    def _repeated(self, taken: Sequence[Taken], rewards: Array, weights: Array, expected: Array) -> None:
        """Count what came of showing a variant again, once that has happened at all; losses are no matter of novelty."""
        if len(self.recovering) or any(action.shown for action in taken):
            days = np.array([days_ago(action.shown) for action in taken])
            sums = statistics(days, np.maximum(rewards, 0.0), np.maximum(expected, 0.0), weights)
            self.recovering = self.recovering + sums if len(self.recovering) else sums

    def recovery(self) -> Recovery:
        """What a repeat costs and how fast that passes; nothing where it is not beyond doubt."""
        found = estimate(self.recovering) if len(self.recovering) else UNKNOWN
        return found if found.gamma > _BEYOND_DOUBT * found.deviation else UNKNOWN

    def _range(self, reward: float) -> None:
        self.low, self.top = min(self.low, reward), max(self.top, reward)

    def _of(self, block: int) -> Sums:
        if block == self.block:
            return self.fresh
        return self.ripe if self.ripe is not None and block == self.block - 1 else self.past

    def _renew(self) -> None:
        if self.changed <= 0.0 or self.changed < _RENEWED * self.weight:
            return
        self.changed = 0.0
        mean, covariance = self.posterior()
        self.belief = mean
        self._learn_deviations(mean, np.diagonal(covariance))

    def _learn_deviations(self, mean: Array, variance: Array) -> None:
        """One EM step: a group's deviation is what its weights show, drawn towards those of all families of its kind."""
        prior, _ = priors(self.design.groups, {})
        squares = (mean - prior) ** 2 + variance
        members: dict[Group, list[float]] = defaultdict(list)
        for group, square in zip(self.design.groups, squares.tolist(), strict=True):
            members[group].append(square)
        alike: dict[tuple[object, ...], list[float]] = defaultdict(list)
        for group, found in members.items():
            alike[_class_of(group)] += found
        for group, found in members.items():
            wider = _drawn(alike[_class_of(group)], prior_deviation(group) ** 2)
            self.deviations[group] = float(_drawn(found, wider) ** 0.5)

    # -- forgetting --------------------------------------------------------------------------------------------------

    def _block_size(self) -> float:
        return max(float(_BLOCK), _BLOCK_SHARE * self.weight)

    def _turn(self) -> None:
        """The ripe block is judged once its rewards are known; then the fresh one, if complete, ripens."""
        if self.ripe is not None and not self.waiting.get(self.block - 1):
            kept = self._kept(self.ripe) if self.past.weight >= _BLOCK else 1.0
            self.past = (self.past if kept == 1.0 else self.past.faded(kept)) + self.ripe
            self.ripe = None
            if kept < 1.0:
                self.forgot += 1
                self.recovering = kept * self.recovering
                self.changed = self.weight
                self._renew()
        if self.ripe is None and self.fresh.weight >= self._block_size():
            self.ripe, self.fresh, self.block = self.fresh, Sums(), self.block + 1

    def _kept(self, ripe: Sums) -> float:
        """How much of the past makes these rows most likely."""
        for sums in (self.past, ripe):
            sums.grow(self.design.size)
        mean, precision = priors(self.design.groups, self.deviations)
        old, new = self._data(self.past), self._data(ripe)
        evidence = [_evidence(kept, old, new, mean, precision) - _FORGETTING * (kept < 1.0) for kept in _KEPT]
        return _KEPT[int(np.argmax(evidence))]

    # -- keeping -----------------------------------------------------------------------------------------------------

    def pack(self) -> tuple[object, ...]:
        design = self.design
        return (
            list(design.index.items()),
            design.groups,
            design.first,
            [self.past.pack(), self.fresh.pack(), *([self.ripe.pack()] if self.ripe else [])],
            (self.block, sorted(self.waiting.items()), self.forgot),
            (self.low, self.top, self.changed),
            self.recovering.tobytes(),
            self.belief.tobytes(),
            sorted(self.deviations.items()),
        )

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> RewardModel:
        index, groups, first, sums, (block, waiting, forgot), (low, top, changed), recovering, belief, deviations = packed
        past, fresh, *ripe = [Sums.unpack(one) for one in sums]
        return cls(
            design=Design(dict(index), [(family, kind) for family, kind in groups], tuple(first) if first else None),
            past=past,
            fresh=fresh,
            ripe=ripe[0] if ripe else None,
            block=block,
            waiting={number: count for number, count in waiting},  # noqa: C416
            forgot=forgot,
            low=low,
            top=top,
            changed=changed,
            recovering=np.frombuffer(recovering).reshape(-1, _SUMS).copy(),
            belief=np.frombuffer(belief).copy(),
            deviations={(family, kind): deviation for (family, kind), deviation in deviations},
        )


def _class_of(group: Group) -> tuple[object, ...]:
    family, kind = group
    return family == 0, family != 0 and is_ambient_family(family), kind


def _drawn(squares: Sequence[float], towards: float) -> float:
    return (sum(squares) + _PRIOR_STRENGTH * towards) / (len(squares) + _PRIOR_STRENGTH)


def _evidence(kept: float, old: tuple[Array, Array], new: tuple[Array, Array], mean: Array, precision: Array) -> float:
    """Log marginal likelihood of the new rows when the old ones count `kept`, up to what all `kept` share. O(d^3)."""
    before = kept * old[0] + np.diag(precision)
    moment = kept * old[1] + precision * mean
    return _log_integral(before + new[0], moment + new[1]) - _log_integral(before, moment)


def _log_integral(precision: Array, moment: Array) -> float:
    """Of exp(moment . w - w' precision w / 2), up to a constant."""
    lower = np.linalg.cholesky(precision)
    whitened = solve_triangular(lower, moment, lower=True, check_finite=False)
    return float(0.5 * whitened @ whitened - np.log(np.diagonal(lower)).sum())
