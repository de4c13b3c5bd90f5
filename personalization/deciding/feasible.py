"""The feasible set, built before anything is drawn: which (variant, channel, slot) triples this message may take."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from zoneinfo import ZoneInfo

import msgspec

from personalization.clock import DAY, zone
from personalization.deciding.features import gathered, profile_features
from personalization.deciding.openings import allowed_from, open_channels, slots_for, zone_of
from personalization.deciding.paths import CHANNEL, SEND, TIMING, VARIANT
from personalization.deciding.planning import Candidates
from personalization.deciding.preferences import hour_evidence, hours_of_week
from personalization.deciding.question import Question, synced
from personalization.deciding.recommending import wishes_of
from personalization.deciding.record import MILLE, Candidate, ChannelOption, Constraint, Inputs, PricedInputs
from personalization.deciding.slots import Slots
from personalization.deciding.strategies import (
    BEHAVIOR,
    CONTEXT,
    DECLARED,
    HABIT,
    PRICES,
    REACH,
    SYNC,
    TASTE,
    switched,
)
from personalization.deciding.terms import Terms, terms_of
from personalization.engines import behavior, context
from personalization.engines.channels import Sync
from personalization.errors import MissingVariables
from personalization.learning.encoding import Feature, ago
from personalization.sent import shown_key
from personalization.vocabulary import Category, Mode, Suppression


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
    place = zone_of(question)
    sync = synced(question)
    parts = switched(question.capabilities, question.request.strategies) if question.personal else 0
    slots = slots_for(question, place, found)
    options = open_channels(question, place, slots, sync, parts, found)
    offered, quality_failed = _candidates(question, options, sync, parts, found)
    refusal, retry_at = _refusal(question, place, slots, offered.fitting, found)
    terms = _terms(question, quality_failed, found)
    unsent = refusal == Suppression.HOLDOUT  # they teach what comes without a message
    features, read = _features(question, slots, terms) if terms.stages and (refusal is None or unsent) else ((), 0)
    stages = terms.stages & ~SEND if question.plan.category == Category.TRANSACTIONAL else terms.stages
    prices = _prices(question, options, found) if terms.parts & PRICES and stages & SEND and refusal is None else ()
    kind = partial(PricedInputs, pricing_id=question.pricing.snapshot_id, prices=prices) if any(prices) else Inputs
    inputs = kind(
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
        stages=stages,
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


def _prices(question: Question, options: Sequence[ChannelOption], found: list[Constraint]) -> tuple[int, ...]:
    """Of a send by each channel, in millionths of a reward."""
    supposed = [question.supposes("budget", option.name) for option in options]
    prices = [0 if free else question.pricing.of(o.name, question.now) for o, free in zip(options, supposed, strict=True)]
    found += [Constraint("budget", option.name, False) for option, price in zip(options, prices, strict=True) if price]
    return tuple(prices)


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


def _terms(question: Question, quality_failed: bool, found: list[Constraint]) -> Terms:
    config, personal, held = question.config, question.personal, question.held
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
        learns=question.allows("learning"),
        holdout=held,
        quality_failed=quality_failed,
    )


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
    if question.held and question.bucket < question.config.holdout_no_send:
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
        return Suppression.FREQUENCY_CAPPED, allowed_from(question, place, min(retries)) if retries else None
    return Suppression.INELIGIBLE, None


_CLOSING = (Suppression.NO_CONSENT, Suppression.UNREACHABLE, Suppression.DUPLICATE)


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
