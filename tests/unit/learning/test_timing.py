from __future__ import annotations

import math
import timeit
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalization.errors import Invalid
from personalization.learning.timing import FLAT, Population, appeal, delayed, hour_distribution, population
from personalization.learning.week import CELLS, HOUR_OF, summed

counts = st.dictionaries(st.integers(0, CELLS - 1), st.floats(0.0, 1e6), max_size=30)
fades = st.floats(1e-6, 1.0)


def people(seed: int = 1) -> Population:
    """A tenant whose people engage by day, most at noon, and less at the weekend."""
    rng = Random(seed)
    engaged = {
        w: rng.uniform(1, 3) * 20 * math.exp(-(((w % 24) - 12) ** 2) / 18) * (0.4 if w >= 120 else 1.0) for w in range(CELLS)
    }
    return population(engaged, dict.fromkeys(range(CELLS), 200.0))


OFFICE = people()
#: Every day of the week at one hour.
MORNINGS = {24 * day + 8: 3.0 for day in range(7)}
ALL_DAY = dict.fromkeys(range(CELLS), 3.0)
EVENINGS = {24 * day + 20: 3.0 for day in range(7)}


@settings(max_examples=60, deadline=None)
@given(counts, counts, counts, fades)
def test_whatever_is_counted_the_answer_is_finite_and_probabilities_sum_to_one(
    engaged: dict[int, float], sent: dict[int, float], all_sent: dict[int, float], fade: float
) -> None:
    before = dict(engaged), dict(sent)
    known = population(engaged, all_sent)
    found = appeal(known, engaged, sent, fade)
    assert all(map(math.isfinite, (*found.values, *found.deviations)))
    assert min(found.deviations) > 0.0
    chances = hour_distribution(known, engaged, fade)
    assert len(chances) == len(found.values) == len(found.deviations) == CELLS
    assert sum(chances) == pytest.approx(1.0)
    assert all(0.0 <= chance <= 1.0 for chance in chances)
    assert (engaged, sent) == before
    assert appeal(known, engaged, sent, fade) == found
    assert hour_distribution(known, engaged, fade) == chances


def test_when_nothing_is_known_no_hour_is_better_than_another() -> None:
    assert set(appeal(FLAT, {}).values) == {0.0}
    assert set(population({}).rates) == {1.0}
    assert hour_distribution(FLAT, {}) == [1.0 / CELLS] * CELLS


def test_a_person_of_whom_nothing_is_known_has_the_hours_of_their_population() -> None:
    assert hour_distribution(OFFICE, {}) == list(OFFICE.shares)
    found = appeal(OFFICE, {})
    assert [math.exp(value) for value in found.values] == pytest.approx(list(OFFICE.rates))
    faint = appeal(OFFICE, {3: 1e-9}, {3: 1e-9})
    assert faint.values == pytest.approx(found.values, abs=1e-6)
    assert faint.deviations == pytest.approx(found.deviations, abs=1e-6)


def test_the_mean_rate_over_the_week_is_what_values_are_relative_to() -> None:
    for known, engaged, sent in ((OFFICE, MORNINGS, {}), (OFFICE, MORNINGS, EVENINGS), (FLAT, EVENINGS, MORNINGS)):
        rates = [math.exp(value) for value in appeal(known, engaged, sent).values]
        assert sum(rates) / CELLS == pytest.approx(1.0)


def test_the_more_is_seen_of_a_person_the_more_their_own_hours_count() -> None:
    chances = [_at(20, hour_distribution(OFFICE, _times(EVENINGS, n))) for n in (0.0, 0.1, 0.5, 1.0, 5.0, 50.0)]
    assert chances == sorted(chances)
    assert chances[-1] > 0.45
    found = [appeal(OFFICE, _times(EVENINGS, n)) for n in (0.1, 0.5, 1.0, 5.0, 50.0)]
    assert [one.values[20] for one in found] == sorted(one.values[20] for one in found)
    assert [one.deviations[20] for one in found] == sorted((one.deviations[20] for one in found), reverse=True)


def test_without_sends_the_hours_are_a_dirichlet_multinomial_with_its_neighbours() -> None:
    engaged = {24 * day + hour: 1.0 for day in range(7) for hour in (6, 7, 8)}
    hours = summed(HOUR_OF, hour_distribution(FLAT, engaged))
    near = [(0.0, 0.0), (3.5, 0.5), (10.5, 1.5)]
    weights = {4: near[0], 5: (3.5, 0), 6: (10.5, 0), 7: (14.0, 0), 8: (10.5, 0), 9: (3.5, 0), 10: near[0]}
    expected = [weights.get(h, (0.0, 0.0))[0] + 20.0 * 2.0 / 24 for h in range(24)]
    assert hours == pytest.approx([share / sum(expected) for share in expected])


def test_of_two_hours_with_as_many_engagements_the_one_with_fewer_sends_is_better() -> None:
    found = appeal(FLAT, {8: 5.0, 20: 5.0}, {8: 50.0, 20: 10.0})
    assert found.values[20] > found.values[8] + 0.3
    assert appeal(FLAT, {8: 5.0, 20: 5.0}).values[20] == pytest.approx(appeal(FLAT, {8: 5.0, 20: 5.0}).values[8])
    tenant = population({8: 500.0, 20: 500.0}, {8: 5000.0, 20: 1000.0})
    assert appeal(tenant, {}).values[20] > appeal(tenant, {}).values[8] + 1.0


def test_sends_that_nobody_answered_make_an_hour_worse() -> None:
    found = appeal(FLAT, {}, {9: 40.0})
    assert found.values[9] < min(found.values[hour] for hour in (15, 20, 3))


def test_someone_who_engages_with_everything_prefers_no_hour_for_it() -> None:
    """A single hour was ever sent to: that this person answers says that they answer, not that the hour is good."""
    often = appeal(FLAT, {9: 400.0}, {9: 400.0})
    assert often.values[9] - often.values[21] < 0.2


def test_hours_near_midnight_and_the_week_s_end_inform_each_other() -> None:
    late = {24 * day + 23: 2.0 for day in range(7)}
    values = appeal(FLAT, late).values
    assert values[0] == pytest.approx(values[22])
    assert values[0] > values[1] + 0.3
    sunday_night = population({**dict.fromkeys(range(CELLS), 40.0), 167: 4_000.0})
    assert sunday_night.shares[0] > sunday_night.shares[1]
    assert summed(HOUR_OF, sunday_night.shares)[23] > 0.1


def test_a_turned_clock_turns_the_answer() -> None:
    turned = {(w // 24) * 24 + (w + 7) % 24: weight for w, weight in EVENINGS.items()}
    for values, others in (
        (appeal(FLAT, EVENINGS).values, appeal(FLAT, turned).values),
        (
            appeal(FLAT, EVENINGS, MORNINGS).values,
            appeal(FLAT, turned, {(w + 7) % 24 + w // 24 * 24: n for w, n in MORNINGS.items()}).values,
        ),
    ):
        assert others[:24] == pytest.approx([values[(h - 7) % 24] for h in range(24)])


def test_who_engages_at_weekends_is_expected_there() -> None:
    weekends = {24 * 5 + 10: 10.0, 24 * 6 + 11: 10.0}
    chances = hour_distribution(OFFICE, weekends)
    assert sum(chances[120:]) > 2.0 * sum(OFFICE.shares[120:])


def test_a_segment_stands_between_its_tenant_and_its_people() -> None:
    few = population(EVENINGS, above=OFFICE)
    many = population(_times(EVENINGS, 1_000.0), above=OFFICE)
    assert _at(20, OFFICE.shares) < _at(20, few.shares) < _at(20, many.shares)
    assert population({}, above=OFFICE).shares == pytest.approx(OFFICE.shares)
    assert population({}, above=OFFICE).rates == pytest.approx(OFFICE.rates)


def test_a_population_that_was_packed_predicts_the_same_to_the_bit() -> None:
    again = Population.unpacked(msgspec.msgpack.decode(msgspec.msgpack.encode(OFFICE.packed())))
    assert again == OFFICE
    assert appeal(again, MORNINGS, EVENINGS) == appeal(OFFICE, MORNINGS, EVENINGS)
    assert hour_distribution(again, MORNINGS) == hour_distribution(OFFICE, MORNINGS)


def test_fading_is_the_same_as_smaller_counts() -> None:
    faded = appeal(OFFICE, MORNINGS, EVENINGS, 0.25)
    smaller = appeal(OFFICE, _times(MORNINGS, 0.25), _times(EVENINGS, 0.25))
    assert faded.values == pytest.approx(smaller.values)
    assert faded.deviations == pytest.approx(smaller.deviations)


def test_a_population_with_more_evidence_has_less_doubt() -> None:
    known = [population(_times(MORNINGS, n), _times(ALL_DAY, n)) for n in (0.0, 1.0, 100.0)]
    assert [one.variances[8] for one in known] == sorted((one.variances[8] for one in known), reverse=True)
    doubts = [appeal(one, {}).deviations[8] for one in known]
    assert doubts == sorted(doubts, reverse=True)
    segment = population({8: 1.0}, {8: 3.0}, above=known[0]), population(_times(MORNINGS, 99.0), ALL_DAY, above=known[0])
    assert segment[0].variances[8] > segment[1].variances[8]


def test_no_hour_is_so_rare_that_nothing_can_be_said_of_it() -> None:
    lonely = population(_times(MORNINGS, 1_000.0))
    assert max(appeal(lonely, {}).deviations) < 2.5
    assert max(appeal(lonely, EVENINGS).deviations) < 2.5


def test_delayed_sends_keep_their_weight_over_the_week_s_end() -> None:
    assert delayed({167: 10.0}, (0.6, 0.3, 0.1)) == pytest.approx({167: 6.0, 0: 3.0, 1: 1.0})


@pytest.mark.parametrize("bad", [{168: 1.0}, {-1: 1.0}, {3: math.inf}, {3: math.nan}])
def test_counts_that_are_none_are_refused(bad: dict[int, float]) -> None:
    with pytest.raises(Invalid):
        population(bad)
    with pytest.raises(Invalid):
        population({}, bad)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_concentration_must_be_a_positive_number(bad: float) -> None:
    with pytest.raises(Invalid):
        population({}, concentration=bad)


def test_discarded_sends_that_leave_a_residue_below_zero_count_as_none() -> None:
    assert appeal(FLAT, MORNINGS, {9: -1e-12}).values == pytest.approx(appeal(FLAT, MORNINGS).values)


def test_people_with_hours_of_their_own_are_predicted_better_than_by_their_population() -> None:
    """Over fixed seeds: people drawn around the population, half of whose acts teach and half judge."""
    for seed in range(3):
        rng, gain = Random(seed), 0.0
        for _ in range(60):
            best = rng.randrange(24)
            acts = [24 * rng.randrange(7) + (best + rng.choice((-1, 0, 0, 1))) % 24 for _ in range(20)]
            engaged = {w: float(acts[:10].count(w)) for w in set(acts[:10])}
            chances = summed(HOUR_OF, hour_distribution(FLAT, engaged))
            gain += sum(math.log(chances[w % 24] * 24) for w in acts[10:]) / 600
        assert gain > 0.7


def test_a_person_costs_microseconds() -> None:
    """Far below the deadline of a decision even on a slow machine; the measured figure is in the docstring."""
    engaged, sent = dict.fromkeys(range(0, 100, 10), 1.0), dict.fromkeys(range(5, 105, 10), 2.0)
    assert min(timeit.repeat(lambda: appeal(OFFICE, engaged, sent), number=100, repeat=5)) / 100 < 400e-6


def _at(hour: int, week: list[float] | tuple[float, ...]) -> float:
    return summed(HOUR_OF, week)[hour]


def _times(counts: dict[int, float], factor: float) -> dict[int, float]:
    return {w: factor * n for w, n in counts.items()}
