"""Decisions made while the learner publishes, fetched by a new process after more learning: each the same, each replayed.

On a SQLite file, through the service: several templates and inline messages, all service levels, methods and modes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest

from personalization.bootstrap import House, build_house
from personalization.clock import HOUR, MINUTE, ManualClock, instant
from personalization.core import Ask
from personalization.messages import EngagementEvent, PersonalizationRequest, PersonalizationResponse, SendWindow
from personalization.service import SERVICE_LEVELS, PersonalizationService
from personalization.settings import DEVELOPMENT, Settings
from personalization.vocabulary import EventType, FallbackReason, ServiceLevel
from tests.faults.conftest import KEYS, ROOT

BATCH, PEOPLE = 25, 40
NOW = instant("2026-11-23T10:00:00Z")

#: What a new process says of every decision in the file: differences from its first answer, and its replay.
LOOK = """
import json, sys
from tests.faults.test_replays import opened
path, now = sys.argv[1:]
house = opened(path, int(now))
service, found = house.service("acme"), []
with open(path + ".jsonl") as answers:
    for line in answers:
        answer = json.loads(line)
        again = json.loads(json.dumps(service.decision(answer["decision_id"], replay=True)))
        differing = [name for name in answer if again.get(name) != answer[name]]
        found.append((answer["decision_id"], differing, sorted(again.keys() - answer.keys()), again["replay"]))
house.close()
print(json.dumps(found))
"""


def opened(path: str, now: int) -> House:
    settings = Settings(
        app_env=DEVELOPMENT,
        database_url=f"sqlite:///{path}",
        state_dir=str(Path(path).parent),
        jwt_secret_key="x" * 64,
        encryption_keys=KEYS,
    )
    house = build_house(settings, ManualClock(now))
    house.book.refresh()
    return house


# -- what is asked ---------------------------------------------------------------------------------------------------


NAME = "{{ user.name | default: 'you' }}"


def template(template_id: str, variants: str, channels: list[str], text: str = NAME) -> dict[str, Any]:
    """text: of every variant but the baseline."""
    return {
        "template_id": template_id,
        "channels": channels,
        "variants": [
            {
                "variant_id": v,
                "features": {"tone": "warm" if v < "c" else "dry"},
                "content": {"en": {"text": f"{v} {text if v > 'a' else NAME}"}},
            }
            for v in variants
        ],
    }


TEMPLATES = (
    template("offer", "abc", ["email", "push", "in_app"]),
    template("welcome", "ab", ["email"]),
    template("digest", "abcdef", ["in_app", "push"], "{{ place }} {{ 'now' | date: '%H:%M' }}"),
    template("broken", "ab", ["email", "push"], "{{ 5 | divided_by: left }}"),
)

#: How decisions of a life come about, among others (suppressed for fatigue, and more).
EVERY_KIND = {
    *("online", "greedy", "holdout", "apprentice", "baseline", "fallback: deadline_missed", "fallback: rendering_failed"),
    *("suppressed: holdout", "suppressed: duplicate", "suppressed: frequency_capped"),
}

#: Patches of the tenant's configuration, one after the other, each for a while.
CONFIGS: tuple[dict[str, Any], ...] = (
    {"exploration": 0.3, "holdout": 0.3},
    {"policy": "squarecb", "service_level": "premium"},
    {"learning_mode": "apprentice"},
    {"learning_mode": "online", "policy": "linucb", "service_level": "standard"},
    {"exploration": 0.0, "service_level": "enterprise", "policy": "thompson"},
    {"exploration": 1.0, "quiet_hours": {"start": "20:00", "end": "08:00"}, "holdout_no_send": 0.3},
    {"service_level": "basic", "holdout_no_send": 0.0},
    {
        "service_level": "quantum",
        "quiet_hours": None,
        "frequency_caps": [{"limit": 1, "period": "P1D"}],
        "budgets": [{"channel": "email", "limit": 9, "period": "P1D"}],
    },
)


def person(n: int) -> dict[str, Any]:
    return {
        "attributes": {"name": f"Näme {n}"},
        "traits": {"plan": ("pro", "free", "team")[n % 3], "age": 20 + n},
        "language": ("en", "de", "fr")[n % 3],
        "timezone": ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")[n % 4],
        "channel_preferences": {"push": round(n / PEOPLE, 3)},
        "reachability": {"email": n % 7 != 0, "push": n % 11 != 0},
        "timing_preferences": {"preferred_hours": [n % 24]},
    }


def wanted(n: int, now: int) -> PersonalizationRequest:
    """The n-th question, unlike its neighbours in all that it may be."""
    what: dict[str, Any] = {"template_id": TEMPLATES[n % 4]["template_id"]}
    if n % 9 == 8:
        what = {"content": {"subject": "Hi", "text": "{{ place }} for {{ user.name | default: 'you' }}"}}
    return PersonalizationRequest(
        tenant_id="acme",
        user_id=None if n % 13 == 12 else f"u{n * 7 % (PEOPLE + 5)}",
        context={"place": f"p{n % 5}", "device": ("phone", "tv")[n % 2], "battery": n % 100 / 100, "left": n % 3},
        require_real_time=n % 3 == 0,
        send_window=SendWindow(earliest=now + HOUR, latest=now + 30 * HOUR) if n % 6 == 1 else None,
        min_quality_score=0.99 if n % 17 == 0 else None,
        category="transactional" if n % 10 == 4 else None,
        message_id=f"m{n % 9}" if n % 5 == 2 and n % 13 != 12 else None,
        explain=n % 4 == 0,
        activate=n % 19 != 3,
        decision_id=f"mine-{n}" if n % 8 == 5 else None,
        **what,
    )


def engagement(answer: dict[str, Any], n: int, now: int) -> list[EngagementEvent]:
    """Of one decision in two; now and then somebody leaves."""
    if n % 2 or answer["user_id"] is None or answer["action"] != "send":
        return []
    kind = EventType.UNSUBSCRIBED if n % 46 == 0 else (EventType.CLICKED, EventType.OPENED, EventType.CONVERTED)[n % 3]
    cited = {"decision_id": answer["decision_id"], "user_id": answer["user_id"]}
    return [EngagementEvent(event_id=f"e-{answer['decision_id']}", type=kind, occurred_at=now, value=3.0, **cited)]


# -- how it is lived -------------------------------------------------------------------------------------------------


class Life:
    """A house on a file, its people, and every first answer written down beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.house = path, opened(str(path), NOW)
        self.house.storage.tenants.create("acme", NOW)
        self.service: PersonalizationService = self.house.service("acme")
        for document in TEMPLATES:
            self.service.create_template(document)
        self.service.put_profiles([(f"u{n}", person(n)) for n in range(PEOPLE)])
        self.numbers: Iterator[int] = iter(range(1 << 40))

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self.house.clock, ManualClock)
        return self.house.clock

    def decide(self, fallback: FallbackReason | None) -> list[dict[str, Any]]:
        level = ServiceLevel(self.service.config()["service_level"])
        numbers = list(islice(self.numbers, BATCH))
        asks = [
            Ask(
                request=wanted(n, self.clock.now()),
                level=level,
                capabilities=SERVICE_LEVELS[level],
                arrived=self.clock.monotonic(),
                fallback=fallback,
            )
            for n in numbers
        ]
        answers = self.house.engine.decide(asks)
        documents = [dict(a.document) for a in answers if isinstance(a, PersonalizationResponse)]
        assert len(documents) == len(asks), [a for a in answers if not isinstance(a, PersonalizationResponse)]
        self.service.record(
            [event for n, d in zip(numbers, documents, strict=True) for event in engagement(d, n, self.clock.now())]
        )
        return documents

    def learn(self) -> None:
        self.clock.advance(20 * MINUTE)
        self.house.followers.step()


def live(path: Path, decisions: int) -> tuple[Counter[str], int]:
    """So many decisions under changing configurations, then more learning; the kinds and the last snapshot's number."""
    life, kinds, configs = Life(path), Counter[str](), cycle(CONFIGS)
    batches = max(decisions // BATCH // (2 * len(CONFIGS)), 1)
    with Path(f"{path}.jsonl").open("w") as file:
        for n in range(decisions // BATCH):
            if n % batches == 0:
                life.service.patch_config(next(configs))
            for answer in life.decide(FallbackReason.DEADLINE if n % 10 == 7 else None):
                kinds[kind(answer)] += 1
                file.write(json.dumps(answer) + "\n")
            life.learn()
    life.service.patch_config({**CONFIGS[0], "service_level": "enterprise", "learning_mode": "online"})
    for _ in range(8):
        life.decide(None)
        life.learn()
    snapshots = max(int(model["version"]) for model in life.service.models(10, None)["items"])
    life.house.close()
    return kinds, snapshots


def kind(answer: dict[str, Any]) -> str:
    if answer["action"] == "suppress":
        return f"suppressed: {answer['suppression']['reason']}"
    return f"fallback: {answer['fallback_reason']}" if answer["fallback"] else str(answer["policy"]["mode"])


def looked_at_again(path: Path) -> list[tuple[str, list[str], list[str], dict[str, Any]]]:
    """By a process that has never seen this house."""
    later = str(NOW + 1_000 * HOUR)
    looking = subprocess.run([sys.executable, "-c", LOOK, str(path), later], cwd=ROOT, capture_output=True, text=True)
    assert looking.returncode == 0, looking.stderr
    return [tuple(row) for row in json.loads(looking.stdout)]


@pytest.mark.parametrize("decisions", [500, pytest.param(10_000, marks=pytest.mark.long)])
def test_decisions_are_the_same_after_learning_and_a_restart(tmp_path: Path, decisions: int) -> None:
    path = tmp_path / "house.db"
    kinds, snapshots = live(path, decisions)
    assert kinds.keys() >= EVERY_KIND, kinds
    assert snapshots >= decisions // BATCH
    found = looked_at_again(path)
    assert len(found) == decisions
    same = {"identical": True, "differences": [], "reason": None}
    assert [row for row in found if row[1] or row[2] != ["inputs_digest", "replay", "status"] or row[3] != same] == []
