"""The product in this process, as a simulation meets it: people, one template, decisions, rewards, a clock that is handed in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from random import Random
from typing import Any

import msgspec

from personalization.bootstrap import memory_house
from personalization.clock import DAY, HOUR, ManualClock, instant
from personalization.core import Ask
from personalization.deciding.record import Inputs, Record, Triple, decode_record
from personalization.deciding.stages import draw_many
from personalization.errors import PersonalizationError
from personalization.lab.world import CHANNELS, HOURS, VARIANTS, action_number
from personalization.learning.policy import Policy
from personalization.messages import EngagementEvent, LogEntry, PersonalizationRequest, SendWindow
from personalization.models.base import Case, Examples
from personalization.operations.examples import examples
from personalization.profile import DECIDED, PersonalizationProfile
from personalization.service import SERVICE_LEVELS
from personalization.vocabulary import EventType, ServiceLevel, Suppression

START = instant("2026-01-05T00:00:00Z")

_TENANT, _TEMPLATE = "simulation", "message"
_LEVEL = ServiceLevel.ENTERPRISE
_CHANNELS = ("email", "push", "in_app")
_PROFILES_A_CALL = _ROWS_A_PAGE = 1_000
#: There is nothing to come back to, and a checkpoint of everything at every message would take most of the time.
_NEVER = 1_000 * DAY
assert len(_CHANNELS) == CHANNELS


class Choice(msgspec.Struct, frozen=True):
    """action : its number in the world, None when nothing is sent
    at     : when it was decided
    held   : whether nothing is sent because this person is in the holdout
    """

    user: int
    decision_id: str
    action: int | None
    at: int
    held: bool = False


class Event(msgspec.Struct, frozen=True):
    """value: of a `rewarded` event, None for the others."""

    choice: Choice
    type: EventType
    value: float | None = None


class Product:
    """A house in memory. The same seed and the same calls give the same decisions.

    config : a patch of the tenant's configuration
    """

    def __init__(self, seed: str, config: Mapping[str, Any]) -> None:
        self._clock, ids = ManualClock(START), count()
        self._house = memory_house(
            clock=self._clock, token=Random(seed).randbytes, new_id=lambda: f"{seed}-{next(ids)}", checkpoint_every=_NEVER
        )
        self._house.storage.tenants.create(_TENANT, START)
        self._service = self._house.service(_TENANT)
        self._service.patch_config(config)
        self._service.create_template(_template())

    def __enter__(self) -> Product:
        return self

    def __exit__(self, *_: object) -> None:
        self._house.orchestrator.close()
        self._house.close()

    def people(self, segments: Sequence[int | None]) -> None:
        """Users 0, 1, …, each with the trait `segment` unless it is None. Straight into the store: they are the setting."""
        rows = enumerate(segments)
        while page := list(islice(rows, _PROFILES_A_CALL)):
            self._save(page)
        while self._house.followers.step():
            pass

    def clock(self, now: int) -> None:
        self._clock.set(now)

    def decide(self, users: Sequence[int]) -> list[Choice]:
        """One decision each, with the 24 full hours from the next one on to choose from.

        On the caller's thread: handing a single message to a queue's worker and back costs a fifth of its time.
        """
        now = self._clock.now()
        answers = self._house.engine.decide([self._ask(user, now) for user in users])
        return [_choice(user, answer, now) for user, answer in zip(users, answers, strict=True)]

    def learn(self, events: Sequence[Event]) -> None:
        """Record what happened at those decisions' times, and let the followers take it in.

        One look of theirs is enough for all that the learner knows; what it appends itself says nothing of behaviour.
        """
        receipt = self._service.record([_engagement(event) for event in events])
        if receipt.rejected:
            raise PersonalizationError(f"The product rejected a reward: {receipt.rejected[0]}")
        self._house.followers.step()

    def lift(self) -> Mapping[str, float | None]:
        """As GET /insights/overview has it, over everything so far."""
        found: Mapping[str, float | None] = self._service.overview(START, self._clock.now() + 1, None)["lift"]
        return found

    def policy(self) -> Policy:
        """What it decides with at present."""
        return self._house.book.current(_TENANT, f"variants:{_TEMPLATE}")

    def records(self) -> list[Record]:
        """Of all decisions, in their order."""
        return [decode_record(row.record) for row in self._log() if row.type == DECIDED and row.record is not None]

    def examples(self, now: int) -> Examples:
        """Its sends as cases that models are taught by, as at `now`."""
        return examples(self._house.storage, _TENANT, Case.SEND, now)

    def _log(self) -> Iterator[LogEntry]:
        seq = 0
        while page := self._house.storage.log.read(_TENANT, seq, _ROWS_A_PAGE):
            yield from page
            seq = page[-1].seq

    def _save(self, page: Sequence[tuple[int, int | None]]) -> None:
        now, storage = self._clock.now(), self._house.storage
        refs = storage.users.resolve(_TENANT, [_user(n) for n, _ in page], now, create=True)
        profiles = [
            PersonalizationProfile(tenant_id=_TENANT, user_ref=refs[_user(n)], timezone="UTC", traits=_traits(segment))
            for n, segment in page
        ]
        storage.profiles.save_many(profiles, "simulation", now)

    def _ask(self, user: int, now: int) -> Ask:
        earliest = -(-now // HOUR) * HOUR
        request = PersonalizationRequest(
            tenant_id=_TENANT,
            user_id=_user(user),
            template_id=_TEMPLATE,
            send_window=SendWindow(earliest=earliest, latest=earliest + DAY),
            render=False,
        )
        return Ask(request=request, level=_LEVEL, capabilities=SERVICE_LEVELS[_LEVEL], arrived=self._clock.monotonic())


def certain(records: Sequence[Record], policy: Policy) -> list[int | None]:
    """What that policy would send in place of each decision without exploring; None where it would not."""
    outcomes = draw_many([record.inputs for record in records], lambda *_: policy)
    return [_action(record.inputs, outcome.greedy) for record, outcome in zip(records, outcomes, strict=True)]


def _action(inputs: Inputs, triple: Triple | None) -> int | None:
    """Its number in the world, where zones are UTC."""
    if triple is None:
        return None
    channel = _CHANNELS.index(inputs.channels[triple.channel].name)
    return action_number(_number(inputs.candidates[triple.variant].variant_id), channel, inputs.hours[triple.slot] % HOURS)


def _number(variant_id: str) -> int:
    return ord(variant_id) - ord("a")


def _template() -> dict[str, Any]:
    """What the variants say does not matter here."""
    names = "abcdefgh"[:VARIANTS]
    return {
        "template_id": _TEMPLATE,
        "name": "Simulated message",
        "channels": list(_CHANNELS),
        "variants": [{"variant_id": name, "content": {"en": {"subject": name, "text": name}}} for name in names],
    }


def _traits(segment: int | None) -> dict[str, str]:
    return {} if segment is None else {"segment": f"s{segment}"}


def _choice(user: int, answer: Any, now: int) -> Choice:
    if isinstance(answer, PersonalizationError):
        raise answer
    document = answer.document
    if document["action"] != "send":
        return Choice(user, document["decision_id"], None, now, document["suppression"]["reason"] == Suppression.HOLDOUT)
    variant, hour = _number(document["variant_id"]), int(document["optimal_timing"][11:13])
    channel = _CHANNELS.index(document["optimal_channels"][0])
    return Choice(user, document["decision_id"], action_number(variant, channel, hour), now)


def _engagement(event: Event) -> EngagementEvent:
    return EngagementEvent(
        event_id=f"{event.choice.decision_id}-{event.type}",
        type=event.type,
        user_id=_user(event.choice.user),
        occurred_at=event.choice.at,
        decision_id=event.choice.decision_id,
        value=event.value,
    )


def _user(number: int) -> str:
    return f"user-{number}"
