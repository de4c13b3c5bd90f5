"""A tenant's configuration: what it wants learned, when it may send, how much it may explore."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from personalization.clock import DAY
from personalization.reward import RewardSpec
from personalization.vocabulary import (
    ConsentDefault,
    LearningMode,
    PolicyMethod,
    ServiceLevel,
)

#: From the Monday before to 1970-01-01.
_MONDAY = 3 * DAY


@dataclass(frozen=True, kw_only=True)
class FrequencyCap:
    """At most `limit` sends in any window of `period` microseconds; "*" stands for every channel or category."""

    limit: int
    period: int
    channel: str = "*"
    category: str = "*"

    def covers(self, channel: str, category: str) -> bool:
        return self.channel in ("*", channel) and self.category in ("*", category)

    def admits(self, reserved: Iterable[int], at: int) -> bool:
        """Whether one more send at `at` leaves every half-open window of length `period` with at most `limit`.

        reserved : slot times of the sends this cap covers, past and future, in any order. O(n log n).

        >>> FrequencyCap(limit=1, period=10).admits([0], 9), FrequencyCap(limit=1, period=10).admits([0], 10)
        (False, True)
        """
        if self.limit <= 0:
            return False
        near = sorted([slot for slot in reserved if abs(slot - at) < self.period] + [at])
        return all(last - first >= self.period for first, last in zip(near, near[self.limit :], strict=False))


@dataclass(frozen=True, kw_only=True)
class Budget:
    """At most about `limit` sends by `channel` a `period` of microseconds, over the whole tenant: shadow prices steer towards it,
    nothing guarantees it. Periods follow one another from a Monday's midnight in the tenant's zone."""

    channel: str
    limit: int
    period: int

    def running(self, at: int, offset: int) -> tuple[int, int]:
        """[start, end) of the period that `at` lies in; `offset` of local time there, see `clock.utc_offset`.

        >>> Budget(channel="sms", limit=1, period=7 * DAY).running(0, 0) == (-3 * DAY, 4 * DAY)
        True
        """
        start = at - (at + offset + _MONDAY) % self.period
        return start, start + self.period


class QuietHours(msgspec.Struct, frozen=True):
    """Local minutes of the day, half-open, may wrap over midnight; equal ends mean the whole day."""

    start: int
    end: int

    def contains(self, minute_of_day: int) -> bool:
        if self.start < self.end:
            return self.start <= minute_of_day < self.end
        return minute_of_day >= self.start or minute_of_day < self.end


@dataclass(frozen=True, kw_only=True)
class ChannelSpec:
    """cost in the tenant's currency per message; max_length in characters of the text, None = no limit."""

    cost: float = 0.0
    max_length: int | None = None


DEFAULT_CHANNELS: Mapping[str, ChannelSpec] = {
    "email": ChannelSpec(cost=0.001),
    "push": ChannelSpec(max_length=240),
    "in_app": ChannelSpec(),
    "sms": ChannelSpec(cost=0.05, max_length=480),
}


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """When predictive models are trained anew, and whether a version that passes its gate then serves without being asked.

    every : microseconds between two versions of a model at least
    """

    automatic: bool = True
    every: int = DAY
    promote: bool = True


@dataclass(frozen=True, kw_only=True)
class Tone:
    """How texts are to sound, for whoever writes them: formal -1 .. casual 1, reserved -1 .. warm 1. No program measures it."""

    casual: float = 0.0
    warm: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Footer:
    """What the law wants at the end of a message; "*" stands for every channel, country (ISO 3166-1) or language (BCP 47)."""

    text: str
    channel: str = "*"
    country: str = "*"
    language: str = "*"

    def covers(self, channel: str, country: str, language: str) -> bool:
        """A language holds in all its regions and scripts."""
        spoken = self.language == "*" or f"{language}-".startswith(f"{self.language}-")
        return spoken and self.channel in ("*", channel) and self.country in ("*", country)

    def named(self) -> int:
        """How many of the three it names."""
        return 3 - (self.channel, self.country, self.language).count("*")


@dataclass(frozen=True, kw_only=True)
class Voice:
    """How a tenant speaks; `content.voice.breaches` checks it. As it stands it asks for nothing.

    personality      : a description, for whoever writes
    banned_phrases   : in no part; required_phrases : in every body of a message
    max_emoji, max_exclamations : in one part, None = any number
    capitals         : whether words may be written in capitals; acronyms always may
    max_grade        : US school grade of an English text; max_lix : language -> LIX, since the same text has another in each
    footers          : of those that hold for a message the one that names most must end it, the first of equals
    """

    personality: str = ""
    tone: Tone = Tone()
    banned_phrases: tuple[str, ...] = ()
    required_phrases: tuple[str, ...] = ()
    max_emoji: int | None = None
    max_exclamations: int | None = None
    capitals: bool = True
    acronyms: tuple[str, ...] = ()
    max_grade: float | None = None
    max_lix: Mapping[str, float] = field(default_factory=dict)
    footers: tuple[Footer, ...] = ()

    def footer(self, channel: str, country: str, language: str) -> Footer | None:
        """The one that has to end such a message."""
        held = [footer for footer in self.footers if footer.covers(channel, country, language)]
        return max(held, key=Footer.named, default=None)


@dataclass(frozen=True, kw_only=True)
class TenantConfig:
    """One immutable version of a tenant's configuration (DEFAULTS where nothing was said)."""

    version: int = 0
    service_level: ServiceLevel = ServiceLevel.ENTERPRISE
    learning_mode: LearningMode = LearningMode.ONLINE
    exploration: float = 0.1
    policy: PolicyMethod = PolicyMethod.THOMPSON
    holdout: float = 0.0
    holdout_no_send: float = 0.0
    min_quality_score: float = 0.0
    default_language: str = "en"
    timezone: str = "UTC"
    currency: str = "EUR"
    consent_default: ConsentDefault = ConsentDefault.GRANTED
    reward: RewardSpec = field(default_factory=RewardSpec)
    frequency_caps: tuple[FrequencyCap, ...] = ()
    budgets: tuple[Budget, ...] = ()
    quiet_hours: QuietHours | None = None
    channels: Mapping[str, ChannelSpec] = field(default_factory=lambda: dict(DEFAULT_CHANNELS))
    retraining: Retraining = Retraining()
    voice: Voice = Voice()

    def channel(self, name: str) -> ChannelSpec:
        return self.channels.get(name) or DEFAULT_CHANNELS.get(name) or ChannelSpec()


#: How long a send may wait for its slot unless the request says otherwise.
DEFAULT_SEND_WINDOW = DAY
