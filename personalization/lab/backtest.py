"""Backtests: a randomised log of real people run through the whole product, by one-pass rejection replay.

For each row in turn the product decides. Where it chose what the person was really given, the decision is activated and
what they did is reported as its reward; elsewhere the decision is discarded. The mean reward of the accepted rows
estimates what the product would have earned while it learned (Li et al. 2011).
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from statistics import fmean, stdev
from typing import Any, Protocol

import numpy as np

from personalization.bootstrap import House, memory_house
from personalization.client import Client
from personalization.clock import SECOND, ManualClock, instant
from personalization.errors import PersonalizationError
from personalization.lab.datasets import TrialLog
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.profile import PersonalizationProfile
from personalization.service import PersonalizationService
from personalization.vocabulary import EventType

#: Share of the way from random to the best fixed arm that the product must go.
MUST = 0.85
#: Rows that arrive in one simulated second in process, and in one call over HTTP.
ROWS_A_SECOND, ROWS_A_CALL = 40, 100

_PROFILES_A_CALL = 1_000
_START = instant("2026-01-05T09:00:00Z")
_NORMAL_95 = 1.959964
_TENANT, _TEMPLATE, _CHANNEL = "backtest", "trial", "email"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Choice:
    """What the product decided for a row."""

    row: int
    decision_id: str
    arm: int
    at: str


class Door(Protocol):
    """The product, as a backtest meets it: in this process or over HTTP."""

    rows_a_call: int

    def prepare(self, log: TrialLog) -> None:
        """Profiles and the template; called once, before anything is decided."""
        ...

    def decide(self, rows: Sequence[int]) -> list[Choice]:
        """One inactive decision a row, in order."""
        ...

    def settle(self, accepted: Sequence[Choice], discarded: Sequence[Choice], rewards: Sequence[float]) -> None:
        """Activate and reward the accepted ones, discard the others, and let the product learn."""
        ...


def replay(log: TrialLog, order: Sequence[int], door: Door, progress: Progress = lambda done, total: None) -> list[float]:
    """One pass over the rows in that order: the rewards of the accepted ones."""
    door.prepare(log)
    earned: list[float] = []
    done = 0
    for rows in _chunks(order, door.rows_a_call):
        choices = door.decide(rows)
        accepted = [c for c in choices if c.arm == log.given[c.row]]
        rewards = [log.rewards[c.row] for c in accepted]
        door.settle(accepted, [c for c in choices if c.arm != log.given[c.row]], rewards)
        earned += rewards
        done += len(rows)
        progress(done, len(order))
    return earned


# -- in process ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """mean and standard_error: of the mean reward of accepted rows, over the permutations."""

    log: str
    rows: int
    permutations: int
    accepted: float
    mean: float
    standard_error: float
    random: float
    best_fixed: float
    best_arm: str

    @property
    def share(self) -> float:
        """How far from random (0) to the best fixed arm (1) the product came, its learning included."""
        return (self.mean - self.random) / (self.best_fixed - self.random)

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "share": self.share, "must": MUST, "met": self.share >= MUST}


def backtest(log: TrialLog, permutations: int, seed: int = 7, progress: Progress = lambda done, total: None) -> Backtest:
    """Replay the log through a fresh house for each of so many random orders."""
    rng = np.random.default_rng(seed)
    total = permutations * len(log)
    runs = []
    for i in range(permutations):
        order = rng.permutation(len(log)).tolist()
        with collector_at_rest(), InProcess() as door:
            runs.append(replay(log, order, door, lambda done, _, i=i: progress(i * len(log) + done, total)))  # type: ignore[misc]
    means = [fmean(run) if run else 0.0 for run in runs]
    return Backtest(
        log=log.name,
        rows=len(log),
        permutations=permutations,
        accepted=fmean(map(len, runs)),
        mean=fmean(means),
        standard_error=stdev(means) / math.sqrt(permutations) if permutations > 1 else 0.0,
        random=log.mean(),
        best_fixed=log.mean(log.best_arm()),
        best_arm=log.arms[log.best_arm()],
    )


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """A pass makes lasting objects and hardly a cycle; looking for cycles among them takes a fifth of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


class InProcess:
    """A house in memory whose clock is the log's: rows come at a steady pace and the followers keep up with them."""

    rows_a_call = ROWS_A_SECOND

    def __init__(self, house: House | None = None) -> None:
        self._clock = ManualClock(_START)
        self._house = house or memory_house(clock=self._clock)
        self._house.storage.tenants.create(_TENANT, _START)
        self._service: PersonalizationService = self._house.service(_TENANT)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._house.orchestrator.close()
        self._house.close()

    def prepare(self, log: TrialLog) -> None:
        self._arms = {arm: i for i, arm in enumerate(log.arms)}
        self._service.create_template(template_of(log, _TEMPLATE))
        for page in _chunks(enumerate(log.traits), _PROFILES_A_CALL):
            self._save(page)
        self._follow()

    def decide(self, rows: Sequence[int]) -> list[Choice]:
        asked = self._service.personalize_many([self._request(row) for row in rows])
        return [self._choice(row, answer) for row, answer in zip(rows, asked, strict=True)]

    def settle(self, accepted: Sequence[Choice], discarded: Sequence[Choice], rewards: Sequence[float]) -> None:
        for choice in accepted:
            self._service.activate(choice.decision_id)
        for choice in discarded:
            self._service.discard(choice.decision_id)
        self._service.record([self._event(choice, reward) for choice, reward in zip(accepted, rewards, strict=True)])
        self._clock.advance(SECOND)
        self._follow()

    def _save(self, page: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Profiles straight into the store: they are the setting, not what is measured."""
        now, storage = self._clock.now(), self._house.storage
        refs = storage.users.resolve(_TENANT, [_user(row) for row, _ in page], now, create=True)
        profiles = [PersonalizationProfile(tenant_id=_TENANT, user_ref=refs[_user(row)], traits=traits) for row, traits in page]
        storage.profiles.save_many(profiles, "backtest", now)

    def _follow(self) -> None:
        while self._house.followers.step():
            pass

    def _request(self, row: int) -> PersonalizationRequest:
        return PersonalizationRequest(
            tenant_id=_TENANT,
            user_id=_user(row),
            template_id=_TEMPLATE,
            channels=(_CHANNEL,),
            require_real_time=True,
            render=False,
            activate=False,
        )

    def _choice(self, row: int, answer: Any) -> Choice:
        if isinstance(answer, PersonalizationError):
            raise answer
        document = answer.document
        return Choice(row, document["decision_id"], self._arms[document["variant_id"]], document["optimal_timing"])

    def _event(self, choice: Choice, reward: float) -> EngagementEvent:
        return EngagementEvent(
            event_id=choice.decision_id,
            type=EventType.REWARDED,
            user_id=_user(choice.row),
            occurred_at=self._clock.now(),
            decision_id=choice.decision_id,
            value=reward,
        )


# -- over HTTP -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LiveBacktest:
    """One pass against a running server; low and high: the 95 % interval (normal) of the mean over the accepted rows."""

    log: str
    rows: int
    accepted: int
    mean: float
    low: float
    high: float
    random: float
    best_fixed: float
    best_arm: str

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.low > self.random}


def live_backtest(
    log: TrialLog, client: Client, run: str, seed: int = 7, progress: Progress = lambda done, total: None
) -> LiveBacktest:
    """Replay the log once through a running server. run: a name that no earlier run on that server had."""
    order = np.random.default_rng(seed).permutation(len(log)).tolist()
    earned = replay(log, order, OverHttp(client, f"{log.name}-{run}"), progress)
    mean = fmean(earned) if earned else 0.0
    half = _NORMAL_95 * (stdev(earned) / math.sqrt(len(earned)) if len(earned) > 1 else math.inf)
    return LiveBacktest(
        log=log.name,
        rows=len(log),
        accepted=len(earned),
        mean=mean,
        low=mean - half,
        high=mean + half,
        random=log.mean(),
        best_fixed=log.mean(log.best_arm()),
        best_arm=log.arms[log.best_arm()],
    )


class OverHttp:
    """A running server, whose learner follows its own clock."""

    rows_a_call = ROWS_A_CALL

    def __init__(self, client: Client, name: str) -> None:
        self._client, self._name = client, name

    def prepare(self, log: TrialLog) -> None:
        self._arms = {arm: i for i, arm in enumerate(log.arms)}
        self._client.create_template(template_of(log, self._name))
        people = ({"user_id": self._user(row), "traits": traits} for row, traits in enumerate(log.traits))
        for page in _chunks(people, _PROFILES_A_CALL // 2):
            self._client.put_profiles(page)

    def decide(self, rows: Sequence[int]) -> list[Choice]:
        asked = self._client.batch([self._request(row) for row in rows])
        return [self._choice(row, result) for row, result in zip(rows, asked, strict=True)]

    def settle(self, accepted: Sequence[Choice], discarded: Sequence[Choice], rewards: Sequence[float]) -> None:
        for choice in accepted:
            self._client.activate(choice.decision_id)
        for choice in discarded:
            self._client.discard(choice.decision_id)
        events = [self._event(choice, reward) for choice, reward in zip(accepted, rewards, strict=True)]
        receipt = self._client.record(events) if events else {"rejected": []}
        if receipt["rejected"]:
            raise PersonalizationError(f"The server rejected a reward: {receipt['rejected'][0]}")

    def _request(self, row: int) -> dict[str, Any]:
        return {
            "user_id": self._user(row),
            "template_id": self._name,
            "channels": [_CHANNEL],
            "require_real_time": True,
            "render": False,
            "activate": False,
        }

    def _choice(self, row: int, result: Mapping[str, Any]) -> Choice:
        if result["status"] != 200:
            raise PersonalizationError(f"The server did not decide: {result['problem'].get('detail')}")
        decision = result["decision"]
        if decision["variant_id"] is None:
            raise PersonalizationError(f"The server suppressed a message ({decision['suppression']['reason']}): no replay.")
        return Choice(row, decision["decision_id"], self._arms[decision["variant_id"]], decision["optimal_timing"])

    def _event(self, choice: Choice, reward: float) -> dict[str, Any]:
        return {
            "event_id": f"{choice.decision_id}-reward",
            "type": "rewarded",
            "user_id": self._user(choice.row),
            "occurred_at": choice.at,
            "decision_id": choice.decision_id,
            "value": reward,
        }

    def _user(self, row: int) -> str:
        return f"{self._name}-{row}"


def template_of(log: TrialLog, template_id: str) -> dict[str, Any]:
    """One variant an arm; what it says does not matter to a replay."""
    return {
        "template_id": template_id,
        "name": f"Arms of {log.name}",
        "channels": [_CHANNEL],
        "variants": [{"variant_id": arm, "content": {"en": {"subject": arm, "text": arm}}} for arm in log.arms],
    }


def _user(row: int) -> str:
    return f"customer-{row}"


def _chunks(items: Any, size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
