"""The feasible set, built before anything is drawn: which (variant, channel, slot) triples this message may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from personalization.clock import DAY, zone
from personalization.deciding.features import gathered, profile_features
from personalization.deciding.planning import Candidates, Plan
from personalization.deciding.preferences import channel_evidence, hour_evidence, hours_of_week
from personalization.deciding.record import MILLE, Candidate, ChannelOption, Constraint, Inputs
from personalization.deciding.slots import Slots, next_open, no_slots, slot_mask, slots_of
from personalization.deciding.stages import CHANNEL, SEND, TIMING, VARIANT
from personalization.deciding.terms import Capabilities, Terms, terms_of
from personalization.engines import behavior, channels, context
from personalization.engines.channels import Sync, delivery
from personalization.errors import MissingVariables
from personalization.learning.encoding import Feature, ago
from personalization.messages import PersonalizationRequest
from personalization.profile import PersonalizationProfile
from personalization.sent import shown_key
from personalization.storage.base import Reservation
from personalization.tenant import DEFAULT_SEND_WINDOW, FrequencyCap, QuietHours, TenantConfig
from personalization.vocabulary import Category, ConsentDefault, Mode, Strategy, Suppression


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One decision to make, with everything it may look at.

    bucket   : the user's stable place in [0, 1) for holdouts, 1 for nobody
    reserved : the user's cap reservations around the send window
    values   : what the template may use: {"user": {…}, context keys…}
    """

    request: PersonalizationRequest
    decision_id: str
    seed: bytes
    now: int
    config: TenantConfig
    level: str
    capabilities: Capabilities
    plan: Plan
    model_id: str
    snapshot_id: int
    user_ref: bytes | None = None
    profile: PersonalizationProfile | None = None
    bucket: float = 1.0
    reserved: Sequence[Reservation] = ()
    values: Mapping[str, Any] = msgspec.field(default_factory=dict)
    cache_hit: bool = False


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of the draw, and what only the record and the answer need."""

    inputs: Inputs
    mode: Mode
    trains: bool
    zone: ZoneInfo
    strategies: tuple[str, ...] = ()
    recommendations: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    quality_failed: bool = False


def prepare(question: Question) -> Prepared:
    """Raises MissingVariables when no variant has all its variables."""
    found: list[Constraint] = []
    place = _zone(question)
    sync = synced(question)
    slots = _slots(question, place, found)
    options = _channels(question, place, slots, sync, found)
    offered, quality_failed = _candidates(question, options, sync)
    refusal, retry_at = _refusal(question, place, slots, offered.fitting, found)
    terms = _terms(question, quality_failed)
    observe = bool(terms.stages & TIMING) and Strategy.BEHAVIORAL_ADAPTIVE in terms.strategies
    inputs = Inputs(
        seed=question.seed,
        now=question.now,
        model_id=question.model_id,
        snapshot_id=question.snapshot_id,
        features=_features(question, slots, terms) if terms.stages and refusal is None else (),
        candidates=offered.fitting if refusal is None else (),
        baseline=offered.baseline,
        channels=tuple(options) if refusal is None else (),
        earliest=slots.earliest,
        first_hour=slots.first_hour,
        hours=hours_of_week(slots.hours),
        habits=hour_evidence(question.profile, slots, observe),
        exploration=terms.exploration,
        method=question.config.policy,
        stages=terms.stages & ~SEND if question.plan.category == Category.TRANSACTIONAL else terms.stages,
        shown=_shown(question, offered.fitting),
        load=_load(question),
        relieved_at=_relieved_at(question),
        forced="baseline" if terms.held_back else "",
        refusal=refusal,
        retry_at=retry_at,
    )
    return Prepared(
        inputs=inputs,
        mode=terms.mode,
        trains=terms.trains and refusal is None,
        zone=place,
        strategies=_strategies(inputs, terms, sync),
        recommendations=_recommendations(question, quality_failed),
        constraints=tuple(found),
        quality_failed=quality_failed,
    )


def _load(question: Question) -> int:
    return question.profile.patterns.load(question.now) if question.profile is not None else 0


def _shown(question: Question, candidates: Sequence[Candidate]) -> bytes:
    """How long ago this person got each candidate, counted to now; empty where they got none."""
    known, template_id = question.profile.patterns.shown if question.profile is not None else {}, question.plan.template_id
    if not known or template_id is None:
        return b""
    at = [known.get(shown_key(template_id, candidate.variant_id)) for candidate in candidates]
    return bytes([ago(None if then is None else (question.now - then) / DAY) for then in at]) if any(at) else b""


def _relieved_at(question: Question) -> int | None:
    """When the oldest send of the last seven days will be older than that."""
    week = question.now - 7 * DAY
    recent = question.profile.patterns.recent if question.profile is not None else ()
    return next((at + 7 * DAY for at in recent if at >= week), None)


def synced(question: Question) -> Sync:
    """What the message's earlier sends mean for this one; nothing where level or request leave it out."""
    asked = question.request.strategies
    if not question.capabilities.channel_sync or (asked and Strategy.CROSS_CHANNEL_SYNC not in asked):
        return Sync()
    return channels.read(question.profile, question.request, question.now)


def _terms(question: Question, quality_failed: bool) -> Terms:
    config = question.config
    holdout = config.holdout_no_send + config.holdout
    return terms_of(
        question.capabilities,
        question.request.strategies,
        config.learning_mode,
        config.exploration,
        personal=_allows(question, "personalization"),
        learns=_allows(question, "learning"),
        holdout=question.bucket < holdout and question.plan.category != Category.TRANSACTIONAL,
        quality_failed=quality_failed,
    )


def _features(question: Question, slots: Slots, terms: Terms) -> tuple[Feature, ...]:
    who = profile_features(question.profile, question.plan.language)
    readings = []
    if Strategy.CONTEXTUAL_INTELLIGENCE in terms.strategies:
        place = zone(question.config.timezone)
        readings.append(context.read(question.profile, question.request, slots.earliest, place))
    if terms.stages & (CHANNEL | TIMING):
        readings.append(behavior.read(question.profile, question.request, question.now))
    return gathered(who, *readings)


# -- when ------------------------------------------------------------------------------------------------------------


def _zone(question: Question) -> ZoneInfo:
    said = question.profile.timezone if question.profile else None
    return zone(said or question.config.timezone)


def _slots(question: Question, place: ZoneInfo, found: list[Constraint]) -> Slots:
    request, now = question.request, question.now
    window = request.send_window
    earliest = max(now, window.earliest) if window and window.earliest is not None else now
    if window and window.latest is not None:
        latest = window.latest
    else:
        latest = earliest + (1 if request.immediate(question.plan.category) else DEFAULT_SEND_WINDOW)
    if latest <= earliest:
        found.append(Constraint("send_window", "*", True))
        return no_slots(earliest)
    slots = slots_of(place, earliest, latest, _quiet(question))
    if slots.open.bit_count() < len(slots.hours):
        retry_at = None if slots.open else _next_open(question, place, latest)
        found.append(Constraint("quiet_hours", "*", slots.open == 0, retry_at))
    return slots


def _quiet(question: Question) -> tuple[QuietHours, ...]:
    own = question.profile.timing_preferences.quiet_hours if question.profile else None
    if (own is None and question.config.quiet_hours is None) or question.plan.category == Category.TRANSACTIONAL:
        return ()
    return tuple(q for q in (question.config.quiet_hours, own) if q is not None)


def _next_open(question: Question, place: ZoneInfo, after: int) -> int | None:
    return next_open(place, after, _quiet(question))


# -- where -----------------------------------------------------------------------------------------------------------


def _channels(question: Question, place: ZoneInfo, slots: Slots, sync: Sync, found: list[Constraint]) -> list[ChannelOption]:
    """The open channels in listed order, each with its allowed slots."""
    names, profile = question.plan.channels, question.profile
    known = channel_evidence(profile, names, question.now, question.capabilities.channel_choice)
    marketed = question.plan.category != Category.TRANSACTIONAL
    refused = marketed and not _allows(question, "marketing")
    caps = caps_of(question)
    if caps and (question.reserved or any(cap.limit <= 0 for cap in caps)):
        masks = [_uncapped(question, caps, slots, name) for name in names]
    else:
        masks = [(slots.open, None)] * len(names)
    options: list[ChannelOption] = []
    for name, preference, (mask, capped) in zip(names, known, masks, strict=True):
        closed = Suppression.NO_CONSENT if refused else profile and _closed(profile, name, marketed)
        if closed:
            found.append(Constraint(closed, name, True))
            continue
        if sync.duplicate or name in sync.used:
            found.append(Constraint(Suppression.DUPLICATE, name, True, _due(question, place, sync, name)))
            continue
        if capped:
            found.append(capped)
        if mask:
            cost = round(question.config.channel(name).cost * question.config.reward.cost_weight * MILLE)
            arrives = delivery(profile, name, question.now) if question.capabilities.channel_choice else 1.0
            options.append(ChannelOption(name, preference, slot_mask(mask), cost, round(arrives * MILLE)))
    return options


def _due(question: Question, place: ZoneInfo, sync: Sync, channel: str) -> int | None:
    """When an unread message may go by this channel; a channel goes twice by no one."""
    return None if sync.due_at is None or channel in sync.used else _allowed_from(question, place, sync.due_at)


def _closed(profile: PersonalizationProfile, channel: str, marketed: bool) -> str | None:
    """Why this channel may not be used for this person."""
    consent = profile.consent
    if consent.channels.get(channel) is False or (marketed and consent.marketing_channels.get(channel) is False):
        return Suppression.NO_CONSENT
    return Suppression.UNREACHABLE if profile.reachability.get(channel) is False else None


def _allows(question: Question, section: str) -> bool:
    default = question.config.consent_default is ConsentDefault.GRANTED
    return question.profile.allows(section, default) if question.profile else default


def caps_of(question: Question) -> tuple[FrequencyCap, ...]:
    """The tenant's caps and the person's own; none for transactional messages, and for one that was counted before."""
    if question.plan.category == Category.TRANSACTIONAL or synced(question).counted:
        return ()
    own = question.profile.frequency_preferences if question.profile else None
    if own is None or (own.max_per_day is None and own.max_per_week is None):
        return question.config.frequency_caps
    wanted = ((own.max_per_day, DAY), (own.max_per_week, 7 * DAY))
    return (*question.config.frequency_caps, *(FrequencyCap(limit=n, period=p) for n, p in wanted if n is not None))


def _uncapped(question: Question, caps: Sequence[FrequencyCap], slots: Slots, channel: str) -> tuple[int, Constraint | None]:
    """The open slots that every cap admits, and what is to be said of the others."""
    covering = [cap for cap in caps if cap.covers(channel, question.plan.category)]
    taken = [[r.slot_at for r in question.reserved if cap.covers(r.channel, r.category)] for cap in covering]

    def admitted(at: int) -> bool:
        return all(cap.admits(slots_, at) for cap, slots_ in zip(covering, taken, strict=True))

    mask = sum(1 << k for k in range(len(slots.hours)) if slots.open >> k & 1 and admitted(slots.at(k)))
    if mask == slots.open:
        return mask, None
    ends = sorted(at + cap.period for cap, slots_ in zip(covering, taken, strict=True) for at in slots_)
    retry = next((at for at in ends if at > question.now and admitted(at)), None)
    return mask, Constraint("frequency_cap", channel, mask == 0, retry)


# -- what ------------------------------------------------------------------------------------------------------------


def _candidates(question: Question, options: Sequence[ChannelOption], sync: Sync) -> tuple[Candidates, bool]:
    """Variants with all their variables, on the channels they fit and good enough; True when none was good enough. A
    message that was sent keeps its variant."""
    found = question.plan.candidates(question.values, tuple([option.name for option in options]))
    if found.lacking:
        raise MissingVariables(found.missing)
    if sync.variant_id is not None:
        found = found.only(sync.variant_id)
    threshold = question.request.min_quality_score
    threshold = question.config.min_quality_score if threshold is None else threshold
    return found.good(threshold) if threshold > 0.0 else (found, False)


def _refusal(
    question: Question,
    place: ZoneInfo,
    slots: Slots,
    candidates: Sequence[Candidate],
    found: Sequence[Constraint],
) -> tuple[str | None, int | None]:
    """Why nothing is feasible, and when it may be; (None, None) when something is."""
    if question.plan.category != Category.TRANSACTIONAL and question.bucket < question.config.holdout_no_send:
        return Suppression.HOLDOUT, None
    if candidates:
        return None, None
    closed = {c.subject: c.name for c in found if c.name in _CLOSING}
    if any(c.name == "send_window" for c in found) or not question.plan.channels:
        return Suppression.INELIGIBLE, None
    if len(closed) == len(question.plan.channels):
        if Suppression.DUPLICATE in closed.values():
            return Suppression.DUPLICATE, min((c.retry_at for c in found if c.retry_at is not None), default=None)
        return Suppression.NO_CONSENT if Suppression.NO_CONSENT in closed.values() else Suppression.UNREACHABLE, None
    if not slots.open:
        return Suppression.QUIET_HOURS, next(c.retry_at for c in found if c.name == "quiet_hours")
    capped = [c for c in found if c.name == "frequency_cap" and c.binding]
    if len(closed) + len(capped) == len(question.plan.channels):
        retries = [c.retry_at for c in capped if c.retry_at is not None]
        return Suppression.FREQUENCY_CAPPED, _allowed_from(question, place, min(retries)) if retries else None
    return Suppression.INELIGIBLE, None


_CLOSING = (Suppression.NO_CONSENT, Suppression.UNREACHABLE, Suppression.DUPLICATE)


def _allowed_from(question: Question, place: ZoneInfo, at: int) -> int:
    return _next_open(question, place, at) or at


# -- how -------------------------------------------------------------------------------------------------------------


def _strategies(inputs: Inputs, terms: Terms, sync: Sync) -> tuple[str, ...]:
    """The strategies that took part, by what the draw really read."""
    behaviour = bool(inputs.habits) or (bool(inputs.stages & CHANNEL) and len(inputs.channels) > 1)
    words = bool(inputs.stages & VARIANT) and len(inputs.candidates) > 1
    return _applied(behaviour, words and Strategy.CONTEXTUAL_INTELLIGENCE in terms.strategies, words, sync.taken)


@lru_cache(maxsize=16)
def _applied(*parts: bool) -> tuple[str, ...]:
    names = (
        Strategy.BEHAVIORAL_ADAPTIVE,
        Strategy.CONTEXTUAL_INTELLIGENCE,
        Strategy.PREDICTIVE_OPTIMIZATION,
        Strategy.CROSS_CHANNEL_SYNC,
    )
    return tuple(str(name) for name, took_part in zip(names, parts, strict=True) if took_part)


def _recommendations(question: Question, quality_failed: bool) -> tuple[str, ...]:
    profile, one_variant = question.profile, len(question.plan.variants) == 1
    if profile is None or not profile.version:
        return _recommended("unknown_user" if question.request.user_id else "anonymous", False, False, one_variant, quality_failed)
    return _recommended("", profile.timezone is None, profile.language is None, one_variant, quality_failed)


@lru_cache(maxsize=64)
def _recommended(unknown: str, no_zone: bool, no_language: bool, one_variant: bool, quality_failed: bool) -> tuple[str, ...]:
    codes = {
        unknown: bool(unknown),
        "no_timezone": no_zone,
        "no_language": no_language,
        "one_variant": one_variant,
        "quality_below": quality_failed,
    }
    return tuple(code for code, holds in codes.items() if holds)
