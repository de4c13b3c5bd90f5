"""Where and when a message may go: the open channels with their allowed slots, and what closed the others."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from personalization.clock import zone
from personalization.deciding.preferences import channel_evidence
from personalization.deciding.question import Question, caps_of
from personalization.deciding.record import MILLE, ChannelOption, Constraint
from personalization.deciding.slots import Slots, next_open, no_slots, slot_mask, slots_of
from personalization.deciding.strategies import REACH, TASTE
from personalization.engines.channels import Sync, delivery
from personalization.profile import PersonalizationProfile
from personalization.tenant import DEFAULT_SEND_WINDOW, FrequencyCap, QuietHours
from personalization.vocabulary import Category, Suppression


def zone_of(question: Question) -> ZoneInfo:
    said = question.profile.timezone if question.profile else None
    return zone(said or question.config.timezone)


def slots_for(question: Question, place: ZoneInfo, found: list[Constraint]) -> Slots:
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


# -- channels --------------------------------------------------------------------------------------------------------


def open_channels(
    question: Question, place: ZoneInfo, slots: Slots, sync: Sync, parts: int, found: list[Constraint]
) -> list[ChannelOption]:
    """The open channels in listed order, each with its allowed slots."""
    names, profile = question.plan.channels, question.profile
    known = channel_evidence(profile, names, question.now, bool(parts & TASTE))
    marketed = question.plan.category != Category.TRANSACTIONAL
    refused = marketed and not question.allows("marketing")
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
    return None if sync.due_at is None or channel in sync.used else allowed_from(question, place, sync.due_at)


def allowed_from(question: Question, place: ZoneInfo, at: int) -> int:
    return _next_open(question, place, at) or at


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
