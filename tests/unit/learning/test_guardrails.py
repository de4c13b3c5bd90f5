import numpy as np
import pytest
from scipy.stats import beta

from personalization.learning.guardrails import FEWEST, SURE, Standing, probability_over, standings, worst

LIMITS = (("complained", 0.001), ("unsubscribed", 0.01))


def counts(sends: float, unsubscribed: float = 0.0, complained: float = 0.0) -> dict[str, float]:
    return {"exposed": sends, "unsubscribed": unsubscribed, "complained": complained}


def over(*variants: dict[str, float]) -> list[bool]:
    found = standings(dict(enumerate(variants)), LIMITS)
    return [worst(found[i]) is not None for i in range(len(variants))]


def test_a_variant_that_loses_three_times_what_is_accepted_is_over_and_one_within_it_is_not() -> None:
    assert over(counts(1_000, 30), counts(1_000, 8)) == [True, False]


def test_every_guardrail_counts_by_itself_and_the_worst_is_named() -> None:
    found = standings({1: counts(10_000, 130, 60), 2: counts(10_000, 60, 3)}, LIMITS)
    named = worst(found[1])
    assert named is not None
    assert (named.event, named.rate, named.limit) == ("complained", 0.006, 0.001)
    assert [one.over for one in found[2]] == [False, False]


def test_the_probability_is_that_of_the_posterior() -> None:
    samples = beta(1.0 + 12.0, 1.0 * 0.99 / 0.01 + 988.0).rvs(400_000, random_state=3)
    assert probability_over(12.0, 1_000.0, 0.01, 0.01) == pytest.approx((samples > 0.01).mean(), abs=0.005)


def test_a_variant_is_never_ruled_out_by_what_others_did() -> None:
    assert over(counts(1_000, 300), counts(0), counts(5)) == [True, False, False]


def test_fewer_than_three_of_its_own_are_no_proof() -> None:
    assert over(counts(10, FEWEST - 1), counts(1_000, 300)) == [False, True]
    assert over(counts(10, FEWEST), counts(1_000, 300)) == [True, True]


def test_nobody_is_over_where_nothing_happened_or_nothing_was_sent() -> None:
    assert over(counts(1_000), counts(1_000)) == [False, False]
    assert over(counts(0), counts(0)) == [False, False]
    assert standings({}, LIMITS) == {}


@pytest.mark.parametrize(("limit", "expected"), [(0.0, True), (1.0, False)])
def test_no_harm_at_all_and_any_harm_may_be_asked_for(limit: float, expected: bool) -> None:
    found = standings({1: counts(1_000, 3)}, (("unsubscribed", limit),))
    assert (worst(found[1]) is not None) is expected


def test_leftovers_of_rounding_are_no_rate() -> None:
    found = standings({1: {"exposed": -1e-17, "unsubscribed": -1e-17}, 2: counts(9, 1)}, LIMITS)
    assert [one.rate for one in found[1]] == [0.0, 0.0]


def test_more_harm_is_more_probable_and_more_sends_without_it_less() -> None:
    by_events = [probability_over(float(h), 500.0, 0.01, 0.01) for h in range(20)]
    by_sends = [probability_over(5.0, float(n), 0.01, 0.01) for n in range(5, 2_000, 50)]
    assert by_events == sorted(by_events)
    assert by_sends == sorted(by_sends, reverse=True)


def test_looked_at_after_every_send_a_good_variant_stays_and_a_bad_one_goes() -> None:
    """A variant at half its limit is ruled out once in a hundred times or less, one at three times its limit always and
    soon: within 1,000 sends."""
    good, bad = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        good.append(_ruled_out(rng, 0.005, 4_000))
        bad.append(_ruled_out(rng, 0.03, 4_000))
    assert sum(at is not None for at in good) <= 2
    assert all(at is not None and at < 1_000 for at in bad)


def _ruled_out(rng: np.random.Generator, rate: float, sends: int) -> int | None:
    """After how many sends; beside it goes another variant of half the limit."""
    for n, h in enumerate(np.cumsum(rng.random(sends) < rate).tolist(), 1):
        if h >= FEWEST and n % 20 == 0 and probability_over(h, n, 0.01, (h + 0.005 * n) / (2 * n)) >= SURE:
            return n
    return None


def test_a_standing_says_how_far_over_it_is() -> None:
    assert Standing("unsubscribed", 0.03, 0.01, 1.0, True).excess == pytest.approx(3.0)
