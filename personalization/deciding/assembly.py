"""From a prepared question and its draw to the record: the last pure step of a decision."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from personalization.deciding.feasible import Prepared
from personalization.deciding.forecast import Forecast, forecast, shares_of
from personalization.deciding.guarding import guarded
from personalization.deciding.paths import SEND, VARIANT, PolicyOf
from personalization.deciding.question import Question, caps_of
from personalization.deciding.recommending import GUARDRAILS_CROSSED, NO_ENGAGEMENT, chosen
from personalization.deciding.record import FORMAT, Outcome, Record
from personalization.deciding.stages import draw_many
from personalization.deciding.strategies import FORECAST, applied, switched
from personalization.deciding.supposing import explained
from personalization.errors import MissingVariables, RenderingFailed
from personalization.learning.policy import Policy
from personalization.version import VERSION
from personalization.vocabulary import FallbackReason, Mode, Suppression

#: What a replay compares: another code version may rightly decide otherwise.
CODE = VERSION


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision before it is recorded. personalized: the rendered text; used: the values it was rendered from."""

    prepared: Prepared
    outcome: Outcome
    fallback: FallbackReason | None = None
    personalized: dict[str, str] | None = None
    used: dict[str, Any] | None = None


def decide_many(questions: list[Question], prepared: list[Prepared], policy_of: PolicyOf) -> list[Decided]:
    """Draw and render. A draw or text that fails becomes the baseline, marked as fallback."""
    try:
        outcomes = draw_many([one.inputs for one in prepared], policy_of)
    except Exception:  # a broken model must not cost the message; each is tried alone
        return [_alone(question, one, policy_of) for question, one in zip(questions, prepared, strict=True)]
    return [_rendered(*case) for case in zip(questions, prepared, outcomes, strict=True)]


def _alone(question: Question, prepared: Prepared, policy_of: PolicyOf) -> Decided:
    try:
        return _rendered(question, prepared, draw_many([prepared.inputs], policy_of)[0])
    except Exception:
        return _fallen_back(question, prepared, FallbackReason.MODEL)


def settled(question: Question, decided: Decided, fallback: FallbackReason | None, exhausted: bool) -> Decided:
    """A send that lost its reservation once too often, or came too late, becomes what is safe."""
    if decided.outcome.chosen is None:
        return decided
    if exhausted:
        return _refused(decided, Suppression.FREQUENCY_CAPPED, _soonest(question))
    if fallback is not None:
        return _fallen_back(question, decided.prepared, fallback)
    return decided


def _soonest(question: Question) -> int | None:
    """When the first of the user's caps lets go."""
    return min((r.slot_at + cap.period for cap in caps_of(question) for r in question.reserved), default=None)


def _fallen_back(question: Question, prepared: Prepared, reason: FallbackReason) -> Decided:
    """The baseline instead, which needs no model; suppressed as ineligible when even its text fails."""
    inputs = replace(prepared.inputs, forced="baseline", stages=0, exploration=0, features=())
    safe = replace(prepared, inputs=inputs, mode=Mode.FALLBACK, trains=False, took=0)
    decided = Decided(prepared=safe, outcome=draw_many([inputs], _no_policy)[0], fallback=reason)
    try:
        return _with_text(question, decided)
    except (RenderingFailed, MissingVariables):
        return _refused(decided, Suppression.INELIGIBLE)


def _refused(decided: Decided, reason: Suppression, retry_at: int | None = None) -> Decided:
    """The same decision with nothing feasible any more."""
    inputs = replace(decided.prepared.inputs, refusal=reason, retry_at=retry_at, candidates=(), channels=(), features=())
    return Decided(
        prepared=replace(decided.prepared, inputs=inputs, trains=False, took=0),
        outcome=draw_many([inputs], _no_policy)[0],
        fallback=decided.fallback,
    )


def _rendered(question: Question, prepared: Prepared, outcome: Outcome) -> Decided:
    try:
        return _with_text(question, Decided(prepared=prepared, outcome=outcome))
    except (RenderingFailed, MissingVariables):
        return _fallen_back(question, prepared, FallbackReason.RENDERING)


def _with_text(question: Question, decided: Decided) -> Decided:
    chosen = decided.outcome.chosen
    if chosen is None or not question.request.render:
        return decided
    candidate = decided.prepared.inputs.candidates[chosen.variant]
    compiled = question.plan.variant(candidate.variant_id).compiled
    used = compiled.used(question.values)
    text = compiled.render(
        used,
        locale=_text_locale(candidate.locale, question.plan.language),
        zone=decided.prepared.zone,
        now=question.now,
        currency=question.config.currency,
    )
    return replace(decided, personalized=text, used=used)


def _text_locale(locale: str, language: str) -> str:
    return language if locale == "und" else locale


def _no_policy(model_id: str, snapshot_id: int) -> Any:
    raise AssertionError("a baseline or a refusal reads no policy")


def record_of(question: Question, decided: Decided, policy_of: PolicyOf, milliseconds: float) -> Record:
    prepared, request = decided.prepared, question.request
    parts = switched(question.capabilities, request.strategies)
    can = bool(parts & FORECAST)
    policy = policy_of(question.model_id, question.snapshot_id) if parts & (FORECAST | VARIANT) else None
    shares, unheard = _told(policy) if policy is not None else (shares_of({}), 0)
    over = guarded(prepared.inputs, decided.outcome, policy_of)
    constraints, what_ifs = explained(question, prepared, decided.outcome, policy_of, decided.fallback is not None)
    return Record(
        format=FORMAT,
        code=CODE,
        inputs=prepared.inputs,
        outcome=decided.outcome,
        mode=prepared.mode,
        level=question.level,
        trains=prepared.trains and _tells(decided),
        config_version=question.config.version,
        template_id=question.plan.template_id,
        template_version=question.plan.template_version,
        language=question.plan.language,
        zone=prepared.zone.key,
        forecast=forecast(shares if can else shares_of({}), question.profile if can else None, question.now),
        strategies=applied(request.strategies, _took(decided)),
        recommendations=chosen(prepared.wishes | unheard | GUARDRAILS_CROSSED * any(one.admitted for one in over)),
        constraints=constraints,
        fallback=decided.fallback,
        known=question.profile is not None and question.profile.declared,
        render=request.render,
        explain=request.explain,
        cache_hit=question.cache_hit,
        milliseconds=milliseconds,
        what_ifs=what_ifs,
        guarded=over,
    )


def _tells(decided: Decided) -> bool:
    """Whether its reward says what this message does, or what not sending it does: by chance or where that was told apart."""
    suppression = decided.outcome.suppression
    return decided.fallback is None and suppression in (None, Suppression.HOLDOUT, Suppression.LOW_UPLIFT)


def _took(decided: Decided) -> int:
    """The parts of strategies that took part, now that it is drawn whether to send at all."""
    outcome = decided.outcome
    weighed = outcome.send < 1.0 or outcome.held is not None
    return decided.prepared.took | SEND * weighed


def _told(policy: Policy) -> tuple[Forecast, int]:
    """What engagement so far says, and the wish for some where there was none."""
    return shares_of(policy.counts, policy.lately), NO_ENGAGEMENT * (policy.counts.keys() <= {"exposed"})
