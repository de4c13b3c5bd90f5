"""The heart of the house: the engine that decides. Orchestration (queues, deadlines, threads) is in orchestration.py.

A decision's way: who (pseudonym, profile) -> which message (plan) -> what is feasible -> draw -> text -> log -> answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as changed
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace
from prometheus_client import Counter

from personalization import telemetry
from personalization.cache import CachedProfiles
from personalization.clock import MINUTE, Clock, utc_offset, zone
from personalization.deciding.assembly import CODE, Decided, decide_many, fallen_back, record_of, refused
from personalization.deciding.document import document, slot_at
from personalization.deciding.feasible import Question, caps_of, prepare
from personalization.deciding.features import feature_names
from personalization.deciding.planning import Plan, plan_of
from personalization.deciding.record import MILLE, Record, decode_record, encode_record
from personalization.deciding.replay import Replay, replay
from personalization.deciding.stages import PolicyOf
from personalization.deciding.terms import Capabilities
from personalization.errors import Conflict, KeyReused, NotFound, PersonalizationError, StorageUnavailable
from personalization.messages import PersonalizationRequest, PersonalizationResponse
from personalization.models.registry import PolicyBook
from personalization.orchestration import PersonalizationOrchestrator
from personalization.profile import Consent, PersonalizationProfile
from personalization.recent import Recent
from personalization.storage.base import (
    CONFLICT,
    GONE,
    LOST,
    RECORDED,
    REPEATED,
    DecisionOutcome,
    NewDecision,
    Storage,
    StoredDecision,
)
from personalization.template import ANY_LOCALE, Template, Variant
from personalization.tenant import DEFAULT_SEND_WINDOW, TenantConfig
from personalization.vocabulary import Action, Category, FallbackReason, Suppression

__all__ = ["Ask", "DeepPersonalizationEngine", "PersonalizationOrchestrator", "PersonalizationProfile"]

#: How often a decision whose reservation was taken by another is computed anew.
_RECOMPUTATIONS = 2
_PLANS_KEPT = 4_096
#: Inline contents are kept few and small, since callers may send ever new ones of a megabyte.
_INLINE_KEPT, _INLINE_BYTES = 256, 16_384


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request on its way. arrived: monotonic seconds; fallback: why the baseline must do, when something failed already."""

    request: PersonalizationRequest
    level: str
    capabilities: Capabilities
    arrived: float
    fallback: FallbackReason | None = None


#: What becomes of an ask: an answer, or why there is none.
Answer = PersonalizationResponse | PersonalizationError


class _Planned(msgspec.Struct, frozen=True):
    """A message as the engine needs it, and the newest policy of its model."""

    template: Template
    plan: Plan
    snapshot_id: int


class _Case(msgspec.Struct):
    """One ask being worked on: the question grows fresh counts, the answer comes at the end.

    erased : nothing is stored of it        gone : the person left meanwhile, so it must be asked anew
    """

    ask: Ask
    template: Template
    question: Question
    answer: Answer | None = None
    erased: bool = False
    gone: bool = False


class DeepPersonalizationEngine:
    """Decides, records and answers. Thread-safe; blocks for the store only.

    new_id : makes a decision_id that was never used
    """

    def __init__(
        self, storage: Storage, profiles: CachedProfiles, book: PolicyBook, clock: Clock, new_id: Callable[[], str]
    ) -> None:
        self._storage, self._profiles, self._book, self._clock, self._new_id = storage, profiles, book, clock, new_id
        self._plans: Recent[object, Plan] = Recent(_PLANS_KEPT)
        self._inline_plans: Recent[object, Plan] = Recent(_INLINE_KEPT)

    def decide(self, asks: Sequence[Ask]) -> list[Answer]:
        """One answer an ask, in order; decisions of one tenant are recorded in one transaction."""
        answers: list[Answer | None] = [None] * len(asks)
        tenants: dict[str, list[int]] = defaultdict(list)
        for i, ask in enumerate(asks):
            tenants[ask.request.tenant_id].append(i)
        for tenant_id, members in tenants.items():
            try:
                found = self._decide(tenant_id, [asks[i] for i in members])
            except PersonalizationError as error:
                found = [error] * len(members)
            for i, answer in zip(members, found, strict=True):
                answers[i] = answer
        return [answer for answer in answers if answer is not None]

    def stored(self, tenant_id: str, decision_id: str) -> tuple[StoredDecision, Record]:
        """Raises NotFound."""
        found = self._storage.log.decision(tenant_id, decision_id)
        if found is None:
            raise NotFound("decision")
        return found, decode_record(found.record)

    def forget(self) -> None:
        """Drop the plans made ready: inline contents may be about somebody."""
        self._plans.clear()
        self._inline_plans.clear()

    def recall(self, stored: StoredDecision, record: Record, names: Mapping[int, str] | None = None) -> dict[str, Any]:
        """The document that the decision's first answer was. names: of features, where the decision kept none.

        Raises NotFound when the person left.
        """
        known = [stored.user_ref] if stored.user_ref is not None else []
        user_ids = list(self._storage.users.reveal(stored.tenant_id, known).values())
        if known and not user_ids:
            raise NotFound("decision")
        sealed = msgspec.msgpack.decode(stored.values) if stored.values else {}
        config = self._storage.tenants.config(stored.tenant_id, record.config_version)
        template = self._recalled_template(stored, sealed)
        plan = self._plan(template, config, record.language, tuple(c.name for c in record.inputs.channels), stored.category)
        chosen = record.outcome.chosen
        personalized = None
        if chosen is not None and record.render:
            candidate = record.inputs.candidates[chosen.variant]
            personalized = plan.variant(candidate.variant_id).compiled.render(
                sealed.get("used", {}),
                locale=record.language if candidate.locale == ANY_LOCALE else candidate.locale,
                zone=zone(record.zone),
                now=record.inputs.now,
                currency=config.currency,
            )
        return document(
            record,
            decision_id=stored.decision_id,
            user_id=user_ids[0] if user_ids else None,
            original=plan.original,
            personalized=personalized,
            policy_of=partial(self._book.get, stored.tenant_id),
            names=sealed.get("names") or names or {},
        )

    def digest(self, record: Record) -> str:
        """A hash of the recorded inputs: equal inputs, equal digest."""
        return blake2b(msgspec.msgpack.encode(record.inputs), digest_size=16).hexdigest()

    def replay(self, tenant_id: str, record: Record) -> Replay:
        return replay(record, CODE, partial(self._book.get, tenant_id))

    # -- one tenant's asks -------------------------------------------------------------------------------------------

    def _decide(self, tenant_id: str, asks: Sequence[Ask]) -> list[Answer]:
        cases = self._cases(tenant_id, asks)
        waiting = [case for case in cases if isinstance(case, _Case)]
        self._reserve(tenant_id, waiting)
        for attempt in range(_RECOMPUTATIONS + 2):
            if waiting:
                waiting = self._attempt(tenant_id, waiting, exhausted=attempt > _RECOMPUTATIONS)
        again = [i for i, case in enumerate(cases) if isinstance(case, _Case) and case.gone]
        renewed = dict(zip(again, self._decide(tenant_id, [asks[i] for i in again]), strict=True)) if again else {}
        return [renewed.get(i) or _answer(case) for i, case in enumerate(cases)]

    def _cases(self, tenant_id: str, asks: Sequence[Ask]) -> list[_Case | PersonalizationError]:
        """Who asks, and about which message."""
        now = self._clock.now()
        config = self._storage.tenants.config(tenant_id)
        wanted = {ask.request.user_id for ask in asks if ask.request.user_id is not None}
        refs = self._storage.users.resolve(tenant_id, wanted, now, create=True) if wanted else {}
        cached = {ref for ref in refs.values() if (tenant_id, ref) in self._profiles}
        profiles = self._profiles.load(tenant_id, refs.values()) if refs else {}
        salt = self._storage.tenants.secret(tenant_id, "assignment")
        planned: dict[tuple[object, ...], _Planned] = {}
        cases: list[_Case | PersonalizationError] = []
        for ask in asks:
            ref = refs.get(ask.request.user_id) if ask.request.user_id is not None else None
            erased = ask.request.user_id is not None and ref is None
            profile = _nobody(tenant_id) if erased else profiles.get(ref) if ref is not None else None
            try:
                message = self._planned(ask.request, config, profile, planned)
                cases.append(self._case(ask, config, now, salt, ref, profile, ref in cached, message, erased))
            except PersonalizationError as error:
                cases.append(error)
        return cases

    def _planned(
        self,
        request: PersonalizationRequest,
        config: TenantConfig,
        profile: PersonalizationProfile | None,
        known: dict[tuple[object, ...], _Planned],
    ) -> _Planned:
        """The message made ready for this person; `known` are those of the same call."""
        language = request.language or (profile.language if profile else None) or config.default_language
        key = (request.template_id, language, request.channels, request.category)
        message = known.get(key)
        if message is None:
            template = self._template(request)
            plan = self._plan(template, config, language, request.channels, request.category or template.category)
            message = _Planned(template, plan, self._book.current(request.tenant_id, plan.model_id).snapshot_id)
            if request.template_id is not None:
                known[key] = message
        return message

    def _case(
        self,
        ask: Ask,
        config: TenantConfig,
        now: int,
        salt: bytes,
        user_ref: bytes | None,
        profile: PersonalizationProfile | None,
        cache_hit: bool,
        message: _Planned,
        erased: bool,
    ) -> _Case:
        request = ask.request
        decision_id = request.decision_id or _from_key(salt, request.idempotency_key) or self._new_id()
        question = Question(
            request=request,
            decision_id=decision_id,
            seed=blake2b(decision_id.encode(), key=salt, digest_size=16).digest(),
            now=now,
            config=config,
            level=ask.level,
            capabilities=ask.capabilities,
            plan=message.plan,
            model_id=message.plan.model_id,
            snapshot_id=message.snapshot_id,
            user_ref=user_ref,
            profile=profile,
            bucket=_bucket(salt, user_ref) if user_ref is not None and (config.holdout or config.holdout_no_send) else 1.0,
            values=_values(profile, request.context),
            cache_hit=cache_hit,
        )
        return _Case(ask, message.template, question, erased=erased)

    def _reserve(self, tenant_id: str, cases: Sequence[_Case]) -> None:
        """Give the capped ones their users' reservations."""
        capped = [(case, caps) for case in cases if case.question.user_ref is not None and (caps := caps_of(case.question))]
        if not capped:
            return
        longest = max(cap.period for _, caps in capped for cap in caps)
        since, until = cases[0].question.now - longest, max(_latest(case.question) for case, _ in capped) + longest
        users = {case.question.user_ref for case, _ in capped if case.question.user_ref is not None}
        reserved = self._storage.log.reserved(tenant_id, users, since, until)
        for case, _ in capped:
            if case.question.user_ref in reserved:
                case.question = replace(case.question, reserved=reserved[case.question.user_ref])

    def _attempt(self, tenant_id: str, cases: Sequence[_Case], exhausted: bool) -> list[_Case]:
        """Decide and record; the cases whose reservation was lost come back with fresh counts."""
        policy_of: PolicyOf = partial(self._book.get, tenant_id)
        settled = self._decided(cases, policy_of, exhausted)
        now = self._clock.monotonic()
        ready = [(case, one, record_of(case.question, one, policy_of, _since(case.ask, now))) for case, one in settled]
        appended = self._appended(tenant_id, ready)
        lost = []
        for (case, decided, record), outcome in zip(ready, appended, strict=True):
            if outcome.status == LOST:
                case.question = replace(case.question, reserved=outcome.reserved)
                lost.append(case)
            elif outcome.status == CONFLICT:
                case.answer = _reused(case.ask.request)
            elif outcome.status == GONE:
                case.gone = True
            elif outcome.status == REPEATED:
                recalled = self.recall(*self.stored(tenant_id, case.question.decision_id))
                case.answer = PersonalizationResponse(recalled, created=False)
            else:
                case.answer = _response(case, decided, record, policy_of)
        return lost

    def _appended(self, tenant_id: str, ready: Sequence[tuple[_Case, Decided, Record]]) -> list[DecisionOutcome]:
        """Nothing is recorded of a person who was erased."""
        kept = [_new_decision(*one) for one in ready if not one[0].erased]
        outcomes = iter(self._storage.log.append_decisions(tenant_id, kept) if kept else ())
        return [DecisionOutcome(RECORDED) if case.erased else next(outcomes) for case, _, _ in ready]

    def _decided(self, cases: Sequence[_Case], policy_of: PolicyOf, exhausted: bool) -> list[tuple[_Case, Decided]]:
        """The cases that can be decided, and how; the others have their answer."""
        ready, prepared = [], []
        for case in cases:
            try:
                prepared.append(prepare(case.question))
                ready.append(case)
            except PersonalizationError as error:
                case.answer = error
        decided = decide_many([case.question for case in ready], prepared, policy_of)
        return [(case, _settled(case, one, exhausted)) for case, one in zip(ready, decided, strict=True)]

    # -- messages ----------------------------------------------------------------------------------------------------

    def _template(self, request: PersonalizationRequest) -> Template:
        if request.template_id is None:
            return _inline(request)
        template = self._storage.templates.get(request.tenant_id, request.template_id)
        if template is None:
            raise NotFound("template")
        return template

    def _recalled_template(self, stored: StoredDecision, sealed: Mapping[str, Any]) -> Template:
        if stored.template_id is None:
            return msgspec.convert(sealed["template"], Template)
        template = self._storage.templates.get(stored.tenant_id, stored.template_id, stored.template_version)
        if template is None:
            raise NotFound("template")
        return template

    def _plan(self, template: Template, config: TenantConfig, language: str, channels: tuple[str, ...], category: str) -> Plan:
        """Plans of stored templates are kept, and those of recent inline contents that are small."""
        stored = bool(template.template_id)
        what = (template.template_id, template.version) if stored else msgspec.json.encode(template.variants)
        plans = self._plans if stored else self._inline_plans
        key = (template.tenant_id, what, config.version, language, channels, category)
        plan = plans.get(key)
        if plan is None:
            plan = plan_of(changed(template, category=category), config, language, channels)
            if stored or len(what) <= _INLINE_BYTES:
                plans.put(key, plan)
        return plan


def _since(ask: Ask, now: float) -> float:
    """Milliseconds."""
    return round((now - ask.arrived) * 1e3, 3)


def _settled(case: _Case, decided: Decided, exhausted: bool) -> Decided:
    """A send that lost its reservation once too often, or came too late, becomes what is safe."""
    if decided.outcome.chosen is None:
        return decided
    if exhausted:
        return refused(decided, Suppression.FREQUENCY_CAPPED, _soonest(case.question))
    if case.ask.fallback is not None:
        return fallen_back(case.question, decided.prepared, case.ask.fallback)
    return decided


def _new_decision(case: _Case, decided: Decided, record: Record) -> NewDecision:
    question, chosen, inputs = case.question, record.outcome.chosen, record.inputs
    at = None if chosen is None else slot_at(inputs, chosen)
    named = question.request.decision_id is not None or question.request.idempotency_key is not None
    candidate = None if chosen is None else inputs.candidates[chosen.variant]
    counted = at is not None and question.user_ref is not None
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
        suppression=inputs.refusal,
        quality=candidate.quality / MILLE if candidate else None,
        zone_offset=utc_offset(question.now if at is None else at, decided.prepared.zone) // MINUTE,
        active=question.request.activate,
        values=_sealed(case, decided),
        reserves=counted and question.plan.category != Category.TRANSACTIONAL,
        caps=caps_of(question) if counted else (),
    )


def _response(case: _Case, decided: Decided, record: Record, policy_of: PolicyOf) -> PersonalizationResponse:
    _decided(Action.SUPPRESS if record.outcome.chosen is None else Action.SEND, record.mode).inc()
    if record.fallback is not None:
        telemetry.FALLBACKS.labels(record.fallback).inc()
    answer = document(
        record,
        decision_id=case.question.decision_id,
        user_id=case.ask.request.user_id,
        original=case.question.plan.original,
        personalized=decided.personalized,
        policy_of=policy_of,
        names=_names(case.question),
    )
    return PersonalizationResponse(answer, quality_failed=decided.prepared.quality_failed)


@lru_cache(maxsize=64)
def _decided(action: str, mode: str) -> Counter:
    """The counter with its labels bound once."""
    return telemetry.DECISIONS.labels(action, mode)


def _answer(case: _Case | PersonalizationError) -> Answer:
    if isinstance(case, PersonalizationError):
        return case
    return case.answer or StorageUnavailable("the decision was not recorded")


def _inline(request: PersonalizationRequest) -> Template:
    variants = request.variants or (Variant(variant_id="content", content={ANY_LOCALE: dict(request.content or {})}),)
    return Template(
        tenant_id=request.tenant_id,
        template_id="",
        version=0,
        name="inline",
        variants=variants,
        baseline_variant_id=variants[0].variant_id,
        category=request.category or Category.PROMOTIONAL,
    )


def _nobody(tenant_id: str) -> PersonalizationProfile:
    """Who an erased person is to a decision: unknown, and not to be personalised for nor learned from."""
    return PersonalizationProfile(tenant_id=tenant_id, user_ref=b"", consent=Consent(personalization=False, learning=False))


def _values(profile: PersonalizationProfile | None, context: Mapping[str, Any]) -> dict[str, Any]:
    return {**context, "user": {**profile.traits, **profile.attributes} if profile else {}}


def _sealed(case: _Case, decided: Decided) -> bytes | None:
    """What the answer can be made from again, beside the record: values, inline content, feature names."""
    kept: dict[str, Any] = {}
    if decided.used is not None:
        kept["used"] = decided.used
    if not case.template.template_id:
        kept["template"] = msgspec.to_builtins(case.template)
    if case.ask.request.explain:
        kept["names"] = _names(case.question)
    return msgspec.msgpack.encode(kept) if kept else None


def _names(question: Question) -> dict[int, str]:
    """Of the features that took part, where somebody asked for an explanation."""
    if not question.request.explain:
        return {}
    return feature_names(question.profile, question.plan.language, question.request.context)


def _bucket(salt: bytes, user_ref: bytes) -> float:
    return int.from_bytes(blake2b(user_ref, key=salt, digest_size=8).digest(), "big") / 2**64


def _from_key(salt: bytes, key: str | None) -> str | None:
    return None if key is None else blake2b(b"idempotency:" + key.encode(), key=salt, digest_size=16).hexdigest()


def _reused(request: PersonalizationRequest) -> PersonalizationError:
    if request.decision_id is None:
        return KeyReused()
    return Conflict(f"The decision_id {request.decision_id} was used for another request; choose a new one.")


def _latest(question: Question) -> int:
    """The latest time a slot of the send window may have."""
    window = question.request.send_window
    if window is None:
        return question.now + DEFAULT_SEND_WINDOW
    if window.latest is not None:
        return window.latest
    return max(question.now, window.earliest or question.now) + DEFAULT_SEND_WINDOW


def _soonest(question: Question) -> int | None:
    """When the first of the user's caps lets go."""
    return min((r.slot_at + cap.period for cap in caps_of(question) for r in question.reserved), default=None)
