"""The demo's people: five hundred simulated users, and a simulation of what they do with the messages they get.

Everything about them is drawn from one seed. What they like is hidden from the product, which has to learn it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import count
from threading import Event, Thread
from typing import Any

import numpy as np

from personalization.clock import DAY, HOUR, MINUTE, SECOND, Clock, hour_of_week, instant, utc_offset, zone
from personalization.errors import Conflict, NotFound, PersonalizationError
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.service import PersonalizationService
from personalization.vocabulary import EventType, Priority

log = logging.getLogger(__name__)

PEOPLE = 500
SEED = 20_260_105

#: language -> (first names, time zones with country)
_PLACES: Mapping[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "en": (
        ("Ada", "Amara", "Chidi", "Fatima", "Grace", "Hiro", "James", "Mei", "Noah", "Olivia", "Priya", "Rohan", "Zanele"),
        (
            ("Europe/London", "GB"),
            ("America/New_York", "US"),
            ("America/Los_Angeles", "US"),
            ("Asia/Kolkata", "IN"),
            ("Africa/Lagos", "NG"),
            ("Australia/Sydney", "AU"),
        ),
    ),
    "de": (
        ("Anna", "Emre", "Greta", "Jonas", "Jürgen", "Leyla", "Lukas", "Maximiliane", "Sören", "Zoë"),
        (("Europe/Berlin", "DE"), ("Europe/Vienna", "AT"), ("Europe/Zurich", "CH")),
    ),
    "fr": (
        ("Aïcha", "Camille", "Chloé", "Élodie", "François", "Hugo", "Inès", "Mamadou", "Manon", "Théo"),
        (("Europe/Paris", "FR"), ("America/Montreal", "CA"), ("Africa/Dakar", "SN")),
    ),
    "es": (
        ("Alejandro", "Begoña", "Camila", "Diego", "Guadalupe", "Íñigo", "Lucía", "Mateo", "Sofía", "Xiomara"),
        (("Europe/Madrid", "ES"), ("America/Mexico_City", "MX"), ("America/Bogota", "CO"), ("America/Buenos_Aires", "AR")),
    ),
    "pt-BR": (
        ("Beatriz", "Caio", "Heloísa", "João", "Larissa", "Luiz", "Thaís", "Vinícius"),
        (("America/Sao_Paulo", "BR"), ("America/Recife", "BR")),
    ),
}
_LANGUAGE_SHARES = (("en", 0.4), ("de", 0.2), ("fr", 0.15), ("es", 0.15), ("pt-BR", 0.1))
_PLAN_SHARES = (("free", 0.55), ("pro", 0.35), ("team", 0.1))
_SEGMENT_SHARES = (("bargain", 0.4), ("loyal", 0.35), ("sleepy", 0.25))
_TOPICS = ("art", "books", "cooking", "music", "running", "travel")
_CHANNELS = ("email", "push", "in_app", "sms")
_RHYTHMS = ((8, 12), (12, 18), (19, 21))


@dataclass(frozen=True, kw_only=True)
class Person:
    """sections: the declared profile. The rest is hidden from the product.

    segment : how they react to tone          hours : local hours in which they look at messages
    channel : where they react most
    """

    user_id: str
    sections: Mapping[str, Any]
    segment: str
    channel: str
    hours: tuple[int, ...]

    @property
    def timezone(self) -> str:
        return str(self.sections["timezone"])


def population(size: int = PEOPLE, seed: int = SEED) -> list[Person]:
    """The same people for the same seed. The first one speaks English, is reachable everywhere and has no quiet hours."""
    rng = np.random.default_rng(seed)
    return [_first(), *(_person(rng, number) for number in range(2, size + 1))]


def samples() -> list[dict[str, Any]]:
    """The demo's templates, as POST /personalization/templates takes them."""
    folder = files("personalization") / "lab" / "samples"
    return [json.loads(file.read_text("utf-8")) for file in sorted(folder.iterdir(), key=str) if file.name.endswith(".json")]


def _first() -> Person:
    return Person(
        user_id="user-001",
        sections={
            "attributes": {"first_name": "Ada", "email": "ada@example.org"},
            "traits": {"plan": "pro", "country": "GB", "favorite_topic": "art", "tenure_months": 14},
            "language": "en",
            "timezone": "Europe/London",
            "content_preferences": {"topics": ["art"]},
            "channel_preferences": {"email": 0.9, "push": 0.6},
        },
        segment="loyal",
        channel="email",
        hours=(8, 12, 18),
    )


def _person(rng: np.random.Generator, number: int) -> Person:
    language = _one(rng, _LANGUAGE_SHARES)
    names, places = _PLACES[language]
    name, (timezone, country) = names[rng.integers(len(names))], places[rng.integers(len(places))]
    segment, channel = _one(rng, _SEGMENT_SHARES), _CHANNELS[rng.integers(len(_CHANNELS))]
    topic = _TOPICS[rng.integers(len(_TOPICS))]
    sections: dict[str, Any] = {
        "attributes": {"first_name": name, "email": f"person{number}@example.org"},
        "traits": {
            "plan": _one(rng, _PLAN_SHARES),
            "country": country,
            "favorite_topic": topic,
            "tenure_months": int(rng.gamma(2.0, 9.0)),
        },
        "language": language,
        "timezone": timezone,
        "content_preferences": {"topics": [topic]},
        "channel_preferences": {name: round(float(rng.beta(4, 2) if name == channel else rng.beta(2, 4)), 2) for name in _CHANNELS},
        "reachability": {name: bool(rng.random() > 0.15) for name in ("push", "sms")},
    }
    if rng.random() < 0.1:
        sections["timing_preferences"] = {"quiet_hours": {"start": "22:00", "end": "07:00"}}
    hours = tuple(int(rng.normal(hour, 1.0)) % 24 for hour in _RHYTHMS[rng.integers(len(_RHYTHMS))])
    return Person(user_id=f"user-{number:03}", sections=sections, segment=segment, channel=channel, hours=hours)


def _one(rng: np.random.Generator, shares: Sequence[tuple[str, float]]) -> str:
    names, weights = zip(*shares, strict=True)
    return str(names[rng.choice(len(names), p=weights)])


# -- what they do ----------------------------------------------------------------------------------------------------

#: segment -> variant -> chance to click when everything else suits.
_TASTE: Mapping[str, Mapping[str, float]] = {
    "bargain": {"a": 0.10, "b": 0.24, "c": 0.14, "d": 0.08},
    "loyal": {"a": 0.22, "b": 0.10, "c": 0.12, "d": 0.18},
    "sleepy": {"a": 0.03, "b": 0.05, "c": 0.09, "d": 0.04},
}
_OPENS_PER_CLICK, _CONVERTS, _UNSUBSCRIBES = 2.5, 0.15, 0.0005


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """What a person does with one message. after: microseconds until they do it."""

    type: EventType
    after: int
    value: float | None = None


def click_probability(person: Person, variant_id: str, channel: str, local_hour: int) -> float:
    """The hidden truth, in 0..1."""
    taste = _TASTE[person.segment].get(variant_id, 0.08)
    place = 1.3 if channel == person.channel else 0.7
    distance = min((min((local_hour - h) % 24, (h - local_hour) % 24) for h in person.hours), default=0)
    return min(taste * place * (1.2 if distance <= 1 else 0.8 if distance <= 4 else 0.5), 1.0)


def reactions(rng: np.random.Generator, person: Person, variant_id: str, channel: str, local_hour: int) -> list[Reaction]:
    """One person's answer to one message, drawn from the hidden truth."""
    click = click_probability(person, variant_id, channel, local_hour)
    found = []
    if rng.random() < min(click * _OPENS_PER_CLICK, 0.95):
        found.append(Reaction(type=EventType.OPENED, after=0))
        if rng.random() < 1 / _OPENS_PER_CLICK:
            found.append(Reaction(type=EventType.CLICKED, after=SECOND))
            if rng.random() < _CONVERTS:
                value = round(float(rng.gamma(2.0, 20.0)), 2)
                found.append(Reaction(type=EventType.CONVERTED, after=2 * SECOND, value=value))
    elif rng.random() < _UNSUBSCRIBES:
        found.append(Reaction(type=EventType.UNSUBSCRIBED, after=0))
    return found


# -- living with the product -----------------------------------------------------------------------------------------


class Simulation:
    """Keeps a tenant alive: the people get messages and react, at a gentle pace, on a thread of its own.

    first : decisions made at once after `start`       pace : decisions a second from then on
    """

    def __init__(
        self, service: PersonalizationService, clock: Clock, people: Sequence[Person], first: int = 300, pace: float = 2.0
    ) -> None:
        self._service, self._clock, self._people = service, clock, people
        self._first, self._pause = first, 1.0 / pace
        self._rng = np.random.default_rng([SEED, clock.now() // SECOND])
        self._templates = [sample["template_id"] for sample in samples()]
        self._stop = Event()
        self._thread = Thread(target=self._live, name="simulation", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Stop after the message in hand."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _live(self) -> None:
        for number in count():
            if self._stop.is_set():
                return
            try:
                self.message()
            except PersonalizationError as refused:
                log.debug("the simulated people wait: %s", refused)
                self._stop.wait(1.0)
            if number >= self._first:
                self._stop.wait(self._pause)

    def message(self) -> None:
        """One message to one person, and what they do with it."""
        person = self._people[int(self._rng.integers(len(self._people)))]
        request = PersonalizationRequest(
            tenant_id=self._service.tenant_id,
            user_id=person.user_id,
            template_id=self._templates[self._rng.integers(len(self._templates))],
            require_real_time=True,
            priority=Priority.LOW,
        )
        answer = self._service.personalize(request).document
        if answer["variant_id"] is None:
            return
        sent_at, channel = instant(answer["optimal_timing"]), answer["optimal_channels"][0]
        done = reactions(self._rng, person, answer["variant_id"], channel, _local_hour(sent_at, person))
        if done:
            self._service.record([_event(person, answer["decision_id"], sent_at, channel, one) for one in done])


def settle(service: PersonalizationService, clock: Clock, people: Sequence[Person]) -> bool:
    """Give an empty tenant the sample templates, the people and their past; False when they live there already."""
    try:
        service.profile(people[-1].user_id)
    except NotFound:
        pass
    else:
        return False
    for sample in samples():
        try:
            service.create_template(sample)
        except Conflict:
            continue
    service.put_profiles([(person.user_id, person.sections) for person in people])
    past = history(people, clock.now())
    for at in range(0, len(past), 1_000):
        service.record(past[at : at + 1_000])
    return True


def history(people: Sequence[Person], now: int, days: int = 60, seed: int = SEED) -> list[EngagementEvent]:
    """What the people did in the last `days`, at the hours they like; it cites no decision."""
    rng = np.random.default_rng([seed, days])
    events = []
    for person in people:
        for number in range(rng.poisson(1.5 if person.segment == "sleepy" else 6.0)):
            hour = person.hours[rng.integers(len(person.hours))]
            midnight = _local_midnight(now - int(rng.integers(1, days)) * DAY, person)
            at = midnight + hour * HOUR + int(rng.integers(60)) * MINUTE
            kind = (EventType.OPENED, EventType.CLICKED, EventType.CONVERTED)[rng.choice(3, p=(0.6, 0.33, 0.07))]
            value = round(float(rng.gamma(2.0, 20.0)), 2) if kind is EventType.CONVERTED else None
            events.append(
                EngagementEvent(
                    event_id=f"past-{person.user_id}-{number}",
                    type=kind,
                    user_id=person.user_id,
                    occurred_at=min(at, now),
                    channel=person.channel,
                    value=value,
                    currency="EUR" if value is not None else None,
                )
            )
    return events


def _event(person: Person, decision_id: str, sent_at: int, channel: str, done: Reaction) -> EngagementEvent:
    return EngagementEvent(
        event_id=f"{decision_id}-{done.type}",
        type=done.type,
        user_id=person.user_id,
        occurred_at=sent_at + done.after,
        decision_id=decision_id,
        channel=channel,
        value=done.value,
        currency=None if done.value is None else "EUR",
    )


def _local_hour(at: int, person: Person) -> int:
    return hour_of_week(at, utc_offset(at, zone(person.timezone))) % 24


def _local_midnight(at: int, person: Person) -> int:
    offset = utc_offset(at, zone(person.timezone))
    return at - (at + offset) % DAY
