"""Variants over a guardrail leave the draw, the draw stays a draw, and what is recorded says why."""

from collections import Counter
from hashlib import blake2b

import msgspec
import numpy as np
import pytest

from personalization.deciding.guarding import guarded
from personalization.deciding.paths import CHANNEL, VARIANT
from personalization.deciding.record import Candidate, ChannelOption, Inputs, Outcome
from personalization.deciding.stages import draw_many
from personalization.learning.credit import CreditLedger
from personalization.learning.drawing import GRID
from personalization.learning.earning import OpenDecision
from personalization.learning.encoding import BIAS, Taken, channel_key, variant_acts
from personalization.learning.policy import Policy, decode_policy, encode_policy
from personalization.reward import RewardSpec

ARMS = {name: variant_acts(name, []) for name in "abc"}
LIMITS = (("unsubscribed", 0.01),)
SPEC = RewardSpec(weights={"clicked": 1.0})
#: P(click), P(unsubscribe) of each variant: the most clicked one drives people away.
WORLD = {"a": (0.5, 0.08), "b": (0.2, 0.004), "c": (0.15, 0.0)}


def lived(seed: int = 1, world: dict[str, tuple[float, float]] | None = None, n: int = 1_200) -> Policy:
    """What a ledger learned of a world that the variants were sent into by turns."""
    rng, ledger, rates = np.random.default_rng(seed), CreditLedger(), world or WORLD
    for seq in range(1, n + 1):
        name = "abc"[seq % 3]
        ledger.decided(
            OpenDecision(seq, f"d{seq}", "m", b"%d" % seq, ((BIAS, 256),), Taken(ARMS[name], channel_key("email"), 9), 0, 10, 0)
        )
        for kind, rate in zip(("clicked", "unsubscribed"), rates[name], strict=True):
            if rng.random() < rate:
                ledger.engaged(f"d{seq}", kind, kind, None, SPEC)
    ledger.exposed(range(1, n + 1))
    model = CreditLedger.unpack(ledger.pack()).models["m"]
    return decode_policy(encode_policy(model.rewards, model.counts, by_variant=model.variants), 1, "m")


POLICY = lived()


def inputs(seed: int = 0, **changes: object) -> Inputs:
    base = Inputs(
        seed=blake2b(str(seed).encode(), digest_size=16).digest(),
        now=0,
        model_id="m",
        snapshot_id=1,
        features=((BIAS, 256),),
        candidates=tuple(Candidate(name, "en", keys, 1000, 0b1) for name, keys in ARMS.items()),
        baseline=0,
        channels=(ChannelOption("email", 1, b"\x01"),),
        earliest=0,
        first_hour=1,
        hours=bytes([9]),
        habits=b"",
        exploration=500_000,
        method="thompson",
        stages=VARIANT | CHANNEL,
        forced="",
        guardrails=LIMITS,
    )
    return msgspec.structs.replace(base, **changes)


def draws(policy: Policy = POLICY, n: int = 3_000, **changes: object) -> list[Outcome]:
    return draw_many([inputs(seed, **changes) for seed in range(n)], lambda model_id, snapshot_id: policy)


def chosen(outcomes: list[Outcome]) -> Counter[int]:
    return Counter(outcome.chosen.variant for outcome in outcomes if outcome.chosen is not None)


def told(policy: Policy = POLICY, **changes: object) -> dict[str, tuple[str, bool]]:
    one = inputs(**changes)
    outcome = draw_many([one], lambda model_id, snapshot_id: policy)[0]
    return {g.variant_id: (g.event, g.admitted) for g in guarded(one, outcome, lambda model_id, snapshot_id: policy)}


def test_the_most_clicked_variant_goes_when_too_many_people_leave_by_it() -> None:
    assert chosen(draws(guardrails=()))[0] > 2_900
    assert chosen(draws())[0] == 0
    assert told() == {"a": ("unsubscribed", False)}


def test_within_its_guardrail_a_variant_stays() -> None:
    assert chosen(draws(guardrails=(("unsubscribed", 0.2),)))[0] > 2_900
    assert told(guardrails=(("unsubscribed", 0.2),)) == {}


def test_the_propensities_of_what_remains_are_true() -> None:
    outcomes = draws(n=20_000)
    said = {outcome.chosen.variant: outcome.variant for outcome in outcomes if outcome.chosen is not None}
    assert sum(said.values()) == pytest.approx(1.0)
    for variant, count in chosen(outcomes).items():
        p = said[variant]
        assert (p * GRID).is_integer()
        assert abs(count / 20_000 - p) < 5 * (p * (1 - p) / 20_000) ** 0.5 + 1e-4
    greedy = outcomes[0].greedy
    assert greedy is not None
    assert greedy.variant in (1, 2)


def test_what_remains_is_drawn_from_as_if_it_were_alone() -> None:
    alone = draws(candidates=inputs().candidates[1:], guardrails=())
    assert [o.chosen.variant - 1 for o in draws() if o.chosen] == [o.chosen.variant for o in alone if o.chosen]


def test_when_all_are_over_the_least_bad_goes_and_it_is_said() -> None:
    policy = lived(world={"a": (0.5, 0.3), "b": (0.2, 0.06), "c": (0.1, 0.15)})
    assert chosen(draws(policy)) == {1: 3_000}
    assert told(policy) == {"a": ("unsubscribed", False), "b": ("unsubscribed", True), "c": ("unsubscribed", False)}


def test_only_a_feasible_variant_counts_as_another_one() -> None:
    only = inputs().candidates[:1]
    assert chosen(draws(candidates=only)) == {0: 3_000}
    assert told(candidates=only) == {"a": ("unsubscribed", True)}


def test_the_baseline_of_a_holdout_goes_whatever_its_rate() -> None:
    outcomes = draws(forced="baseline")
    assert chosen(outcomes) == {0: 3_000}
    assert all(o.shadow is not None and o.shadow.variant != 0 and o.joint == 1.0 for o in outcomes)
    assert told(forced="baseline") == {}


def test_decided_alone_or_in_company_the_outcome_is_the_same() -> None:
    many = draws(n=50)
    assert many == [draw_many([inputs(seed)], lambda model_id, snapshot_id: POLICY)[0] for seed in range(50)]
    mixed = [inputs(seed, guardrails=LIMITS if seed % 2 else ()) for seed in range(50)]
    found = draw_many(mixed, lambda model_id, snapshot_id: POLICY)
    assert [o for i, o in enumerate(found) if i % 2] == [o for i, o in enumerate(many) if i % 2]


def test_the_same_world_makes_the_same_snapshot_and_the_same_standings() -> None:
    assert lived().standings(LIMITS) == POLICY.standings(LIMITS)
    assert lived().by_variant == POLICY.by_variant


@pytest.mark.parametrize("method", ["squarecb", "linucb"])
def test_every_policy_keeps_to_the_guardrails(method: str) -> None:
    assert chosen(draws(method=method))[0] == 0
