from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from personalization.cli import main
from personalization.clock import DAY, HOUR
from personalization.lab import simulation
from personalization.lab.offpolicy import CANDIDATES, METHODS, Candidate, Log, Witness, _week_before, estimates, logged, off_policy
from personalization.lab.playing import play
from personalization.lab.product import START, Choice, Product, certain
from personalization.lab.reading import Reading, Run
from personalization.lab.runs import run
from personalization.lab.scenarios import OFF_POLICY, OWN, SCENARIOS, USUAL
from personalization.lab.simulation import MET, MISSED, SHORT, Job
from personalization.lab.world import SEGMENTS, action_number, leaves, tired, world_a

FIXED, WHOLE, VARIANT, CHANNEL, HOURLY = CANDIDATES
A, E, G = (SCENARIOS[name] for name in OFF_POLICY)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the command runs: the matrices are small."""
    with threadpool_limits(1, user_api="blas"):
        yield


def uniform_log(rows: int, seed: int, people: bool = False) -> Log:
    """Drawn at random over all actions; what was learned is right."""
    rng = np.random.default_rng(seed)
    segment, drawn = rng.integers(SEGMENTS, size=rows), rng.integers(288, size=rows)
    logits, sends7 = world_a().logits()[segment], rng.integers(8, size=rows).astype(float)
    row = np.arange(rows)
    worth = tired(logits[row, drawn], sends7 if people else 0.0)
    lost = 20.0 * (rng.random(rows) < leaves(sends7)) if people else 0.0
    rewards = (rng.random(rows) < worth) - lost
    return Log(
        drawn=drawn,
        learned=logits.argmax(axis=1),
        propensities=np.tile([1 / 4, 1 / 3, 1 / 24], (rows, 1)),
        features=np.column_stack([np.ones(rows), np.eye(SEGMENTS)[segment]]),
        rewards=rewards,
        after=row >= rows // 2,
        logits=logits,
        sends7=sends7,
        people=row // 8 if people else None,
        lowest=float(rewards.min(initial=0.0)),
    )


# -- what is judged --------------------------------------------------------------------------------------------------


def test_a_candidate_keeps_the_later_stages_as_they_were_drawn() -> None:
    log = replace(uniform_log(1, 0), drawn=np.array([action_number(1, 2, 3)]), learned=np.array([action_number(3, 0, 20)]))
    assert log.chosen(VARIANT).tolist() == [action_number(3, 2, 3)]
    assert log.chosen(CHANNEL).tolist() == [action_number(3, 0, 3)]
    assert log.chosen(HOURLY).tolist() == [action_number(3, 0, 20)]
    assert (log.chosen(FIXED) % 72).tolist() == [action_number(0, 2, 3)]


def test_what_was_learned_is_judged_by_what_came_after_and_only_where_both_send() -> None:
    log = uniform_log(1_000, 1, people=True)
    log = replace(log, learned=np.where(np.arange(1_000) % 10 == 0, -1, log.learned))
    assert [len(log.of(candidate).drawn) for candidate in CANDIDATES] == [500, 1_000, 450, 450, 450]
    people = log.of(VARIANT).people
    assert people is not None
    assert sorted(set(people.tolist())) == list(range(people.max() + 1))


def test_the_truth_is_the_worlds_expectation() -> None:
    log = uniform_log(500, 2)
    actions = log.chosen(CHANNEL)
    assert log.truth(actions) == pytest.approx(np.mean([1 / (1 + math.exp(-log.logits[i, a])) for i, a in enumerate(actions)]))
    tiring = uniform_log(500, 2, people=True)
    by_hand = [float(tired(tiring.logits[i, a], tiring.sends7[i]) - 20 * leaves(tiring.sends7[i])) for i, a in enumerate(actions)]
    assert tiring.truth(actions) == pytest.approx(np.mean(by_hand))


def test_the_week_before_is_counted_by_person_without_today() -> None:
    days = [(1, 0), (2, 0), (1, 1), (1, 7), (1, 8), (2, 8)]
    made = [Choice(user, "d", 0, START + day * DAY + HOUR) for user, day in days]
    assert _week_before(made).tolist() == [0, 0, 1, 2, 2, 0]


@pytest.mark.parametrize("people", [False, True])
def test_intervals_hold_the_truth_of_logs_drawn_at_random(people: bool) -> None:
    told, inside = np.zeros(3), np.zeros(3)
    for seed in range(60):
        log = uniform_log(1_200, seed, people).of(CHANNEL)
        truth = log.truth(log.chosen(CHANNEL))
        for i, estimate in enumerate(estimates(log, CHANNEL)):
            told[i] += estimate is not None
            inside[i] += estimate is not None and estimate.covers(truth)
    assert (told >= 30).all()
    assert (inside >= 0.88 * told).all()


def test_the_wrong_stages_are_not_held() -> None:
    log = uniform_log(6_000, 3).of(VARIANT)
    wrong = log.truth(log.chosen(HOURLY))
    assert not any(estimate.covers(wrong) for estimate in estimates(log, VARIANT) if estimate is not None)


def test_thin_support_is_refused() -> None:
    log = uniform_log(1_000, 4)
    assert estimates(log.of(HOURLY), HOURLY) == [None] * 3
    assert estimates(uniform_log(150, 4).of(VARIANT), VARIANT) == [None] * 3


# -- through the product ---------------------------------------------------------------------------------------------


def test_the_policy_that_is_judged_had_seen_nothing_of_what_judges_it() -> None:
    traffic, turn = A.traffic(0, 120), START + 60 * HOUR // 250
    with Product("w", {"exploration": OWN}) as product:
        witness = Witness(product, turn)
        play(witness, traffic)
        judged, records = witness.policy, product.records()
        assert len(records) == 120
        assert [choice.action is not None for choice in witness.choices] == [True] * 120
        latest = product.policy()
    with Product("w", {"exploration": OWN}) as product:
        play(product, traffic.first(59))
        before = product.policy()
    assert certain(records, judged) == certain(records, before)
    assert judged.weight < latest.weight


def test_intervals_of_short_logs_hold_the_truth_mostly() -> None:
    runs = [run(A, seed, OWN, 400) for seed in range(6)]
    readings = [r for one in runs for r in one.readings if r.window == "variant learned, dr" and not r.refused]
    assert len(readings) >= 3
    assert sum(r.policy for r in readings) >= len(readings) - 2
    assert not any(r.complete for r in readings)


def test_delayed_clicks_that_had_not_come_are_not_judged() -> None:
    with Product("e", {"exploration": OWN}) as product:
        log, traffic = logged(product, E, 0, 900, lambda done: None), E.traffic(0, 900)
    assert len(log.drawn) == (traffic.due <= 900).sum() < 100
    assert set(log.rewards.tolist()) <= {0.0, 1.0}
    with Product("none", {"exploration": OWN}) as product:
        assert all(r.refused for r in off_policy(product, E, 0, 50, lambda done: None).readings)


def test_fatigue_is_judged_with_what_people_were_sent_before() -> None:
    with Product("g", {"exploration": OWN}) as product:
        log = logged(product, replace(G, users=30), 1, 30 * 10, lambda done: None)
    assert log.people is not None
    assert log.sends7.max() <= 7
    assert log.sends7[log.people == log.people[0]][:2].tolist() == [0, 1]
    assert 0.4 < log.after.mean() < 0.6
    assert ((log.propensities > 0) & (log.propensities <= 1)).all()


# -- what is told ----------------------------------------------------------------------------------------------------


def made_up(covering: int, missing: int, refused: int) -> dict[Job, Run]:
    def one(value: float, refused: bool) -> Run:
        nan = math.nan
        reading = Reading(window="w, dr", policy=value, random=nan, best_fixed=nan, oracle=nan, must=0.90, refused=refused)
        return Run(readings=(reading,))

    runs = [one(1.0, False)] * covering + [one(0.0, False)] * missing + [one(math.nan, True)] * refused
    return {Job(A.name, seed, OWN, None): found for seed, found in enumerate(runs)}


def test_a_refusal_is_counted_and_is_no_failure() -> None:
    found = simulation._found(A, 5, made_up(108, 12, 80))
    figure = found.figures[0]
    assert (figure.mean, figure.refused, figure.runs, figure.verdict) == (0.9, 80, 200, MET)
    assert "80 of 200 refused" in simulation.rows([found])[0][2]
    assert found.document()["figures"][0]["refused"] == 80
    assert simulation._found(A, 5, made_up(107, 13, 80)).figures[0].verdict == MISSED
    assert simulation._found(A, 5, made_up(49, 0, 151)).figures[0].verdict == SHORT
    assert simulation._found(A, 5, made_up(199, 0, 0)).figures[0].verdict == SHORT
    assert simulation.rows([simulation._found(A, 5, made_up(0, 0, 200))])[0][2] == "–, 200 of 200 refused"


def test_the_command_runs_the_three_logs_by_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(simulation, "simulate", lambda names, *_: asked.append(list(names)) or [])
    assert main(["simulate", "--scenario", "OPE"]) == 0
    assert main(["simulate"]) == 0
    assert asked == [list(OFF_POLICY), list(USUAL)]
    assert set(USUAL) == set("ABCDEFGH")


def test_every_method_of_every_candidate_has_its_row() -> None:
    with Product("rows", {"exploration": OWN}) as product:
        readings = off_policy(product, A, 0, 60, lambda done: None).readings
    assert [r.window for r in readings] == [f"{c.name}, {method}" for c in CANDIDATES for method in METHODS]
    assert [r.must for r in readings] == [0.90, None, None] * len(CANDIDATES)
    assert Candidate("x", 3, learned=False).below == 1
