from __future__ import annotations

from importlib.util import find_spec

import pytest

from personalization.lab.pages import page
from personalization.lab.policy_bench import LINUCB, PEER, SQUARECB, THOMPSON, PolicyBench, bench_policies


def measured(single: float, batched: float, peer: float | None) -> PolicyBench:
    ours = {SQUARECB: single, LINUCB: 20.0, THOMPSON: 40.0}
    alone = {name: [micros] * 3 for name, micros in ours.items()}
    batches = {SQUARECB: [batched] * 3, LINUCB: [4.0] * 3, THOMPSON: [10.0] * 3}
    if peer is None:
        return PolicyBench(alone, batches, "No module named 'mabwiser'")
    return PolicyBench({**alone, PEER: [peer] * 3}, {**batches, PEER: [3.0] * 3}, "")


def test_rates_and_ratios_follow_from_the_times() -> None:
    document = measured(8.0, 0.5, 160.0).document()
    assert document["batch_per_second"][SQUARECB] == 2_000_000
    assert document["times_peer"][SQUARECB] == {"single": 20.0, "batch": 6.0}
    assert document["met"]


@pytest.mark.parametrize(("single", "batched", "peer"), [(10.5, 0.5, 160.0), (8.0, 1.1, 160.0), (8.0, 0.5, 79.0)])
def test_each_must_that_was_missed_is_said(single: float, batched: float, peer: float) -> None:
    found = measured(single, batched, peer)
    assert not found.met
    assert sum(sentence.endswith("MISSED") for sentence in found.sentences()) == 1
    html = page("Policies", found.sentences(), found.charts(), found.columns(), found.rows())
    assert html.count('<li class="missed">') == 1


def test_without_the_peer_the_rest_is_measured_and_the_reason_said() -> None:
    found = measured(8.0, 0.5, None)
    assert found.met
    assert found.document()["times_peer"] == {}
    assert any("mabwiser was not measured: No module named" in sentence for sentence in found.sentences())
    assert {len(row) for row in found.rows()} == {len(found.columns())}


def test_every_policy_is_measured_alone_and_in_batches() -> None:
    seen: list[tuple[int, int]] = []
    found = bench_policies(rounds=1, seconds=0.001, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == len(found.single)
    assert set(found.single) == set(found.batched) >= {SQUARECB, LINUCB, THOMPSON}
    assert all(micros > 0.0 for costs in (*found.single.values(), *found.batched.values()) for micros in costs)
    assert (PEER in found.single) == (find_spec("mabwiser") is not None)
