"""Any order of the same events leaves the same behind, however late they are within the wait.

Left out are the curvature, which is taken where a row was believed to be when it entered, so it depends on what was known
by then (any such place makes a valid bound), and the range of the rewards, which is that of all rewards seen on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalization.learning.credit import CreditLedger
from personalization.learning.earning import OpenDecision
from personalization.learning.encoding import BIAS, Taken, channel_key, variant_acts
from personalization.reward import REWARD_LIMIT, ByValue, RewardSpec
from personalization.vocabulary import Aggregation

WEIGHTS = {
    "clicked": 1.0,
    "converted": ByValue(per_value=0.1, weight=1.0),
    "unsubscribed": -5.0,
    "complained": ByValue(per_value=-0.1),
    "custom:cart": 2.0,
}
DECISIONS = 3


class Happened(NamedTuple):
    """An event of decision `seq`; the row of an exposure has no type."""

    seq: int
    type: str = ""
    key: str = ""
    at: int = 0
    value: float | None = None


EXPOSED = Happened(0)
EVENTS = st.builds(
    lambda seq, key, at, value: Happened(seq, key.split(":")[0], key, at, value),
    st.integers(1, DECISIONS),
    st.sampled_from([*WEIGHTS, "opened", "delivered"]),
    st.integers(0, 5),
    st.none() | st.floats(-50, 2_000).map(lambda value: round(value, 2)),
)
GIVEN = st.builds(lambda seq, value: Happened(seq, "rewarded", "rewarded", 0, value), st.integers(1, DECISIONS), st.floats(-9, 9))
SPECS = st.builds(lambda aggregation: RewardSpec(weights=WEIGHTS, aggregation=aggregation), st.sampled_from(list(Aggregation)))
#: The same rows in two orders, exposure among them. At most one reward is given to a decision.
ROWS = (
    st.tuples(st.lists(EVENTS, max_size=12), st.lists(GIVEN, max_size=2, unique_by=lambda given: given.seq))
    .map(lambda found: [EXPOSED, *found[0], *found[1]])
    .flatmap(lambda rows: st.tuples(st.permutations(rows), st.permutations(rows)))
)


def decision(seq: int) -> OpenDecision:
    action = Taken(variant_acts("ab"[seq % 2], []), channel_key("email"), 9, load=seq)
    return OpenDecision(seq, f"d{seq}", "m", b"u%d" % seq, ((BIAS, 256),), action, 0, 10, 0)


def played(rows: Sequence[Happened], spec: RewardSpec) -> CreditLedger:
    ledger = CreditLedger()
    for seq in range(1, DECISIONS + 1):
        ledger.decided(decision(seq))
    for row in rows:
        if row.seq:
            ledger.engaged(f"d{row.seq}", row.type, row.key, row.value, spec, row.at)
        else:
            ledger.exposed(range(1, DECISIONS + 1))
    return ledger


def known(ledger: CreditLedger) -> list[float]:
    """Every sum of rewards and counts, in one row."""
    model = ledger.models["m"]
    total = model.rewards.total()
    sums = [total.mass, total.gain, total.loss, total.scalars]
    by_variant = [n for _, counts in sorted(model.variants.items()) for _, n in sorted(counts.items())]
    harm = [n for _, pair in sorted(model.harm.items()) for n in pair]
    counts = [n for _, n in sorted(model.counts.items())]
    losses = [*ledger.losses.sends, *ledger.losses.losses, ledger.losses.lost]
    return [*np.concatenate(sums).tolist(), *counts, *by_variant, *harm, *losses]


@given(ROWS, SPECS)
@settings(max_examples=150, deadline=None)
def test_any_order_of_the_same_rows_leaves_the_same_rewards_and_statistics(
    orders: tuple[list[Happened], list[Happened]], spec: RewardSpec
) -> None:
    one, other = (played(order, spec) for order in orders)
    for seq in range(1, DECISIONS + 1):
        assert one.open[seq].reward == pytest.approx(other.open[seq].reward, rel=1e-9, abs=1e-9)
        assert abs(one.open[seq].reward) <= REWARD_LIMIT
    assert one.models["m"].counts.keys() == other.models["m"].counts.keys()
    assert known(one) == pytest.approx(known(other), rel=1e-9, abs=1e-9)


@given(ROWS, SPECS, st.integers(0, 14), st.integers(1, DECISIONS))
@settings(max_examples=150, deadline=None)
def test_a_discarded_decision_leaves_nothing_behind_whenever_it_is_discarded(
    orders: tuple[list[Happened], list[Happened]], spec: RewardSpec, after: int, seq: int
) -> None:
    rows = orders[0]
    ledger = played(rows[:after], spec)
    ledger.discarded(seq)
    for row in rows[after:]:
        if row.seq:
            ledger.engaged(f"d{row.seq}", row.type, row.key, row.value, spec, row.at)
        else:
            ledger.exposed(range(1, DECISIONS + 1))
    never = CreditLedger()
    for other in range(1, DECISIONS + 1):
        if other != seq:
            never.decided(decision(other))
    never.exposed(range(1, DECISIONS + 1))
    for row in orders[1]:
        if row.seq:
            never.engaged(f"d{row.seq}", row.type, row.key, row.value, spec, row.at)
    assert ledger.influence == never.influence
    assert {one.decision_id for one in ledger.open.values()} == {one.decision_id for one in never.open.values()}
    assert ledger.models["m"].rewards.weight == pytest.approx(DECISIONS - 1)
    assert _named(ledger) == pytest.approx(_named(never), rel=1e-9, abs=1e-9)


def _named(ledger: CreditLedger) -> dict[object, float]:
    """What was learned that is not 0, by name, features by their key."""
    model = ledger.models["m"]
    total, index = model.rewards.total(), model.rewards.design.index
    named: dict[object, float] = {("scalar", i): n for i, n in enumerate(total.scalars.tolist())}
    for key, row in index.items():
        for name, values in (("mass", total.mass), ("gain", total.gain), ("loss", total.loss)):
            named[name, key] = float(values[row])
    named |= {("count", kind): n for kind, n in model.counts.items()}
    named |= {("variant", v, kind): n for v, counts in model.variants.items() for kind, n in counts.items()}
    named |= {("harm", v, i): n for v, pair in model.harm.items() for i, n in enumerate(pair)}
    named |= {("load", i): n for i, n in enumerate([*ledger.losses.sends, *ledger.losses.losses, ledger.losses.lost])}
    return {name: n for name, n in named.items() if abs(n) > 1e-9}


def engaged(spec: RewardSpec, *events: tuple[str, float | None, int]) -> float:
    ledger = played([EXPOSED], spec)
    for key, value, at in events:
        ledger.engaged("d1", key, key, value, spec, at)
    return ledger.open[1].reward


REVENUE: Callable[[Aggregation], RewardSpec] = lambda how: RewardSpec(  # noqa: E731
    weights={"clicked": 1.0, "converted": ByValue(per_value=0.1, weight=1.0)}, aggregation=how
)


@pytest.mark.parametrize(
    ("aggregation", "reward"), [(Aggregation.FIRST_PER_TYPE, 1 + 2.0), (Aggregation.SUM, 1 + 2.0 + 6.0), (Aggregation.MAX, 6.0)]
)
def test_revenue_counts_as_the_aggregation_says(aggregation: Aggregation, reward: float) -> None:
    events = [("converted", 50.0, 20), ("converted", 10.0, 10), ("clicked", None, 5)]
    assert engaged(REVENUE(aggregation), *events) == pytest.approx(reward)
    assert engaged(REVENUE(aggregation), *events[::-1]) == pytest.approx(reward)


def test_the_first_of_a_type_is_the_one_that_happened_first_not_the_one_that_came_first() -> None:
    spec = REVENUE(Aggregation.FIRST_PER_TYPE)
    assert engaged(spec, ("converted", 50.0, 20)) == 6.0
    assert engaged(spec, ("converted", 50.0, 20), ("converted", 10.0, 10)) == 2.0


def test_endless_purchases_add_up_to_the_limit_and_no_further() -> None:
    spec = REVENUE(Aggregation.SUM)
    assert engaged(spec, *[("converted", 5_000.0, i) for i in range(5)]) == REWARD_LIMIT
