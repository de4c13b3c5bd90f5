"""A tenant's own log as the judge of other policies, the same on every store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from personalization.bootstrap import House, build_house, opened_storage, with_secrets
from personalization.cli import main
from personalization.clock import DAY, SECOND, ManualClock, instant
from personalization.errors import SupportThin
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.operations.judging import Judgement, judge
from personalization.settings import DEVELOPMENT, settings_from
from personalization.vocabulary import EventType

NOW = instant("2026-11-23T10:00:00Z")
#: How often each kind of person clicks on each variant, and how often it comes.
RATES = {"x": {"a": 0.6, "b": 0.3}, "y": {"a": 0.1, "b": 0.4}}
ALWAYS = {"a": (0.6 + 0.1) / 2, "b": (0.3 + 0.4) / 2}
BEST = (0.6 + 0.4) / 2
TEMPLATE = {
    "template_id": "offer",
    "channels": ["email"],
    "variants": [{"variant_id": v, "content": {"en": {"subject": v}}} for v in "ab"],
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def lived(house: House, clock: ManualClock, rounds: int = 30, pause: int = SECOND // 100, **config: object) -> None:
    """A round of 2 people, then rounds of 40, who click by RATES. A policy is published at most once a second, so with the
    short pause the first one, which knows hardly anything, makes all decisions while the learner goes on learning."""
    service, rng = house.service("acme"), np.random.default_rng(1)
    service.create_template(TEMPLATE)
    service.patch_config({"exploration": 1.0, **config})
    for round_ in range(rounds + 1):
        requests = [asked(f"{round_}-{i}", "xy"[i % 2]) for i in range(40 if round_ else 2)]
        events = []
        for i, answer in enumerate(service.personalize_many(requests)):
            document: Mapping[str, object] = answer.document  # type: ignore[union-attr]
            if rng.random() < RATES["xy"[i % 2]][str(document["variant_id"])]:
                events.append(clicked(document, clock.now()))
        service.record(events)
        clock.advance(pause)
        while house.followers.step():
            pass


def asked(user_id: str, kind: str) -> PersonalizationRequest:
    return PersonalizationRequest(
        tenant_id="acme", user_id=user_id, template_id="offer", context={"kind": kind}, require_real_time=True, render=False
    )


def clicked(document: Mapping[str, object], at: int) -> EngagementEvent:
    return EngagementEvent(
        event_id=str(document["decision_id"]),
        type=EventType.CLICKED,
        user_id=str(document["user_id"]),
        occurred_at=at,
        decision_id=str(document["decision_id"]),
    )


def by_name(found: list[Judgement]) -> dict[str, Judgement]:
    return {one.candidate: one for one in found}


def test_variants_and_what_was_learned_are_judged_by_what_came_after(house: House, clock: ManualClock) -> None:
    lived(house, clock)
    found = by_name(judge(house.storage, "acme", clock.now() + 2 * DAY))
    assert set(found) == {"always a", "always b", "policy learned before T"}
    for variant, truth in ALWAYS.items():
        estimate = found[f"always {variant}"].estimate
        assert estimate is not None
        assert abs(estimate.value - truth) < 5 * estimate.standard_error < 0.2
        assert (found[f"always {variant}"].decisions, estimate.rows) == (1_202, 1_202)
    learned = found["policy learned before T"]
    assert learned.estimate is not None
    assert learned.decisions == 640
    assert abs(learned.estimate.value - BEST) < 5 * learned.estimate.standard_error < 0.25
    assert learned.estimate.value > learned.logged.value + 0.02
    assert learned.document()["estimate"]["value"] == learned.estimate.value


def test_decisions_count_only_once_their_wait_is_over(house: House, clock: ManualClock) -> None:
    lived(house, clock, rounds=4, pause=SECOND)
    with pytest.raises(SupportThin):
        judge(house.storage, "acme", clock.now() + DAY - 10 * SECOND)
    found = by_name(judge(house.storage, "acme", NOW + DAY + 3 * SECOND))
    assert found["always a"].decisions == 122


def test_holdouts_discarded_and_inactive_decisions_are_no_evidence(house: House, clock: ManualClock) -> None:
    lived(house, clock, rounds=10, holdout=0.5)
    online = house.service("acme").overview(None, None, None)["lift"]["holdout_users"]
    found = by_name(judge(house.storage, "acme", clock.now() + 2 * DAY))
    assert found["always a"].decisions == 402 - online
    assert 100 < online < 300


def test_where_the_log_never_tried_a_variant_it_refuses_to_tell(house: House, clock: ManualClock) -> None:
    lived(house, clock, pause=SECOND, exploration=0.001)
    found = by_name(judge(house.storage, "acme", clock.now() + 2 * DAY, template_id="offer"))
    refused = [one for one in found.values() if one.estimate is None]
    assert refused
    assert all("cannot judge" in str(one.refusal) for one in refused)
    assert all(one.document()["estimate"] is None for one in refused)


def test_an_unknown_template_or_an_empty_log_is_said(house: House, clock: ManualClock) -> None:
    with pytest.raises(SupportThin):
        judge(house.storage, "acme", clock.now())
    lived(house, clock, rounds=3)
    with pytest.raises(SupportThin):
        judge(house.storage, "acme", clock.now() + 2 * DAY, template_id="other")


def test_the_command_judges_a_tenants_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "JWT_SECRET_KEY", "ENCRYPTION_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("APP_ENV", DEVELOPMENT)
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    settings, clock = with_secrets(settings_from()), ManualClock(instant("2020-01-06T10:00:00Z"))
    house = build_house(settings, clock, opened_storage(settings, clock))
    house.storage.tenants.create("acme", clock.now())
    lived(house, clock, rounds=8)
    house.orchestrator.close()
    house.close()
    file = tmp_path / "found.json"
    assert main(["evaluate", "--tenant", "acme", "--template", "offer", "--json", str(file)]) == 0
    assert "offer: always b" in capsys.readouterr().out
    found = json.loads(file.read_text())
    assert [one["candidate"] for one in found] == ["always a", "always b", "policy learned before T"]
    assert found[0]["estimate"]["low"] <= found[0]["estimate"]["value"] <= found[0]["estimate"]["high"]
    assert main(["evaluate", "--tenant", "acme", "--at", "2021-01-01T00:00:00Z"]) == 0
    assert "learned before" not in capsys.readouterr().out
    assert main(["evaluate", "--tenant", "acme", "--template", "other"]) == 2
    assert "no such template has 100 decisions" in capsys.readouterr().err
