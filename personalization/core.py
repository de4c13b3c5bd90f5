"""The heart of the house: the engine that decides. Orchestration (queues, deadlines, threads) is in orchestration.py.

A decision's way: who (pseudonym, profile) -> which message (plan) -> what is feasible -> draw -> text -> log -> answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace
from prometheus_client import Counter

from personalization import telemetry
from personalization.cache import CachedProfiles
from personalization.clock import Clock
from personalization.deciding.asking import inline, latest_slot, nobody, question_of
from personalization.deciding.assembly import CODE, Decided, decide_many, record_of, settled
from personalization.deciding.document import document
from personalization.deciding.entry import first_answer, new_decision, rendered_again, unsealed
from personalization.deciding.feasible import prepare
from personalization.deciding.paths import PolicyOf
from personalization.deciding.planning import Plan, Plans
from personalization.deciding.question import Question, caps_of
from personalization.deciding.record import Record, decode_record
from personalization.deciding.replay import Replay, replay
from personalization.deciding.strategies import Capabilities
from personalization.errors import Conflict, KeyReused, NotFound, PersonalizationError, StorageUnavailable
from personalization.messages import PersonalizationRequest, PersonalizationResponse
from personalization.models.prices import NO_PRICES
from personalization.models.registry import PolicyBook
from personalization.orchestration import PersonalizationOrchestrator
from personalization.profile import PersonalizationProfile
from personalization.storage.base import CONFLICT, GONE, LOST, RECORDED, DecisionOutcome, Storage, StoredDecision
from personalization.template import Template
from personalization.tenant import TenantConfig
from personalization.vocabulary import Action, FallbackReason

__all__ = ["Ask", "DeepPersonalizationEngine", "PersonalizationOrchestrator", "PersonalizationProfile"]

#: How often a decision whose reservation was taken by another is computed anew.
_RECOMPUTATIONS = 2


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
        self._plans = Plans()

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

    def recall(self, stored: StoredDecision, record: Record, names: Mapping[int, str] | None = None) -> dict[str, Any]:
        """The document that the decision's first answer was. names: of features, where the decision kept none.

        Raises NotFound when the person left.
        """
        known = [stored.user_ref] if stored.user_ref is not None else []
        user_ids = list(self._storage.users.reveal(stored.tenant_id, known).values())
        if known and not user_ids:
            raise NotFound("decision")
        sealed = unsealed(stored)
        config = self._storage.tenants.config(stored.tenant_id, record.config_version)
        template = self._recalled_template(stored, sealed)
        plan = self._plans.of(template, config, record.language, tuple(c.name for c in record.inputs.channels), stored.category)
        return document(
            record,
            decision_id=stored.decision_id,
            user_id=user_ids[0] if user_ids else None,
            original=plan.original,
            personalized=rendered_again(record, plan, sealed, config.currency),
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
        pricing = self._book.pricing(tenant_id) if config.budgets else NO_PRICES
        planned: dict[tuple[object, ...], _Planned] = {}
        cases: list[_Case | PersonalizationError] = []
        for ask in asks:
            ref = refs.get(ask.request.user_id) if ask.request.user_id is not None else None
            erased = ask.request.user_id is not None and ref is None
            profile = nobody(tenant_id) if erased else profiles.get(ref) if ref is not None else None
            try:
                message = self._planned(ask.request, config, profile, planned)
                question = question_of(
                    ask.request,
                    level=ask.level,
                    capabilities=ask.capabilities,
                    config=config,
                    now=now,
                    salt=salt,
                    new_id=self._new_id,
                    plan=message.plan,
                    snapshot_id=message.snapshot_id,
                    user_ref=ref,
                    profile=profile,
                    cache_hit=ref in cached,
                    pricing=pricing,
                )
                cases.append(_Case(ask, message.template, question, erased=erased))
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
            plan = self._plans.of(template, config, language, request.channels, request.category or template.category)
            message = _Planned(template, plan, self._book.current(request.tenant_id, plan.model_id).snapshot_id)
            if request.template_id is not None:
                known[key] = message
        return message

    def _reserve(self, tenant_id: str, cases: Sequence[_Case]) -> None:
        """Give the capped ones their users' reservations."""
        capped = [(case, caps) for case in cases if case.question.user_ref is not None and (caps := caps_of(case.question))]
        if not capped:
            return
        longest = max(cap.period for _, caps in capped for cap in caps)
        since, until = cases[0].question.now - longest, max(latest_slot(case.question) for case, _ in capped) + longest
        users = {case.question.user_ref for case, _ in capped if case.question.user_ref is not None}
        reserved = self._storage.log.reserved(tenant_id, users, since, until)
        for case, _ in capped:
            if case.question.user_ref in reserved:
                case.question = replace(case.question, reserved=reserved[case.question.user_ref])

    def _attempt(self, tenant_id: str, cases: Sequence[_Case], exhausted: bool) -> list[_Case]:
        """Decide and record; the cases whose reservation was lost come back with fresh counts."""
        policy_of: PolicyOf = partial(self._book.get, tenant_id)
        made = self._decided(cases, policy_of, exhausted)
        now = self._clock.monotonic()
        ready = [(case, one, record_of(case.question, one, policy_of, _since(case.ask, now))) for case, one in made]
        appended = self._appended(tenant_id, ready)
        lost = []
        for (case, decided, record), outcome in zip(ready, appended, strict=True):
            if outcome.status == RECORDED:
                _counter(Action.SUPPRESS if record.outcome.chosen is None else Action.SEND, record.mode).inc()
                if record.fallback is not None:
                    telemetry.FALLBACKS.labels(record.fallback).inc()
                case.answer = first_answer(case.question, decided, record, policy_of)
            elif outcome.status == LOST:
                case.question = replace(case.question, reserved=outcome.reserved)
                lost.append(case)
            elif outcome.status == GONE:
                case.gone = True
            else:
                case.answer = self._known(case.question, outcome)
        return lost

    def _known(self, question: Question, outcome: DecisionOutcome) -> Answer:
        """What is answered when there is such a decision already: the same again, unless it is of another request."""
        if outcome.status == CONFLICT:
            return _reused(question.request)
        return PersonalizationResponse(self.recall(*self.stored(question.request.tenant_id, question.decision_id)), created=False)

    def _appended(self, tenant_id: str, ready: Sequence[tuple[_Case, Decided, Record]]) -> list[DecisionOutcome]:
        """Nothing is recorded of a person who was erased."""
        kept = [new_decision(c.question, c.template, decided, record) for c, decided, record in ready if not c.erased]
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
        return [(case, settled(case.question, one, case.ask.fallback, exhausted)) for case, one in zip(ready, decided, strict=True)]

    # -- messages ----------------------------------------------------------------------------------------------------

    def _template(self, request: PersonalizationRequest) -> Template:
        if request.template_id is None:
            return inline(request)
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


def _since(ask: Ask, now: float) -> float:
    """Milliseconds."""
    return round((now - ask.arrived) * 1e3, 3)


@lru_cache(maxsize=64)
def _counter(action: str, mode: str) -> Counter:
    """With its labels bound once."""
    return telemetry.DECISIONS.labels(action, mode)


def _answer(case: _Case | PersonalizationError) -> Answer:
    if isinstance(case, PersonalizationError):
        return case
    return case.answer or StorageUnavailable("the decision was not recorded")


def _reused(request: PersonalizationRequest) -> PersonalizationError:
    if request.decision_id is None:
        return KeyReused()
    return Conflict(f"The decision_id {request.decision_id} was used for another request; choose a new one.")
