from __future__ import annotations

import json
import math
import runpy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree

import numpy as np
import pytest

from personalization.cli import main
from personalization.clock import HOUR
from personalization.lab import simulation
from personalization.lab.pages import Line, LineChart, page
from personalization.lab.playing import play
from personalization.lab.product import START, Choice, Event, Product
from personalization.lab.reading import Reading, Run
from personalization.lab.runs import judged, run
from personalization.lab.scenarios import OWN, SCENARIOS, ordinals
from personalization.lab.simulation import MISSED, SHORT, Job, simulate
from personalization.lab.uplift import uplift_judged
from personalization.lab.world import SEND_COST, best_fixed, sigmoid, unprompted, world_a

LogisticThompson = runpy.run_path(str(Path(__file__).with_name("reference.py")))["LogisticThompson"]


class Recording:
    """Takes one action for everybody and remembers what came when."""

    def __init__(self, action: int = 0) -> None:
        self.action, self.now, self.made = action, 0, 0
        self.seen: list[str | tuple[str, int]] = []
        self.times: list[int] = []

    def people(self, segments: Sequence[int | None]) -> None:
        self.segments = segments

    def clock(self, now: int) -> None:
        self.now = now

    def decide(self, users: Sequence[int]) -> list[Choice]:
        self.seen += [("decide", user) for user in users]
        self.times.append(self.now)
        self.made += 1
        return [Choice(user, f"d{user}-{self.made}", self.action, self.now) for user in users]

    def learn(self, events: Sequence[Event]) -> None:
        self.seen += [("learn", event.choice.user) for event in events]


# -- messages --------------------------------------------------------------------------------------------------------


def test_fewer_messages_are_the_beginning_of_more() -> None:
    for scenario in SCENARIOS.values():
        short, long = scenario.traffic(3, 500), scenario.traffic(3)
        assert len(long) == scenario.messages
        for name in ("segment", "user", "due", "told", "effect", "uniform"):
            assert np.array_equal(getattr(short, name), getattr(long, name)[:500]), (scenario.name, name)


def test_the_click_is_known_before_the_next_message() -> None:
    door = Recording()
    play(door, SCENARIOS["A"].traffic(0, 4))
    assert door.seen == [(verb, i) for i in range(4) for verb in ("decide", "learn")]
    assert door.times == [START + i * HOUR // 250 for i in range(4)]


def test_a_delayed_click_comes_before_its_message_and_no_sooner() -> None:
    door, traffic = Recording(), SCENARIOS["E"].traffic(0, 6_000)
    delays = traffic.due - np.arange(6_000)
    assert (delays.min(), delays.max()) == pytest.approx((750, 2_249), abs=2)
    play(door, traffic)
    decided = 0
    for verb, user in door.seen:
        if verb == "decide":
            decided += 1
        else:
            assert decided == traffic.due[user]


def test_the_segment_is_missing_as_often_as_said_and_only_in_f() -> None:
    told = SCENARIOS["F"].traffic(1)
    assert np.mean(~told.told) == pytest.approx(0.3, abs=0.01)
    assert told.traits()[:50] == [int(s) if t else None for s, t in zip(told.segment[:50], told.told[:50], strict=True)]
    assert SCENARIOS["A"].traffic(1).told.all()


def test_users_of_d_keep_their_segment_and_effect_over_twenty_rounds() -> None:
    traffic = SCENARIOS["D"].traffic(2)
    assert np.array_equal(traffic.user, np.tile(np.arange(2_000), 20))
    assert np.array_equal(traffic.effect[:2_000], traffic.effect[-2_000:])
    assert np.array_equal(traffic.segment[:2_000], traffic.segment[-2_000:])
    assert traffic.effect[:2_000].std() == pytest.approx(0.3, abs=0.02)
    assert np.array_equal(traffic.effect, SCENARIOS["D"].traffic(4).effect)


def test_ordinals_count_each_segment_by_itself() -> None:
    assert ordinals([2, 0, 2, 2, 0]).tolist() == [0, 0, 1, 2, 1]


# -- figures ---------------------------------------------------------------------------------------------------------


def test_the_references_come_out_of_the_judging() -> None:
    a = SCENARIOS["A"]
    traffic = a.traffic(0)
    p = world_a().probabilities()
    fixed = judged(a, traffic, np.full(len(traffic), best_fixed(p)))
    best = judged(a, traffic, p.argmax(axis=1)[traffic.segment])
    for reading in fixed.readings:
        assert round(reading.policy, 3) == round(reading.best_fixed, 3) == 0.658
        assert round(reading.random, 3) == 0.396
    assert [reading.policy for reading in best.readings] == pytest.approx([1.0] * 4)
    assert all(reading.complete for reading in best.readings)
    assert [y for _, y in best.curve] == pytest.approx([1.0] * 40)


def test_without_inference_f_ends_at_its_ceiling() -> None:
    f = SCENARIOS["F"]
    traffic = f.traffic(0)
    p = world_a().probabilities()
    knowing = np.where(traffic.told, p.argmax(axis=1)[traffic.segment], best_fixed(p))
    assert fmean(r.policy for r in judged(f, traffic, knowing).readings) == pytest.approx(0.897, abs=0.01)


def test_b_counts_from_the_drift_on_and_its_oracle_knows_of_it() -> None:
    b = SCENARIOS["B"]
    traffic = b.traffic(0)
    before, after = sigmoid(traffic.logits[0]), sigmoid(traffic.logits[1])
    stuck = judged(b, traffic, before.argmax(axis=1)[traffic.segment])
    moved = judged(b, traffic, after.argmax(axis=1)[traffic.segment])
    assert [r.policy for r in moved.readings] == pytest.approx([1.0] * 3)
    assert all(r.policy < 0.8 for r in stuck.readings)
    assert len(moved.curve) == 40


def test_a_segment_without_messages_leaves_no_figure() -> None:
    a = SCENARIOS["A"]
    readings = judged(a, a.traffic(0, 600), np.zeros(600, np.int64)).readings
    assert math.isnan(readings[-1].policy)
    assert not any(r.complete for r in readings)


def test_uplift_is_judged_against_the_policys_own_triples() -> None:
    h = SCENARIOS["H"]
    segment = h.traffic(0).segment
    p = world_a().probabilities()
    best, held = p.argmax(axis=1)[segment], np.arange(len(segment)) % 20 == 0
    pays = (p.max(axis=1) - SEND_COST > unprompted(p))[segment]
    to_all = uplift_judged(h, segment, best, held).readings[0]
    wise = uplift_judged(h, segment, np.where(pays, best, -1), held).readings[0]
    assert to_all.policy == pytest.approx(0.7527, abs=0.005)
    assert wise.policy == pytest.approx(wise.oracle)
    assert wise.oracle == pytest.approx(0.7676, abs=0.005)
    assert to_all.must is not None
    assert to_all.policy < to_all.must
    assert wise.must is not None
    assert wise.policy > wise.must


# -- through the product ---------------------------------------------------------------------------------------------


def test_a_short_run_of_a_lies_between_random_and_the_oracle() -> None:
    found = simulate(["A"], seeds=2, messages=600)[0]
    assert [exploration for exploration, _ in found.curves] == [1.0, 0.1]
    assert len(found.figures) == 8
    assert all(figure.runs == 2 for figure in found.figures)
    first = found.figures[0]
    assert first.random < first.mean < first.oracle == 1.0
    assert 0.0 < first.standard_error < 0.2
    assert {figure.verdict for figure in found.figures} == {"", SHORT}
    assert found.met
    json.dumps(found.document(), allow_nan=False)


def test_the_same_run_gives_the_same_answer() -> None:
    for name, messages in (("A", 150), ("H", 150)):
        scenario = SCENARIOS[name]
        assert repr(run(scenario, 5, OWN, messages)) == repr(run(scenario, 5, OWN, messages))


def test_every_reward_is_learned_before_the_next_message() -> None:
    traffic = SCENARIOS["A"].traffic(0, 60)
    with Product("a", {"exploration": 1.0}) as product:
        actions = play(product, traffic)
        ledger = product._house.learner.ledger("simulation")
        assert ledger.seq == product._house.storage.log.heads()["simulation"]
        assert not ledger.open
        assert ledger.models["variants:message"].counts["exposed"] == 60
        clicks = traffic.uniform < traffic.chances(actions)
        assert ledger.models["variants:message"].rewards.total().scalars[3] == pytest.approx(clicks.sum())


def test_every_variant_channel_and_hour_may_be_chosen() -> None:
    with Product("all", {"exploration": 1.0}) as product:
        product.people([0] * 4_000)
        product.clock(START + HOUR // 2)
        chosen = {choice.action for choice in product.decide(range(4_000)) if choice.action is not None}
    assert {action // 72 for action in chosen} == set(range(4))
    assert {action // 24 % 3 for action in chosen} == set(range(3))
    assert {action % 24 for action in chosen} == set(range(24))


def test_several_processes_find_what_one_finds() -> None:
    here = simulate(["E"], seeds=1, messages=100)
    assert repr(simulate(["E"], seeds=1, messages=100, processes=2)) == repr(here)


def test_the_lift_of_a_run_without_effect_is_measured_by_the_product() -> None:
    c = SCENARIOS["C"]
    found = run(replace(c, users=300), 0, OWN, 1_500)
    assert found.readings[0].policy in (0.0, 1.0)
    assert 0.0 < abs(found.curve[0][1]) < 0.2


def test_tired_people_leave_and_are_asked_no_more() -> None:
    found = run(replace(SCENARIOS["G"], users=40), 0, OWN, 40 * 14)
    assert len(found.curve) == 14
    assert found.readings[0].policy < found.readings[0].oracle
    assert not found.readings[0].complete


def test_the_holdout_of_h_gets_nothing_and_counts_nowhere() -> None:
    found = run(SCENARIOS["H"], 0, OWN, 300)
    reading = found.readings[0]
    assert reading.must is not None
    assert reading.policy < reading.must


# -- what is told ----------------------------------------------------------------------------------------------------


def noise_runs(n: int, covering: int) -> dict[Job, Run]:
    def one(covers: bool) -> Run:
        nan = math.nan
        return Run(readings=(Reading(window="w", policy=float(covers), random=nan, best_fixed=nan, oracle=nan, must=0.92),))

    return {Job("C", i, OWN, None): one(i < covering) for i in range(n)}


def test_c_is_judged_by_a_hundred_runs() -> None:
    def verdict(runs: int, covering: int) -> str:
        return simulation._found(SCENARIOS["C"], 5, noise_runs(runs, covering)).figures[0].verdict

    assert [verdict(100, 92), verdict(100, 91), verdict(60, 60)] == ["met", MISSED, SHORT]


def test_the_command_writes_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, figures = tmp_path / "a.html", tmp_path / "a.json"
    words = ["simulate", "--scenario", "A", "--seeds", "1", "--messages", "200", "--processes", "1"]
    assert main([*words, "--html", str(html), "--json", str(figures)]) == 0
    assert "not judged" in capsys.readouterr().out
    assert "<svg" in html.read_text()
    found = json.loads(figures.read_text())[0]
    assert [figure["exploration"] for figure in found["figures"]] == [1.0] * 4 + [0.1] * 4
    assert found["figures"][0]["mean"] > 0.2


def test_the_command_answers_1_when_something_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = simulation._found(SCENARIOS["C"], 5, noise_runs(100, 91))
    monkeypatch.setattr(simulation, "simulate", lambda *_: [missed])
    assert main(["simulate", "--scenario", "C"]) == 1


def test_a_page_shows_curves_against_what_was_asked() -> None:
    found = simulate(["A"], seeds=1, messages=300)
    made = page("t", simulation.sentences(found), simulation.charts(found), simulation.COLUMNS, simulation.rows(found))
    for said in ("<svg", "exploration 0.1", "oracle", "best fixed", "random", "messages of each segment"):
        assert said in made
    assert "<script" not in made


def test_a_line_chart_puts_higher_values_higher() -> None:
    rising = Line("a & b", [(0.0, 0.0), (1.0, 1.0)])
    chart = LineChart("c", "x", [rising, Line("d", [(0.0, 1.0), (1.0, 1.0)], dashed=True)], [(0.0, 1.0, 0.5)])
    made = page("t", [], [chart], ["n"], [])
    points = made.split('points="')[1].split('"')[0].split()
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in points)
    assert x0 < x1
    assert y0 > y1
    drawing = ElementTree.fromstring(made[made.index("<svg") : made.index("</svg>") + 6])
    assert "a & b" in [text.text for text in drawing.iter("text")]
    assert made.count("stroke-dasharray") == 2
    assert 'class="asked"' in made


def test_a_reference_policy_learns_the_world() -> None:
    a = SCENARIOS["A"]
    traffic = a.traffic(0, 4_200)
    readings = judged(a, traffic, play(LogisticThompson(0), traffic)).readings
    assert readings[0].policy == pytest.approx(0.65, abs=0.06)


@pytest.mark.long
def test_the_reference_policy_comes_as_far_as_it_should() -> None:
    a, found = SCENARIOS["A"], []
    for seed in range(5):
        traffic = a.traffic(seed)
        found.append([r.policy for r in judged(a, traffic, play(LogisticThompson(seed), traffic)).readings])
    means = np.mean(found, axis=0)
    assert means == pytest.approx([0.65, 0.82, 0.915, 0.9625], abs=0.04)


@pytest.mark.long
def test_all_of_a_through_the_product_beats_random_by_far() -> None:
    found = simulate(["A"], seeds=1)[0]
    last = found.figures[3]
    assert last.window == "1,000-2,000"
    assert last.mean > last.random + 0.1
    assert last.verdict in ("met", MISSED)
