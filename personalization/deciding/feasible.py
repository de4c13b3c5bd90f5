"""The feasible set, built before anything is drawn: which (variant, channel, slot) triples this message may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from personalization.clock import DAY, zone
from personalization.deciding.features import gathered, profile_features
from personalization.deciding.paths import CHANNEL, SEND, TIMING, VARIANT
from personalization.deciding.planning import Candidates, Plan
from personalization.deciding.preferences import channel_evidence, hour_evidence, hours_of_week
from personalization.deciding.recommending import wishes_of
from personalization.deciding.record import MILLE, Candidate, ChannelOption, Constraint, Inputs
from personalization.deciding.slots import Slots, next_open, no_slots, slot_mask, slots_of
from personalization.deciding.strategies import (
    BEHAVIOR,
    CONTEXT,
    DECLARED,
    HABIT,
    REACH,
    SYNC,
    TASTE,
    Capabilities,
    switched,
)
from personalization.deciding.terms import Terms, terms_of
from personalization.engines import behavior, channels, context
from personalization.engines.channels import Sync, delivery
from personalization.errors import MissingVariables
from personalization.learning.encoding import Feature, ago
from personalization.messages import PersonalizationRequest
from personalization.profile import PersonalizationProfile
from personalization.sent import shown_key
from personalization.storage.base import Reservation
from personalization.tenant import DEFAULT_SEND_WINDOW, FrequencyCap, QuietHours, TenantConfig
from personalization.vocabulary import Category, ConsentDefault, Mode, Suppression


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One decision to make, with everything it may look at.

    bucket   : the user's stable place in [0, 1) for holdouts, 1 for nobody
    reserved : the user's cap reservations around the send window
    values   : what the template may use: {"user": {…}, context keys…}
    relaxed  : (name, subject) of constraints that are supposed not to hold, to see what would be decided then
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
    relaxed: frozenset[tuple[str, str]] = frozenset()

    def supposes(self, name: str, subject: str = "*") -> bool:
        """Whether that constraint is supposed not to hold."""
        return bool(self.relaxed) and (name, subject) in self.relaxed


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of the draw, and what only the record and the answer need.

    took   : the parts of strategies that found something or have a choice     wishes : recommendations, a bit each
    """

    inputs: Inputs
    mode: Mode
    trains: bool
    zone: ZoneInfo
    took: int = 0
    wishes: int = 0
    constraints: tuple[Constraint, ...] = ()
    quality_failed: bool = False


def prepare(question: Question) -> Prepared:
    """Raises MissingVariables when no variant has all its variables."""
    found: list[Constraint] = []
    place = _zone(question)
    sync = synced(question)
    parts = switched(question.capabilities, question.request.strategies) if _personal(question) else 0
    slots = _slots(question, place, found)
    options = _channels(question, place, slots, sync, parts, found)
    offered, quality_failed = _candidates(question, options, sync, parts, found)
    refusal, retry_at = _refusal(question, place, slots, offered.fitting, found)
    terms = _terms(question, quality_failed, found)
    unsent = refusal == Suppression.HOLDOUT  # they teach what comes without a message
    features, read = _features(question, slots, terms) if terms.stages and (refusal is None or unsent) else ((), 0)
    inputs = Inputs(
        seed=question.seed,
        now=question.now,
        model_id=question.model_id,
        snapshot_id=question.snapshot_id,
        features=features,
        candidates=offered.fitting if refusal is None else (),
        baseline=offered.baseline,
        channels=tuple(options) if refusal is None else (),
        earliest=slots.earliest,
        first_hour=slots.first_hour,
        hours=hours_of_week(slots.hours),
        habits=hour_evidence(question.profile, slots, bool(terms.parts & HABIT)),
        exploration=terms.exploration,
        method=question.config.policy,
        stages=terms.stages & ~SEND if question.plan.category == Category.TRANSACTIONAL else terms.stages,
        shown=_shown(question, offered.fitting),
        load=_load(question),
        relieved_at=_relieved_at(question),
        forced="baseline" if terms.held_back else "",
        refusal=refusal,
        retry_at=retry_at,
        guardrails=question.plan.guardrails if terms.stages & VARIANT and refusal is None else (),
    )
    return Prepared(
        inputs=inputs,
        mode=terms.mode,
        trains=(terms.trains and refusal is None) or (terms.learns and unsent),
        zone=place,
        took=SYNC * sync.taken | _took(question, inputs, slots, terms, read if refusal is None else 0),
        wishes=wishes_of(question.profile, question.request, question.plan, question.config, question.capabilities, quality_failed),
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
    request = question.request
    if request.message_id is None or not switched(question.capabilities, request.strategies) & SYNC:
        return Sync()
    return channels.read(question.profile, request, question.now)


def _terms(question: Question, quality_failed: bool, found: list[Constraint]) -> Terms:
    config, personal, held = question.config, _personal(question), _held(question)
    if held:
        found.append(Constraint("holdout", "*", False))
    if not personal:
        found.append(Constraint("personalization_consent", "*", False))
    return terms_of(
        question.capabilities,
        question.request.strategies,
        config.learning_mode,
        config.exploration,
        personal=personal,
        learns=_allows(question, "learning"),
        holdout=held,
        quality_failed=quality_failed,
    )


def _personal(question: Question) -> bool:
    return _allows(question, "personalization") or question.supposes("personalization_consent")


def _held(question: Question) -> bool:
    """Whether the person is kept on the baseline to measure lift."""
    share = question.config.holdout_no_send + question.config.holdout
    return question.bucket < share and question.plan.category != Category.TRANSACTIONAL and not question.supposes("holdout")


def _features(question: Question, slots: Slots, terms: Terms) -> tuple[tuple[Feature, ...], int]:
    """The features, and the engines that some of them are of."""
    who, readings = profile_features(question.profile, question.plan.language), []
    if terms.parts & CONTEXT:
        place = zone(question.config.timezone)
        readings.append((CONTEXT, context.read(question.profile, question.request, slots.earliest, place)))
    if terms.parts & BEHAVIOR:
        readings.append((BEHAVIOR, behavior.read(question.profile, question.request, question.now)))
    features = gathered(who, *[reading for _, reading in readings])
    read, end = 0, 1 + len(who)
    for engine, reading in readings:
        read |= engine * bool(reading.features and end < len(features))
        end += len(reading.features)
    return features, read


# -- when ------------------------------------------------------------------------------------------------------------


def _zone(question: Question) -> ZoneInfo:
    said = question.profile.timezone if question.profile else None
    return zone(said or question.config.timezone)


def _slots(question: Question, place: ZoneInfo, found: list[Constraint]) -> Slots:
    request, now = question.request, question.now
    window = None if question.supposes("send_window") else request.send_window
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
        retry_at = _quiet_until(question, place, slots) if slots.open else _next_open(question, place, latest)
        found.append(Constraint("quiet_hours", "*", slots.open == 0, retry_at))
    return slots


def _quiet_until(question: Question, place: ZoneInfo, slots: Slots) -> int | None:
    """When the first quiet hours in the window end, for whoever asked to be told."""
    if not question.request.explain:
        return None
    first = next(k for k in range(len(slots.hours)) if not slots.open >> k & 1)
    return _next_open(question, place, slots.at(first))


def _quiet(question: Question) -> tuple[QuietHours, ...]:
    if question.supposes("quiet_hours"):
        return ()
    own = question.profile.timing_preferences.quiet_hours if question.profile else None
    if (own is None and question.config.quiet_hours is None) or question.plan.category == Category.TRANSACTIONAL:
        return ()
    return tuple(q for q in (question.config.quiet_hours, own) if q is not None)


def _next_open(question: Question, place: ZoneInfo, after: int) -> int | None:
    return next_open(place, after, _quiet(question))


# -- where -----------------------------------------------------------------------------------------------------------


def _channels(
    question: Question, place: ZoneInfo, slots: Slots, sync: Sync, parts: int, found: list[Constraint]
) -> list[ChannelOption]:
    """The open channels in listed order, each with its allowed slots."""
    names, profile = question.plan.channels, question.profile
    known = channel_evidence(profile, names, question.now, bool(parts & TASTE))
    marketed = question.plan.category != Category.TRANSACTIONAL
    refused = marketed and not _allows(question, "marketing")
    guarded = refused or (profile is not None and _guarded(profile))
    caps = caps_of(question)
    if caps and (question.reserved or any(cap.limit <= 0 for cap in caps)):
        masks = [_uncapped(question, caps, slots, name) for name in names]
    else:
        masks = [(slots.open, None)] * len(names)
    options: list[ChannelOption] = []
    for name, preference, (mask, capped) in zip(names, known, masks, strict=True):
        closed = _closed(question, name, refused, marketed) if guarded else ()
        if closed:
            found += [Constraint(reason, name, True) for reason in closed]
            continue
        if (sync.duplicate or name in sync.used) and not question.supposes(Suppression.DUPLICATE, name):
            found.append(Constraint(Suppression.DUPLICATE, name, True, _due(question, place, sync, name)))
            continue
        if capped:
            found.append(capped)
        if mask:
            cost = round(question.config.channel(name).cost * question.plan.cost_weight * MILLE)
            arrives = delivery(profile, name, question.now) if parts & REACH else 1.0
            options.append(ChannelOption(name, preference, slot_mask(mask), cost, round(arrives * MILLE)))
    return options


def _due(question: Question, place: ZoneInfo, sync: Sync, channel: str) -> int | None:
    """When an unread message may go by this channel; a channel goes twice by no one."""
    return None if sync.due_at is None or channel in sync.used else _allowed_from(question, place, sync.due_at)


def _guarded(profile: PersonalizationProfile) -> bool:
    """Whether anything was said of single channels."""
    consent = profile.consent
    return bool(consent.channels or consent.marketing_channels or profile.reachability)


def _closed(question: Question, channel: str, refused: bool, marketed: bool) -> list[Suppression]:
    """Why this channel may not be used for this person. refused: marketing of any kind"""
    profile, reasons = question.profile, []
    if refused or (profile and _withheld(profile, channel, marketed)):
        reasons.append(Suppression.NO_CONSENT)
    if profile and profile.reachability.get(channel) is False:
        reasons.append(Suppression.UNREACHABLE)
    return [reason for reason in reasons if not question.supposes(reason, channel)] if question.relaxed else reasons


def _withheld(profile: PersonalizationProfile, channel: str, marketed: bool) -> bool:
    consent = profile.consent
    return consent.channels.get(channel) is False or (marketed and consent.marketing_channels.get(channel) is False)


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
    if question.supposes("frequency_cap", channel):
        return slots.open, None
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


def _candidates(
    question: Question, options: Sequence[ChannelOption], sync: Sync, parts: int, found: list[Constraint]
) -> tuple[Candidates, bool]:
    """Variants with all their variables, on the channels they fit and good enough; True when none was good enough. A
    message that was sent keeps its variant."""
    names = tuple([option.name for option in options])
    offered = _supposed(question, names) if question.relaxed else question.plan.candidates(question.values, names)
    if offered.lacking:
        raise MissingVariables(offered.missing)
    if offered.missing and not question.supposes("missing_variables"):
        found.append(Constraint("missing_variables", "*", False))
    unfit = question.plan.unfit
    if unfit:
        found += [_unfit(offered, names, n) for n in names if n in unfit and not question.supposes("channel_limit", n)]
    if sync.variant_id is not None:
        offered = offered.only(sync.variant_id)
    if question.request.strategies and not parts & DECLARED and question.plan.declares:
        offered = offered.undeclared()
    return _good(question, offered, found)


def _supposed(question: Question, names: tuple[str, ...]) -> Candidates:
    free = frozenset(name for name in names if question.supposes("channel_limit", name))
    return question.plan.supposed(question.values, names, complete=question.supposes("missing_variables"), free=free)


def _unfit(offered: Candidates, names: Sequence[str], name: str) -> Constraint:
    bit = 1 << names.index(name)
    return Constraint("channel_limit", name, not any(candidate.channels & bit for candidate in offered.fitting))


def _good(question: Question, offered: Candidates, found: list[Constraint]) -> tuple[Candidates, bool]:
    threshold = question.request.min_quality_score
    threshold = question.config.min_quality_score if threshold is None else threshold
    if threshold <= 0.0 or question.supposes("min_quality_score"):
        return offered, False
    good, failed = offered.good(threshold)
    if failed or len(good.fitting) < len(offered.fitting):
        found.append(Constraint("min_quality_score", "*", False))
    return good, failed


def _refusal(
    question: Question,
    place: ZoneInfo,
    slots: Slots,
    candidates: Sequence[Candidate],
    found: list[Constraint],
) -> tuple[str | None, int | None]:
    """Why nothing is feasible, and when it may be; (None, None) when something is."""
    if _held(question) and question.bucket < question.config.holdout_no_send:
        return Suppression.HOLDOUT, None
    if candidates:
        return None, None
    closed = {c.subject: c.name for c in reversed(found) if c.name in _CLOSING}
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


def _took(question: Question, inputs: Inputs, slots: Slots, terms: Terms, read: int) -> int:
    """The parts that had a choice to make, or found something where there was one. Of a message that is held back or
    refused none, whatever the policy would have drawn."""
    if inputs.refusal is not None or terms.held_back:
        return 0
    choices = inputs.stages & (
        VARIANT * (len(inputs.candidates) > 1)
        | CHANNEL * (len(inputs.channels) > 1)
        | TIMING * (slots.open.bit_count() > 1 and len(slots.hours) > 1)
    )
    if not choices:
        return 0
    patterns = question.profile.patterns if question.profile is not None else None
    told = DECLARED * bool(choices & VARIANT and question.plan.declares)
    if patterns is not None and patterns.engaged:
        told |= HABIT * bool(choices & TIMING)
    if patterns is not None and patterns.channels:
        told |= TASTE * bool(choices & CHANNEL and any(option.name in patterns.channels for option in inputs.channels))
        told |= REACH * bool(choices & CHANNEL and any(option.reach < MILLE for option in inputs.channels))
    return choices | read | told & terms.parts
