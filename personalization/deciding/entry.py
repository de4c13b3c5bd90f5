"""From a decided question to its row in the log and its first answer, and from the row to the text that was sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from personalization.clock import MINUTE, utc_offset, zone
from personalization.deciding.assembly import Decided
from personalization.deciding.document import document, slot_at
from personalization.deciding.features import feature_names
from personalization.deciding.paths import PolicyOf
from personalization.deciding.planning import Plan
from personalization.deciding.question import Question, caps_of, synced
from personalization.deciding.record import MILLE, Record, encode_record
from personalization.messages import PersonalizationResponse
from personalization.sent import message_key
from personalization.storage.base import NewDecision, StoredDecision
from personalization.template import ANY_LOCALE, Template
from personalization.vocabulary import Action, Category


def new_decision(question: Question, template: Template, decided: Decided, record: Record) -> NewDecision:
    """The row: what the store counts by in columns, all else in the record. template: kept with it when it is inline."""
    chosen, inputs = record.outcome.chosen, record.inputs
    at = None if chosen is None else slot_at(inputs, chosen)
    named = question.request.decision_id is not None or question.request.idempotency_key is not None
    candidate = None if chosen is None else inputs.candidates[chosen.variant]
    counted = at is not None and question.user_ref is not None
    message_id = question.request.message_id
    return NewDecision(
        decision_id=question.decision_id,
        user_ref=question.user_ref,
        decided_at=question.now,
        slot_at=at,
        action=Action.SUPPRESS if chosen is None else Action.SEND,
        mode=record.mode,
        record=encode_record(record),
        body=msgspec.json.encode(replace(question.request, idempotency_key=None)) if named else b"",
        category=question.plan.category,
        template_id=record.template_id,
        template_version=record.template_version,
        variant_id=candidate.variant_id if candidate else None,
        channel=inputs.channels[chosen.channel].name if chosen else None,
        suppression=record.outcome.suppression,
        quality=candidate.quality / MILLE if candidate else None,
        zone_offset=utc_offset(question.now if at is None else at, decided.prepared.zone) // MINUTE,
        active=question.request.activate,
        values=_sealed(question, template, decided),
        reserves=counted and question.plan.category != Category.TRANSACTIONAL and not synced(question).counted,
        caps=caps_of(question) if counted else (),
        message=message_key(question.user_ref, message_id) if counted and question.user_ref and message_id else None,
    )


def first_answer(question: Question, decided: Decided, record: Record, policy_of: PolicyOf) -> PersonalizationResponse:
    """`unsealed` and `rendered_again` make the same from the row."""
    answer = document(
        record,
        decision_id=question.decision_id,
        user_id=question.request.user_id,
        original=question.plan.original,
        personalized=decided.personalized,
        policy_of=policy_of,
        names=_names(question),
    )
    return PersonalizationResponse(answer, quality_failed=decided.prepared.quality_failed)


def unsealed(stored: StoredDecision) -> dict[str, Any]:
    """What `new_decision` put beside the record: used (values), template (inline), names (of features); each may lack."""
    return msgspec.msgpack.decode(stored.values) if stored.values else {}


def rendered_again(record: Record, plan: Plan, sealed: Mapping[str, Any], currency: str) -> dict[str, str] | None:
    """The text that was sent; None when none was, or it was not to be rendered."""
    chosen = record.outcome.chosen
    if chosen is None or not record.render:
        return None
    candidate = record.inputs.candidates[chosen.variant]
    return plan.variant(candidate.variant_id).compiled.render(
        sealed.get("used", {}),
        locale=record.language if candidate.locale == ANY_LOCALE else candidate.locale,
        zone=zone(record.zone),
        now=record.inputs.now,
        currency=currency,
    )


def _sealed(question: Question, template: Template, decided: Decided) -> bytes | None:
    """What the answer can be made from again, beside the record: values, inline content, feature names."""
    kept: dict[str, Any] = {}
    if decided.used is not None:
        kept["used"] = decided.used
    if not template.template_id:
        kept["template"] = msgspec.to_builtins(template)
    if question.request.explain:
        kept["names"] = _names(question)
    return msgspec.msgpack.encode(kept) if kept else None


def _names(question: Question) -> dict[int, str]:
    """Of the features that took part, where somebody asked for an explanation."""
    if not question.request.explain:
        return {}
    return feature_names(question.profile, question.plan.language, question.request.context)
