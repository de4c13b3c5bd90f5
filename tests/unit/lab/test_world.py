from __future__ import annotations

import numpy as np
import pytest

from personalization.lab import world
from personalization.lab.world import CAPS, HOURS, SEGMENTS, SHARES, capped_value, mean_value, relative, world_a

P = world_a().probabilities()
BEST = P.max(axis=1)


def test_the_world_is_the_documents_to_the_printed_digit() -> None:
    assert round(relative(P).mean(), 3) == 0.396
    assert round(relative(P)[:, world.best_fixed(P)].mean(), 3) == 0.658
    assert round(world.ceiling_without_segment(P, 0.3), 3) == 0.897


def test_a_fixed_cap_reaches_two_at_six_sends_a_week() -> None:
    value, cap = world.best_fixed_cap()
    assert (round(value, 2), cap) == (2.01, 6)


def test_oracle_triples_under_the_best_cap_of_each_segment() -> None:
    assert world.oracle_caps() == pytest.approx(3.25, abs=0.02)


def test_uplift_is_the_documents_to_the_printed_digit() -> None:
    base = world.unprompted(P)
    assert round(mean_value(BEST - world.SEND_COST), 4) == 0.7527
    assert round(mean_value(base), 4) == 0.0718
    assert round(mean_value(np.maximum(BEST - world.SEND_COST, base)), 4) == 0.7676


def test_the_draws_come_in_their_order() -> None:
    r = np.random.default_rng(20261123)
    assert np.array_equal(world_a().base, r.normal(-2.0, 0.4, 6))
    assert np.array_equal(world_a().variant, r.normal(0.0, 0.8, (6, 4)))
    assert np.array_equal(world_a().channel, r.normal(0.0, 0.6, (6, 3)))
    peaks = r.uniform(7.0, 22.0, 6)
    away = np.abs(world_a().hour.argmax(axis=1) - peaks)
    assert np.all(away <= 0.5)
    assert np.array_equal(world.user_effects(5), r.normal(0.0, 0.3, 5))


def test_an_actions_number_says_its_variant_channel_and_hour() -> None:
    a = world_a()
    logit = a.base[4] + a.variant[4, 3] + a.channel[4, 1] + a.hour[4, 17]
    assert a.logits()[4, world.action_number(3, 1, 17)] == pytest.approx(logit)
    numbers = {world.action_number(v, c, h) for v in range(4) for c in range(3) for h in range(HOURS)}
    assert numbers == set(range(world.ACTIONS))


def test_drift_moves_every_variant_by_one_and_nothing_else() -> None:
    before, after = world_a(), world_a().drifted()
    assert np.array_equal(after.variant[:, 1:], before.variant[:, :-1])
    assert np.array_equal(after.variant[:, 0], before.variant[:, -1])
    assert np.array_equal(after.hour, before.hour)
    assert after.probabilities().max(axis=1) == pytest.approx(BEST)


def test_where_nothing_matters_every_action_is_worth_the_same() -> None:
    p = world_a().indifferent().probabilities()
    assert np.ptp(p, axis=1) == pytest.approx(np.zeros(SEGMENTS))


def test_the_shares_are_a_distribution() -> None:
    assert sum(SHARES) == pytest.approx(1.0)
    assert len(SHARES) == SEGMENTS


def test_tired_people_click_less_and_leave_more() -> None:
    sends = np.arange(8.0)
    clicks, gone = world.tired(0.5, sends), world.leaves(sends)
    assert np.all(clicks[:4] == clicks[0])
    assert np.all(np.diff(clicks[3:]) < 0)
    assert np.all(gone[:4] == gone[0])
    assert np.all(np.diff(gone[3:]) > 0)


def test_a_capped_value_is_what_many_simulated_people_earn() -> None:
    logits, cap, rng, people = np.full(SEGMENTS, 0.4), 5, np.random.default_rng(5), 40_000
    sent, alive, value = np.zeros((world.DAYS, people)), np.ones(people, bool), 0.0
    for day in range(world.DAYS):
        sends7 = sent[max(0, day - world.WEEK) : day].sum(axis=0)
        sends = alive & (sends7 < cap)
        sent[day] = sends
        left = sends & (rng.random(people) < world.leaves(sends7))
        value += float(sends @ world.tired(0.4, sends7)) - world.UNSUBSCRIBE_COST * left.sum()
        alive &= ~left
    assert capped_value(logits, cap)[0] == pytest.approx(value / people / 8, abs=0.02)


def test_more_sends_are_no_better_without_end() -> None:
    logits = world_a().logits().max(axis=1)
    values = [mean_value(capped_value(logits, cap)) for cap in CAPS]
    assert values.index(max(values)) == CAPS.index(7)
