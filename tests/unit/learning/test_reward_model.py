"""The laws of the reward model, its policy and the ledger that feeds it: same rows same bits, inputs left alone, readable
while learning, whole after a checkpoint anywhere, finite from the start, better than chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import cache
from hashlib import blake2b
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalization.learning.choosing import Choice
from personalization.learning.credit import CreditLedger
from personalization.learning.design import REMEMBERED
from personalization.learning.drawing import GRID, draw_one
from personalization.learning.earning import OpenDecision
from personalization.learning.encoding import BIAS, Feature, Taken, channel_key, feature_key, variant_acts
from personalization.learning.experience import ModelState
from personalization.learning.frequency import NO_BURDEN, Burden
from personalization.learning.logistic import RewardModel
from personalization.learning.policy import Policy, decode_policy, encode_policy, fresh_policy
from personalization.tenant import RewardSpec
from personalization.vocabulary import PolicyMethod

ARMS = tuple(variant_acts(name, [("tone", tone)]) for name, tone in (("a", "warm"), ("b", "dry"), ("c", "warm")))
CHANNELS = (channel_key("email"), channel_key("push"))
KINDS: tuple[tuple[Feature, ...], ...] = tuple(((BIAS, 256), (feature_key(f"trait:kind={kind}"), 256)) for kind in "xyz")
DAYTIME = bytes(range(24))
SPEC = RewardSpec()

Rows = tuple[list[tuple[Feature, ...]], list[Taken], list[float], list[float]]


def rows(n: int, seed: int = 1) -> Rows:
    """contexts, actions, rewards, weights"""
    rng = np.random.default_rng(seed)
    contexts = [KINDS[k] for k in rng.integers(3, size=n)]
    actions = [
        Taken(ARMS[a], CHANNELS[c], int(h), preference=int(p), load=int(load), shown=int(shown))
        for a, c, h, p, load, shown in zip(*(rng.integers(k, size=n) for k in (3, 2, 168, 9, 6, 12)), strict=True)
    ]
    return contexts, actions, (rng.random(n) < 0.3).astype(float).tolist(), rng.choice([1.0, 0.25], n).tolist()


def lived(n: int = 500) -> RewardModel:
    """Rows that came in, were corrected, left and settled."""
    model, (contexts, actions, rewards, weights) = RewardModel(), rows(n)
    entered = model.enter(contexts, actions, rewards, weights)
    for i in range(0, n, 7):
        model.correct(contexts[i], actions[i], rewards[i], 2.0, weights[i], entered[i])
    for i in range(3, n, 31):
        model.leave(contexts[i], actions[i], rewards[i] if i % 7 else 2.0, weights[i], entered[i])
    model.settle([one.block for i, one in enumerate(entered) if (i - 3) % 31])
    return model


def published(model: RewardModel) -> Policy:
    return decode_policy(encode_policy(model, {}), 1, "m")


def choices(policy: Policy, contexts: Sequence[tuple[Feature, ...]] = KINDS) -> list[Choice]:
    """Of every stage, by every method."""
    return [
        choice
        for method in PolicyMethod
        for choice in (
            *policy.variants(contexts, ARMS, method),
            *policy.variants(contexts, ARMS, method, bytes([0, 3, 9])),
            *policy.channels([(c, CHANNELS, (0, 3), (0.0, -0.1)) for c in contexts], method),
            *policy.hours([(c, DAYTIME, bytes(24)) for c in contexts], method),
        )
    ]


# -- the model -------------------------------------------------------------------------------------------------------


def test_the_same_rows_give_the_same_bits() -> None:
    assert lived().pack() == lived().pack()
    assert encode_policy(lived(), {}) == encode_policy(lived(), {})


def test_rows_are_left_as_they_were_given() -> None:
    given_rows = rows(300)
    kept, model = deepcopy(given_rows), RewardModel()
    entered = model.enter(*given_rows)
    model.correct(given_rows[0][0], given_rows[1][0], given_rows[2][0], 3.0, 1.0, entered[0])
    model.settle([one.block for one in entered])
    assert given_rows == kept


def test_what_was_published_does_not_move_when_the_model_learns_on() -> None:
    model = lived()
    policy, packed = published(model), model.pack()
    before = choices(published(model))
    model.enter(*rows(400, seed=2))
    assert model.pack() != packed
    assert choices(policy) == before


def test_publishing_changes_nothing_in_the_model() -> None:
    model = lived()
    packed = model.pack()
    published(model)
    assert model.pack() == packed


def test_defaults_are_shared_by_nobody() -> None:
    untouched = fresh_policy("m")
    before = (choices(untouched), RewardModel().pack(), CreditLedger().pack())
    lived()
    ledger_after(200, [])
    assert (choices(decode_policy(encode_policy(RewardModel(), {}), 0, "m")), RewardModel().pack(), CreditLedger().pack()) == before
    assert Burden().risks is not NO_BURDEN.risks
    assert (NO_BURDEN.known, NO_BURDEN.risks) == (False, {})


@pytest.mark.parametrize("policy", [fresh_policy("m"), published(lived())], ids=("fresh", "learned"))
def test_a_policy_cannot_be_written_to(policy: Policy) -> None:
    for array in (policy._beliefs._mean, policy._beliefs._draws):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    with pytest.raises(AttributeError):
        policy.burden.size = 1.0  # type: ignore[misc]


STRANGE: dict[str, tuple[Feature, ...]] = {
    "nothing": (),
    "bias": ((BIAS, 256),),
    "unseen": ((BIAS, 256), (feature_key("never=seen"), 256)),
    "huge": ((BIAS, 256), (feature_key("trait:kind=x"), 2**31 - 1)),
    "negative": ((BIAS, 256), (feature_key("trait:kind=x"), -(2**31) + 1), (feature_key("other"), -256_000)),
    "twice": ((BIAS, 256), *((feature_key("trait:kind=y"), 256),) * 20),
}


@pytest.mark.parametrize(
    "policy", [fresh_policy("m"), published(RewardModel()), published(lived())], ids=("fresh", "one", "learned")
)
@pytest.mark.parametrize("name", STRANGE)
def test_every_context_has_finite_scores_and_shares_that_sum_to_one(policy: Policy, name: str) -> None:
    context = STRANGE[name]
    for choice in choices(policy, [context]):
        assert all(np.isfinite(choice.scores))
        assert all(0.0 <= share <= 1.0 for share in choice.shares)
        assert sum(choice.shares) == pytest.approx(1.0)
        assert 0 <= choice.greedy < len(choice.shares)
    assert policy.low <= policy.value(policy.base(context)) <= policy.top
    assert np.isfinite(policy.tired(60))


def test_more_contexts_than_a_policy_remembers_are_all_answered() -> None:
    """However many one call asks about: 33,000 people in one campaign."""
    contexts = [((BIAS, 256), (feature_key("trait:kind=x"), value)) for value in range(33_000)]
    answers = fresh_policy("m").variants(contexts, ARMS[:2])
    assert len(answers) == len(contexts)
    assert all(len(answer.shares) == 2 for answer in answers)


# -- ever new words --------------------------------------------------------------------------------------------------


_CROWD = 1_500


def never_twice(n: int, start: int = 0) -> Rows:
    """Contexts that each bring a value of their own, as a caller's page or session id would."""
    contexts = [((BIAS, 256), (feature_key(f"page={i}"), 256)) for i in range(start, start + n)]
    actions = [Taken(ARMS[i % 3], CHANNELS[i % 2], i % 168) for i in range(n)]
    return contexts, actions, [float(i % 3 == 1) for i in range(n)], [1.0] * n


def crowded() -> RewardModel:
    return RewardModel.unpack(_crowded())


@cache
def _crowded() -> tuple[object, ...]:
    model = RewardModel()
    model.settle([one.block for one in model.enter(*never_twice(_CROWD))])
    return model.pack()


def test_ever_new_values_leave_model_and_snapshot_bounded() -> None:
    model = crowded()
    assert len(model.design.index) == REMEMBERED
    size = len(encode_policy(model, {}))
    model.enter(*never_twice(300, _CROWD))
    assert len(model.design.index) == REMEMBERED
    assert len(encode_policy(model, {})) == pytest.approx(size, rel=0.01)
    assert all(len(landing.place) < REMEMBERED for landing in model.design._landings.values())


def test_among_ever_new_values_the_best_is_still_found_and_everything_is_finite() -> None:
    policy = published(crowded())
    for context in (KINDS[0], ((BIAS, 256), (feature_key("page=other"), 256))):
        assert policy.variants([context], ARMS)[0].greedy == 1
        assert all(np.isfinite(choice.scores).all() for choice in choices(policy, [context]))
    assert policy.variants([KINDS[0]], (*ARMS, variant_acts("new", [])))[0].shares[3] > 0.0


def test_a_model_that_remembers_no_more_goes_on_the_same_after_a_checkpoint() -> None:
    through, cut = crowded(), crowded()
    for at in range(_CROWD, _CROWD + 300, 50):
        cut = RewardModel.unpack(cut.pack())
        for model in (through, cut):
            model.enter(*never_twice(50, at))
    assert cut.pack() == through.pack()


def test_losses_of_ever_new_variants_are_counted_together() -> None:
    state = ModelState()
    for variant in range(2, 6_000):
        state.harm_by(variant)[1] += 1.0
    assert len(state.harm) < 4_100
    assert sum(sends for _, sends in state.harm.values()) == 5_998.0
    assert state.harm_by(2) == [0.0, 1.0]


# -- better than chance ----------------------------------------------------------------------------------------------


def played(seed: int, method: PolicyMethod | None, rounds: int = 30, batch: int = 20) -> float:
    """Mean expected reward in a world where the best arm depends on the kind of person; None draws evenly."""
    rng, model, earned = np.random.default_rng(seed), RewardModel(), 0.0
    truth = rng.permuted(np.tile([0.1, 0.3, 0.6], (len(KINDS), 1)), axis=1)
    for _ in range(rounds):
        policy, who = published(model), rng.integers(len(KINDS), size=batch)
        arms = [_drawn(policy, KINDS[k], method, rng) for k in who]
        earned += float(truth[who, arms].mean())
        rewards = (rng.random(batch) < truth[who, arms]).astype(float).tolist()
        entered = model.enter([KINDS[k] for k in who], [Taken(ARMS[a], CHANNELS[0], 9) for a in arms], rewards, [1.0] * batch)
        model.settle([one.block for one in entered])
    return earned / rounds


def _drawn(policy: Policy, context: tuple[Feature, ...], method: PolicyMethod | None, rng: np.random.Generator) -> int:
    if method is None:
        return int(rng.integers(len(ARMS)))
    choice = policy.variants([context], ARMS, method)[0]
    return draw_one(choice.shares, choice.greedy, int(rng.integers(GRID)))[0]


@pytest.mark.parametrize("method", PolicyMethod)
def test_every_method_beats_chance_by_a_margin(method: PolicyMethod) -> None:
    """Chance earns 1/3 and knowing everything 0.6: at least a third of the way while learning, over five seeds."""
    mine = np.mean([played(seed, method) for seed in range(5)])
    even = np.mean([played(seed, None) for seed in range(5)])
    assert even == pytest.approx(1 / 3, abs=0.02)
    assert mine > even + 0.09


# -- the ledger ------------------------------------------------------------------------------------------------------


def ledger_after(n: int, cuts: Sequence[int], publish: Callable[[CreditLedger], None] = lambda ledger: None) -> CreditLedger:
    """A life of n decisions, packed and unpacked before each of these steps."""
    ledger, rng = CreditLedger(), np.random.default_rng(5)
    contexts, actions, _, _ = rows(n)
    at = set(cuts)
    for seq in range(n):
        if seq in at:
            ledger = CreditLedger.unpack(ledger.pack())
        ledger.seq = seq
        user = bytes([int(rng.integers(5))])
        ledger.decided(
            OpenDecision(seq, f"d{seq}", f"m{seq % 2}", user, contexts[seq], actions[seq], seq, seq + 9, 0, seq % 11 != 4)
        )
        _happens(ledger, seq, int(rng.integers(12)), rng)
        if seq % 20 == 0:
            publish(ledger)
    return ledger


def _happens(ledger: CreditLedger, seq: int, what: int, rng: np.random.Generator) -> None:
    """Decisions in bulk become exposed and mature; in between an event, a discard, an activation."""
    cited = f"d{max(seq - int(rng.integers(8)), 0)}"
    if what in (0, 1):
        ledger.exposed(range(max(seq - 12, 0), seq + 1))
    elif what == 2:
        ledger.matured(range(max(seq - 40, 0), max(seq - 15, 0)))
    elif what == 3:
        ledger.discarded(max(seq - 3, 0))
    elif what == 4:
        ledger.activated(max(seq - seq % 11 + 4 - 11, 0))
    elif what == 5:
        ledger.engaged(cited, "unsubscribed", "unsubscribed", None, SPEC)
    elif what == 6:
        ledger.engaged(cited, "rewarded", "rewarded", float(rng.normal()), SPEC)
    else:
        kind = ("clicked", "converted", "opened")[what % 3]
        ledger.engaged(cited, kind, kind, None, SPEC)


STEPS = 240
THROUGH = ledger_after(STEPS, []).pack()


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, STEPS - 1), min_size=1, max_size=6))
def test_a_checkpoint_anywhere_leaves_the_same_bits(cuts: list[int]) -> None:
    ledger = ledger_after(STEPS, cuts)
    assert ledger.pack() == THROUGH
    whole = CreditLedger.unpack(THROUGH)
    for name, model in ledger.models.items():
        assert encode_policy(model.rewards, model.counts) == encode_policy(whole.models[name].rewards, model.counts)


def test_a_policy_is_decided_from_in_threads_while_the_ledger_learns() -> None:
    """Every reader finds in every policy what one finds who reads alone afterwards."""
    shelf: list[tuple[bytes, Policy]] = [(b"", fresh_policy("m0"))]
    over, found = Event(), [set[tuple[int, bytes]](), set[tuple[int, bytes]](), set[tuple[int, bytes]]()]

    def publish(ledger: CreditLedger) -> None:
        if "m0" in ledger.models:
            body = encode_policy(ledger.models["m0"].rewards, {})
            shelf.append((body, decode_policy(body, len(shelf), "m0")))

    def read(seen: set[tuple[int, bytes]]) -> None:
        while not over.is_set():
            at = len(shelf) - 1
            seen.add((at, _digest(shelf[at][1])))

    with ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(read, seen) for seen in found]
        try:
            ledger = ledger_after(STEPS, [], publish)
        finally:
            over.set()
        for reader in readers:
            reader.result()
    assert ledger.pack() == THROUGH
    assert len({at for seen in found for at, _ in seen}) > 3
    for at, digest in set().union(*found):
        alone = decode_policy(shelf[at][0], at, "m0") if at else decode_policy(encode_policy(RewardModel(), {}), 0, "m0")
        assert _digest(alone) == digest


def _digest(policy: Policy) -> bytes:
    return blake2b(repr(choices(policy)).encode()).digest()
