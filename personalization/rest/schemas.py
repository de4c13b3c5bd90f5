"""The bodies callers send: their shapes, ranges and cross-field rules, each checked once, here.

`read(Personalize, document)` gives the struct or raises Invalid with dotted paths. The Swagger models are generated from
the same structs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from personalization.clock import DAY, HOUR, from_datetime, length_of, zone
from personalization.errors import Invalid
from personalization.reward import HARMS
from personalization.sent import REMEMBERED
from personalization.vocabulary import (
    Aggregation,
    Category,
    ConsentDefault,
    EventType,
    LearningMode,
    PersonalizationTrigger,
    PolicyMethod,
    Priority,
    Role,
    ServiceLevel,
    Strategy,
)

T = TypeVar("T", bound=Struct)

#: Separates a rule's field from its sentence inside the ValueError that msgspec wraps.
_RULE = "\0"
_LONGEST_DURATION = 366 * DAY
_LONGEST_BUDGET = 31 * DAY
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2500, 1, 1, tzinfo=UTC)

_FORMS: dict[str, str] = {}


def _form(pattern: str, sentence: str) -> str:
    """The pattern, anchored; callers whose text does not match read "must be <sentence>"."""
    anchored = f"^{pattern}(?![\\s\\S])"
    _FORMS[repr(anchored)[1:-1]] = sentence
    return anchored


Id = Annotated[str, Meta(min_length=1, max_length=256, description="Opaque; 1-256 printable characters")]
Channel = Annotated[
    str,
    Meta(
        pattern=_form("[a-z0-9_-]{1,64}", "1-64 of a-z, 0-9, _ and -"),
        description="email, sms, push, in_app, … an open set",
        examples=["email"],
    ),
]
Language = Annotated[
    str,
    Meta(
        pattern=_form("[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,4}", "a language like en or en-GB"),
        description="BCP 47",
        examples=["en-GB"],
    ),
]
Part = Annotated[str, Meta(pattern=_form("[A-Za-z][A-Za-z0-9_]{0,63}", "named with letters, digits and _, at most 64"))]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with offset", examples=["2026-11-23T10:00:00Z"])]
Probability = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
TimeOfDay = Annotated[
    str, Meta(pattern=_form("([01][0-9]|2[0-3]):[0-5][0-9]", "a time of day like 22:00"), description="HH:MM", examples=["22:00"])
]
Duration = Annotated[
    str,
    Meta(
        pattern=_form("P[0-9A-Z.]{1,60}", "a duration like PT24H or P1D"),
        description="ISO 8601 of weeks, days, hours, minutes, seconds",
        examples=["PT24H"],
    ),
]
Context = Annotated[
    dict[str, Any],
    Meta(
        description="What the templates and the policy may use of the moment. device, connectivity, battery, place and session "
        "are brought to common words; any other number, truth or short text is a feature by its name; 16 at most",
        examples=[{"device": "phone", "battery": 0.4, "connectivity": "wifi", "place": "home", "page": "cart"}],
    ),
]
MessageId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        description="Your id of one message that may go out by several channels: read on one it is not sent again, unread "
        "it goes by the next channel after escalate_after, in the same variant and under one frequency cap. Remembered for "
        "30 days; needs a user_id and service level enterprise",
        examples=["spring-offer-2026"],
    ),
]
EscalateAfter = Annotated[
    str,
    Meta(
        pattern=_form("P[0-9A-Z.]{1,60}", "a duration like PT24H or P1D"),
        description="How long an unread message_id waits for its next channel: ISO 8601, PT4H unless given, at most 30 days",
        examples=["PT4H"],
    ),
]
Currency = Annotated[str, Meta(pattern=_form("[A-Z]{3}", "a currency like EUR"), description="ISO 4217", examples=["EUR"])]
Zone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA time zone", examples=["Europe/London"])]
Parts = Annotated[
    dict[Part, str],
    Meta(min_length=1, description="subject, text, html, title, body, …", examples=[{"subject": "Hi {{ user.first_name }}"}]),
]
Scalar = str | int | float | bool
Trait = Scalar | list[Scalar]


class Body(Struct, forbid_unknown_fields=True, kw_only=True):
    """What every body has: no unknown fields, no coercion."""


# -- personalize


class SendWindowBody(Body):
    """Half-open [earliest, latest)."""

    earliest: Instant | None = None
    latest: Instant | None = None

    def __post_init__(self) -> None:
        _expect_instants(self, ("earliest", "latest"))
        if self.earliest is not None and self.latest is not None and self.latest <= self.earliest:
            _refuse("latest", "must be after earliest")


class InlineVariant(Body):
    """content: parts, or locale -> parts."""

    variant_id: Id
    content: Annotated[dict[str, str | Parts], Meta(min_length=1)]
    features: dict[Name, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _expect_printable(self, ("variant_id",))
        flat = {isinstance(value, str) for value in self.content.values()}
        if len(flat) > 1:
            _refuse("content", "must be parts, or locales with parts, not both")
        pattern, kind = (_PART, "part") if flat == {True} else (_LANGUAGE, "locale")
        if wrong := [key for key in self.content if not pattern.fullmatch(key)]:
            _refuse("content", f"{wrong[0][:64]!r} is no {kind} name")


class Personalize(Body):
    """Exactly one of template_id, content and variants."""

    user_id: Id | None = None
    template_id: Id | None = None
    content: Parts | None = None
    variants: Annotated[list[InlineVariant], Meta(min_length=1, max_length=100)] | None = None
    context: Context = field(default_factory=dict)
    channels: Annotated[list[Channel], Meta(max_length=64)] = field(default_factory=list)
    strategies: Annotated[list[Strategy], Meta(max_length=16, description="What may take part; all the level has when empty")] = (
        field(default_factory=list)
    )
    category: Category | None = None
    priority: Priority = Priority.NORMAL
    send_window: SendWindowBody | None = None
    min_quality_score: Probability | None = None
    require_real_time: bool = False
    deadline_ms: Annotated[int, Meta(ge=1, le=3_600_000)] | None = None
    language: Language | None = None
    render: bool = True
    explain: Annotated[bool, Meta(description="Say why: about ten times the work of a decision")] = False
    activate: bool = True
    decision_id: Id | None = None
    message_id: MessageId | None = None
    escalate_after: EscalateAfter | None = None

    def __post_init__(self) -> None:
        if not f"{self.user_id}{self.template_id}{self.decision_id}{self.message_id}".isprintable():
            _expect_printable(self, ("user_id", "template_id", "decision_id", "message_id"))
        if self.message_id is not None or self.escalate_after is not None:
            _expect_message(self)
        if (self.template_id is not None) + (self.content is not None) + (self.variants is not None) != 1:
            _refuse("", "give exactly one of template_id, content and variants")
        if self.variants is not None:
            _expect_unique("variants", [variant.variant_id for variant in self.variants])


class Batch(Body):
    """Documents the body only: each request is judged by itself."""

    requests: Annotated[list[Personalize], Meta(max_length=1000)]


# -- events


class Event(Body):
    event_id: Id
    type: EventType
    user_id: Id
    occurred_at: Instant
    decision_id: Id | None = None
    template_id: Id | None = None
    channel: Channel | None = None
    name: Annotated[str, Meta(min_length=1, max_length=128, description="Needed for custom events")] | None = None
    value: Annotated[float, Meta(description="Needed for rewarded events")] | None = None
    currency: Currency | None = None
    text: Annotated[str, Meta(max_length=100_000)] | None = None
    metadata: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not f"{self.event_id}{self.user_id}{self.decision_id}{self.template_id}{self.name}".isprintable():
            _expect_printable(self, ("event_id", "user_id", "decision_id", "template_id", "name"))
        _expect_instants(self, ("occurred_at",))
        if self.type is EventType.CUSTOM and self.name is None:
            _refuse("name", "is required for a custom event")
        if self.type is EventType.REWARDED and self.value is None:
            _refuse("value", "is required for a rewarded event")


class Events(Body):
    """Documents the body only: each event is judged by itself. A single event may also stand alone."""

    events: Annotated[list[Event], Meta(max_length=1000)]


# -- profiles


class ContentPreferencesBody(Body):
    topics: Annotated[list[Name], Meta(max_length=200)] | None = None
    tone: Name | None = None
    length: Name | None = None


class QuietHoursBody(Body):
    """Local time, half-open, may wrap over midnight."""

    start: TimeOfDay
    end: TimeOfDay


class QuietHoursPatch(Body):
    start: TimeOfDay | None = None
    end: TimeOfDay | None = None


class TimingPreferencesBody(Body):
    preferred_hours: Annotated[list[Annotated[int, Meta(ge=0, le=23)]], Meta(max_length=24)] | None = None
    quiet_hours: QuietHoursBody | None = None


class TimingPreferencesPatch(Body):
    preferred_hours: Annotated[list[Annotated[int, Meta(ge=0, le=23)]], Meta(max_length=24)] | None = None
    quiet_hours: QuietHoursPatch | None = None


class FrequencyPreferencesBody(Body):
    max_per_day: Count | None = None
    max_per_week: Count | None = None


class Profile(Body):
    """The declared sections; those left out are emptied. Learned sections and consent, as GET answers them, are accepted
    and ignored (consent has its own route, so that an old document never gives it back)."""

    attributes: dict[Name, Any] | None = None
    traits: dict[Name, Trait] | None = None
    language: Language | None = None
    timezone: Zone | None = None
    content_preferences: ContentPreferencesBody | None = None
    channel_preferences: dict[Channel, Probability] | None = None
    timing_preferences: TimingPreferencesBody | None = None
    frequency_preferences: FrequencyPreferencesBody | None = None
    reachability: dict[Channel, bool] | None = None

    user_id: Id | None = None
    tenant_id: str | None = None
    consent: dict[str, Any] | None = None
    behavioral_patterns: dict[str, Any] | None = None
    predictive_scores: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        _expect_printable(self, ("user_id",))
        _expect_zone(self.timezone)


class ProfileRow(Profile, kw_only=True):
    user_id: Id


class Profiles(Body):
    """Documents the body only: each profile is judged by itself."""

    profiles: Annotated[list[ProfileRow], Meta(max_length=1000)]


class ProfilePatch(Body):
    """RFC 7396: what is left out stays, null removes."""

    attributes: dict[Name, Any] | None = None
    traits: dict[Name, Trait | None] | None = None
    language: Language | None = None
    timezone: Zone | None = None
    content_preferences: ContentPreferencesBody | None = None
    channel_preferences: dict[Channel, Probability | None] | None = None
    timing_preferences: TimingPreferencesPatch | None = None
    frequency_preferences: FrequencyPreferencesBody | None = None
    reachability: dict[Channel, bool | None] | None = None

    def __post_init__(self) -> None:
        _expect_zone(self.timezone)


class Preferences(Profile):
    """The sections to change (those left out stay), and why."""

    trigger: PersonalizationTrigger = PersonalizationTrigger.USER_INTERACTION
    version: int | None = None


DECLARED_SECTIONS = ProfilePatch.__struct_fields__


# -- rewards


class ByValueBody(Body):
    """weight + per_value * the event's value, when that is in the tenant's currency; the weight alone otherwise."""

    per_value: float | None = None
    weight: float | None = None


class RewardPatch(Body):
    """A success metric. What is left out stays, or in a template is the tenant's; a weight or guardrail of null goes."""

    weights: (
        Annotated[
            dict[str, float | ByValueBody | None],
            Meta(description="event type or custom:<name> -> reward", examples=[{"clicked": 1, "converted": {"per_value": 0.1}}]),
        ]
        | None
    ) = None
    wait_time: Duration | None = None
    default: float | None = None
    aggregation: Aggregation | None = None
    cost_weight: Amount | None = None
    guardrails: (
        Annotated[
            dict[str, Probability | None],
            Meta(
                description="unsubscribed, complained, bounced or dismissed -> highest acceptable rate of them a send; variants "
                "above it with a probability of 0.95 are not chosen any more",
                examples=[{"unsubscribed": 0.01, "complained": 0.001}],
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        _expect_duration("wait_time", self.wait_time)
        for key in self.weights or ():
            if key not in _EVENT_TYPES and not (key.startswith("custom:") and key[7:].isprintable() and 7 < len(key) <= 135):
                _refuse("weights", f"{key[:64]!r} is neither an event type nor custom:<name>")
        for key in self.guardrails or ():
            if key not in HARMS:
                _refuse("guardrails", f"{key[:64]!r} is none of {', '.join(HARMS)}")


# -- templates


class TemplateVariant(Body):
    variant_id: Id
    content: Annotated[dict[Language, Parts], Meta(min_length=1, description="locale -> part -> Liquid text")]
    features: dict[Name, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _expect_printable(self, ("variant_id",))


class TemplateBody(Body):
    """version, created_at and updated_at, as GET answers them, are accepted and ignored."""

    variants: Annotated[list[TemplateVariant], Meta(min_length=1, max_length=100)]
    template_id: Id | None = None
    name: Name | None = None
    category: Category = Category.PROMOTIONAL
    channels: Annotated[list[Channel], Meta(max_length=64)] = field(default_factory=list)
    default_language: Language | None = None
    topics: Annotated[list[Name], Meta(max_length=200)] = field(default_factory=list)
    baseline_variant_id: Id | None = None
    reward: Annotated[RewardPatch, Meta(description="How this message's success is counted, where not as the tenant's")] | None = (
        None
    )
    metadata: dict[str, Any] = field(default_factory=dict)

    version: int | None = None
    created_at: str | None = None
    updated_at: str | None = None

    def __post_init__(self) -> None:
        _expect_printable(self, ("template_id", "name", "baseline_variant_id"))
        ids = [variant.variant_id for variant in self.variants]
        _expect_unique("variants", ids)
        if self.baseline_variant_id is not None and self.baseline_variant_id not in ids:
            _refuse("baseline_variant_id", "names none of the variants")


class NewTemplate(TemplateBody, kw_only=True):
    template_id: Id


class Preview(Body):
    user_id: Id | None = None
    context: dict[str, Any] = field(default_factory=dict)
    language: Language | None = None
    variant_id: Id | None = None
    channel: Channel | None = None
    all_locales: Annotated[bool, Meta(description="In every locale a variant is written in, not in one language alone")] = False

    def __post_init__(self) -> None:
        _expect_printable(self, ("user_id", "variant_id"))


# -- ai


Number = Annotated[int, Meta(ge=1, le=999_999_999)]


class WhichVersion(Body):
    version: Number | None = None


class Promotion(WhichVersion):
    status: Annotated[Literal["live", "shadow"], Meta(description="shadow: judged beside the live version, serves nobody")] = "live"


class AnalyzeBehavior(Body):
    user_id: Id
    analysis_type: Name | None = None

    def __post_init__(self) -> None:
        _expect_printable(self, ("user_id", "analysis_type"))


class AnalyzeSentiment(Body):
    texts: Annotated[
        list[Annotated[str, Meta(description="Its first 4,000 characters are read")]],
        Meta(min_length=1, max_length=1000, examples=[["Lovely, thank you!", "Das kam viel zu spät."]]),
    ]
    language: Annotated[Language, Meta(description="Of all texts; told from each when absent")] | None = None

    def __post_init__(self) -> None:
        _expect_printable(self, ("language",))


# -- management


class NewApiKey(Body):
    role: Role
    name: Name
    expires_at: Instant | None = None

    def __post_init__(self) -> None:
        _expect_printable(self, ("name",))
        _expect_instants(self, ("expires_at",))


class Revocation(Body):
    """One of both."""

    token: Annotated[str, Meta(min_length=1, max_length=16_384)] | None = None
    jti: Id | None = None

    def __post_init__(self) -> None:
        if (self.token is None) == (self.jti is None):
            _refuse("", "give exactly one of token and jti")


class ConsentBody(Body):
    """null and absent: not said, the tenant's default holds. marketing_channels closes a channel for promotional messages
    only. user_id and history, as GET answers them, are accepted and ignored."""

    personalization: bool | None = None
    learning: bool | None = None
    marketing: bool | None = None
    channels: dict[Channel, bool] = field(default_factory=dict)
    marketing_channels: dict[Channel, bool] = field(default_factory=dict)

    user_id: Id | None = None
    history: list[Any] | None = None


AnyChannel = Annotated[str, Meta(pattern=_form("([a-z0-9_-]{1,64}|[*])", "a channel or *"))]


class CapBody(Body):
    limit: Count
    period: Duration
    channel: AnyChannel = "*"
    category: Annotated[str, Meta(pattern=_form("(promotional|transactional|[*])", "promotional, transactional or *"))] = "*"

    def __post_init__(self) -> None:
        _expect_duration("period", self.period)


class BudgetBody(Body):
    """Sends by one channel a period, of the whole tenant: what shadow prices steer towards at service level quantum."""

    channel: Channel
    limit: Annotated[int, Meta(ge=0, le=1_000_000_000, description="Sends, counted when they are decided")]
    period: Annotated[Duration, Meta(description="ISO 8601, an hour to 31 days; from a Monday's midnight on, in the tenant's zone")]

    def __post_init__(self) -> None:
        _expect_duration("period", self.period, _LONGEST_BUDGET)
        if length_of(self.period) < HOUR:
            _refuse("period", "must be at least an hour")


class ChannelPatch(Body):
    cost: Amount | None = None
    max_length: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None


class RetrainingPatch(Body):
    automatic: bool | None = None
    every: Duration | None = None
    promote: bool | None = None

    def __post_init__(self) -> None:
        _expect_duration("every", self.every)


Tone = Annotated[float, Meta(ge=-1, le=1, description="formal -1 … casual 1; reserved -1 … warm 1")]
Phrase = Annotated[str, Meta(min_length=1, max_length=500)]
BaseLanguage = Annotated[str, Meta(pattern=_form("[a-z]{2,3}", "a language without region, like de"))]
Phrases = Annotated[list[Phrase], Meta(max_length=200)]


class TonePatch(Body):
    casual: Tone | None = None
    warm: Tone | None = None


class FooterBody(Body):
    """What a message must end with. Of those that hold for it the one that names most counts, the first of equals."""

    text: Phrase
    channel: AnyChannel = "*"
    country: Annotated[str, Meta(pattern=_form("([A-Z]{2}|[*])", "a country like DE or *"), description="ISO 3166-1")] = "*"
    language: Annotated[
        str,
        Meta(
            pattern=_form("([A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,4}|[*])", "a language like en or en-GB, or *"),
            description="BCP 47; de holds for de-AT too",
        ),
    ] = "*"

    def __post_init__(self) -> None:
        _expect_words("text", (self.text,))


class VoicePatch(Body):
    """How the tenant speaks. What a text breaks of it is among the findings of its preview. What is left out stays, lists are
    replaced whole, null asks for nothing."""

    personality: Annotated[str, Meta(max_length=2_000, description="In your words, for whoever writes")] | None = None
    tone: TonePatch | None = None
    banned_phrases: Annotated[Phrases, Meta(description="In no part; compared by words, whatever their case and width")] | None = (
        None
    )
    required_phrases: Annotated[Phrases, Meta(description="In every text, body and html")] | None = None
    max_emoji: Annotated[Count, Meta(description="In one part; 0 for none")] | None = None
    max_exclamations: Annotated[Count, Meta(description="In one part; 0 for none")] | None = None
    capitals: Annotated[bool, Meta(description="Whether words may be written in capitals")] | None = None
    acronyms: Annotated[Phrases, Meta(description="Words that always may")] | None = None
    max_grade: (
        Annotated[float, Meta(ge=0, le=100, description="US school grade of an English text: Flesch-Kincaid, from 20 words on")]
        | None
    ) = None
    max_lix: (
        Annotated[
            dict[BaseLanguage, Annotated[float, Meta(ge=0, le=200)] | None],
            Meta(
                description="Language of Latin, Cyrillic or Greek letters, English aside -> LIX of a text, from 20 words on",
                examples=[{"sv": 35, "de": 50}],
            ),
        ]
        | None
    ) = None
    footers: Annotated[list[FooterBody], Meta(max_length=200)] | None = None

    def __post_init__(self) -> None:
        for name in ("banned_phrases", "required_phrases", "acronyms"):
            _expect_words(name, getattr(self, name) or ())


class ConfigPatch(Body):
    """RFC 7396: what is left out stays, null goes back to the default. version, as GET answers it, is ignored."""

    service_level: ServiceLevel | None = None
    learning_mode: LearningMode | None = None
    policy: PolicyMethod | None = None
    exploration: Probability | None = None
    holdout: Probability | None = None
    holdout_no_send: Probability | None = None
    min_quality_score: Probability | None = None
    default_language: Language | None = None
    timezone: Zone | None = None
    currency: Currency | None = None
    consent_default: ConsentDefault | None = None
    reward: RewardPatch | None = None
    frequency_caps: Annotated[list[CapBody], Meta(max_length=100)] | None = None
    budgets: Annotated[list[BudgetBody], Meta(max_length=100)] | None = None
    quiet_hours: QuietHoursPatch | None = None
    channels: dict[Channel, ChannelPatch | None] | None = None
    retraining: RetrainingPatch | None = None
    voice: VoicePatch | None = None

    version: int | None = None

    def __post_init__(self) -> None:
        _expect_zone(self.timezone)


# -- reading


def read(kind: type[T], document: Any) -> T:
    """The document as that struct. Raises Invalid with the dotted path of what is wrong."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as wrong:
        raise Invalid.field(*_explained(str(wrong))) from None


_WHERE = re.compile(r"(?P<what>.*?)(?: - at `(?:key` in `)?(?P<path>\$?[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_FORM = re.compile(r"matching regex '(.*)'", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)


def _explained(message: str) -> tuple[str, str]:
    """(dotted path, sentence) of a msgspec message such as "Expected `int` - at `$.variants[0].x`"."""
    found = _WHERE.fullmatch(message)
    what, path = (found["what"], _dotted(found["path"] or "$")) if found else (message, "")
    if rule := what.split(_RULE)[1:]:
        return _joined(path, what.split(_RULE)[0]), rule[0]
    if unknown := _UNKNOWN.fullmatch(what):
        return _joined(path, unknown[1]), "is not a known field"
    if missing := _MISSING.fullmatch(what):
        return _joined(path, missing[1]), "is required"
    if form := _FORM.search(what):
        return path, f"must be {_FORMS.get(form[1], 'of another form')}"
    return path, what[:1].lower() + what[1:].replace("`", "")


def _dotted(path: str) -> str:
    """`$.a[0].b` as a.0.b, up to the first key msgspec does not name."""
    return re.sub(r"\[(\d+)\]", r".\1", path.split("[...]")[0]).removeprefix("$").lstrip(".")


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def microseconds_of(moment: datetime | None) -> int | None:
    return None if moment is None else from_datetime(moment)


# -- rules


_PART = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,4}")
_EVENT_TYPES = frozenset(map(str, EventType))


def _refuse(name: str, sentence: str) -> NoReturn:
    raise ValueError(f"{name}{_RULE}{sentence}")


def _expect_printable(body: Struct, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(body, name)
        if value and not value.isprintable():
            _refuse(name, "must hold printable characters only")


def _expect_words(name: str, phrases: Iterable[str]) -> None:
    for phrase in phrases:
        if not any(map(str.isalnum, phrase)):
            _refuse(name, "must hold a letter or a figure")


def _expect_instants(body: Struct, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(body, name)
        if value is not None and not _EARLIEST <= value < _LATEST:
            _refuse(name, "must lie between the years 1900 and 2500")


def _expect_unique(name: str, ids: Sequence[str]) -> None:
    if len(set(ids)) != len(ids):
        _refuse(name, "must have different ids")


def _expect_zone(name: str | None) -> None:
    try:
        zone(name or "UTC")
    except ValueError as unknown:
        _refuse("timezone", str(unknown))


def _expect_message(body: Personalize) -> None:
    if body.message_id is None:
        _refuse("escalate_after", "needs a message_id")
    if body.user_id is None:
        _refuse("message_id", "needs a user_id")
    _expect_duration("escalate_after", body.escalate_after, REMEMBERED)


def _expect_duration(name: str, text: str | None, longest: int = _LONGEST_DURATION) -> None:
    try:
        length = length_of(text or "P1D")
    except ValueError as wrong:
        _refuse(name, str(wrong))
    if not 0 < length <= longest:
        _refuse(name, f"must be longer than nothing and at most {longest // DAY} days")
