"""The service: one tenant's whole product, for Python callers and for the REST edge alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from personalization import telemetry
from personalization.cache import CachedProfiles
from personalization.clock import Clock, length_of
from personalization.core import Answer, Ask, DeepPersonalizationEngine, PersonalizationOrchestrator
from personalization.deciding.strategies import Capabilities
from personalization.errors import Invalid, PersonalizationError
from personalization.messages import EngagementEvent, EventsReceipt, PersonalizationRequest, PersonalizationResponse
from personalization.models.registry import PolicyBook
from personalization.models.shelf import Shelf
from personalization.operations.configuration import Configuration
from personalization.operations.consent import Consents
from personalization.operations.erasing import Forget
from personalization.operations.events import Events
from personalization.operations.exporting import Export
from personalization.operations.hooks import Callback, Hooks
from personalization.operations.insights import Insights
from personalization.operations.model_life import ModelLife
from personalization.operations.models import Models
from personalization.operations.outcomes import Outcomes
from personalization.operations.policies import Policies
from personalization.operations.privacy import Privacy
from personalization.operations.profiles import Profiles
from personalization.operations.sentiment import analyzed
from personalization.operations.templates import Templates
from personalization.operations.training import Examine
from personalization.orchestration import Queue
from personalization.profile import PersonalizationProfile
from personalization.storage.base import Storage
from personalization.template import ANY_LOCALE, Variant
from personalization.vocabulary import Hook, ModelStatus, PersonalizationTrigger, Priority, ServiceLevel

Document = dict[str, Any]

_STANDARD = Capabilities(variant_policy=True, forecast=True)
_PREMIUM = Capabilities(variant_policy=True, forecast=True, send_time=True, channel_choice=True, send_choice=True)
_ENTERPRISE = replace(_PREMIUM, channel_sync=True)
_QUANTUM = replace(_ENTERPRISE, shadow_prices=True)

#: Which engines and models take part at a service level.
SERVICE_LEVELS: Mapping[ServiceLevel, Capabilities] = {
    ServiceLevel.BASIC: Capabilities(),
    ServiceLevel.STANDARD: _STANDARD,
    ServiceLevel.PREMIUM: _PREMIUM,
    ServiceLevel.ENTERPRISE: _ENTERPRISE,
    ServiceLevel.QUANTUM: _QUANTUM,
}


class NotificationService(Protocol):
    """The parent system as this service sees it; a host program implements it."""

    def get_template(self, template_id: str) -> Any: ...

    async def deliver(self, content: Mapping[str, str], channels: Sequence[str]) -> Any: ...


class PersonalizationService:
    """One tenant's service. Thread-safe. Raises the errors of `personalization.errors`. `close` ends the house it lives in."""

    def __init__(
        self,
        tenant_id: str,
        *,
        storage: Storage,
        profiles: CachedProfiles,
        book: PolicyBook,
        shelf: Shelf,
        examine: Examine,
        engine: DeepPersonalizationEngine,
        orchestrator: PersonalizationOrchestrator[Ask, Answer],
        clock: Clock,
        forget: Forget,
        new_id: Callable[[], str],
        close: Callable[[], None],
    ) -> None:
        self.tenant_id = tenant_id
        self.hooks = Hooks()
        self.close = close
        self._storage, self._engine = storage, engine
        self._orchestrator, self._clock = orchestrator, clock
        self._configuration = Configuration(tenant_id, storage, clock)
        self._profiles = Profiles(tenant_id, storage, profiles, clock, self._declared, lambda: shelf.serving(tenant_id))
        self._consents = Consents(self._profiles)
        self._privacy = Privacy(tenant_id, storage, self._profiles, engine, clock, forget, new_id)
        self._templates = Templates(tenant_id, storage, self._configuration, self._profiles, clock)
        self._events = Events(tenant_id, storage, profiles, clock, self._recorded)
        self._outcomes = Outcomes(tenant_id, storage, book, self._configuration)
        self.model_life = ModelLife(tenant_id, storage, shelf, self._configuration.current, clock, examine)
        policies = Policies(tenant_id, storage, book, self._outcomes, clock)
        self._models = Models(self.model_life, policies, shelf.families)
        self._insights = Insights(tenant_id, storage, book, self._profiles, self._configuration, clock)
        self.aio = _Coroutines(self)

    # -- deciding ----------------------------------------------------------------------------------------------------

    def personalize(self, request: PersonalizationRequest) -> PersonalizationResponse:
        """Decide, record, answer. Raises Overloaded when too much is going on."""
        request = self.hooks.amend(Hook.PRE_PERSONALIZATION, request)
        queue = Queue.STANDARD if request.priority is Priority.LOW else Queue.REAL_TIME
        deadline = None if request.deadline_ms is None else request.deadline_ms / 1e3
        ask = self._ask(request)
        with self._orchestrator.admitted():
            answer = self._orchestrator.submit(queue, [ask], deadline)[0]
        telemetry.DECISION_SECONDS.observe(self._clock.monotonic() - ask.arrived)
        if isinstance(answer, PersonalizationError):
            raise answer
        return self._told(answer)

    def personalize_many(
        self, requests: Sequence[PersonalizationRequest | Invalid], queue: Queue = Queue.STANDARD
    ) -> list[PersonalizationResponse | PersonalizationError]:
        """One answer or error a request, in order."""
        good = [self.hooks.amend(Hook.PRE_PERSONALIZATION, one) for one in requests if not isinstance(one, Invalid)]
        with self._orchestrator.admitted():
            answers = iter(self._orchestrator.submit(queue, [self._ask(one) for one in good]) if good else ())
        settled = [one if isinstance(one, Invalid) else next(answers) for one in requests]
        return [one if isinstance(one, PersonalizationError) else self._told(one) for one in settled]

    def decision(self, decision_id: str, replay: bool = False) -> Document:
        """The answer once more, with the digest of its recorded inputs, and whether it comes out the same today."""
        stored, record = self._engine.stored(self.tenant_id, decision_id)
        answer = self._engine.recall(stored, record)
        answer["status"] = stored.status
        answer["inputs_digest"] = self._engine.digest(record)
        if replay:
            found = self._engine.replay(self.tenant_id, record)
            answer["replay"] = {
                "identical": found.identical,
                "differences": list(found.differences),
                "reason": found.reason,
            }
        return answer

    def activate(self, decision_id: str) -> Document:
        """Let a decision made with activate=False into learning. Raises NotFound, or Conflict when it was discarded."""
        return self.decision(self._storage.log.activate(self.tenant_id, decision_id, self._clock.now()).decision_id)

    def discard(self, decision_id: str) -> Document:
        """Take a decision out of learning; its place under the caps is free again. Raises NotFound."""
        return self.decision(self._storage.log.discard(self.tenant_id, decision_id, self._clock.now()).decision_id)

    # -- what people do ----------------------------------------------------------------------------------------------

    def record(self, events: Sequence[EngagementEvent | Invalid], any_age: bool = False) -> EventsReceipt:
        """Durable when it returns."""
        return self._events.record(events, any_age)

    # -- profiles, consent -------------------------------------------------------------------------------------------

    def profile(self, user_id: str) -> Document:
        return self._profiles.document(user_id)

    def put_profile(self, user_id: str, sections: Mapping[str, Any]) -> tuple[Document, bool]:
        return self._profiles.put(user_id, sections)

    def patch_profile(self, user_id: str, patch: Mapping[str, Any]) -> tuple[Document, bool]:
        return self._profiles.patch(user_id, patch)

    def put_profiles(self, rows: Sequence[tuple[str, Mapping[str, Any] | Invalid]]) -> list[Document]:
        return self._profiles.put_many(rows)

    def preferences(self, user_id: str) -> Document:
        return self._profiles.preferences(user_id)

    def update_user_preferences(
        self,
        user_id: str,
        data: Mapping[str, Any],
        trigger: PersonalizationTrigger = PersonalizationTrigger.USER_INTERACTION,
    ) -> Document:
        """Merge preference sections into the profile; engagement data is taken as the reason to look at it anew, since
        the event itself was counted when it was recorded."""
        return self._profiles.prefer(user_id, data, trigger)

    def consent(self, user_id: str) -> Document:
        return self._consents.document(user_id)

    def put_consent(self, user_id: str, document: Mapping[str, Any]) -> Document:
        return self._consents.put(user_id, document)

    # -- privacy -----------------------------------------------------------------------------------------------------

    def export(self, user_id: str) -> Export:
        """Everything held of one person, to be read page by page. Raises NotFound."""
        return self._privacy.export(user_id)

    def anonymize_user_data(self, user_id: str) -> Document:
        """Take away who it was and leave the behaviour; see Privacy.anonymize. Raises NotFound."""
        return self._privacy.anonymize(user_id)

    def erase_user_data(self, user_id: str) -> Document:
        """Forget one person: {"erasure_id", "status"}. Raises NotFound."""
        return self._privacy.erase(user_id)

    def erasure(self, erasure_id: str) -> Document:
        """How far an erasure has come, with its certificate once completed. Raises NotFound."""
        return self._privacy.erasure(erasure_id)

    # -- templates, configuration ------------------------------------------------------------------------------------

    def templates(self, limit: int, cursor: str | None) -> Document:
        return self._templates.list(limit, cursor)

    def create_template(self, document: Mapping[str, Any]) -> Document:
        return self._templates.create(document)

    def template(self, template_id: str, version: int | None = None) -> Document:
        return self._templates.document(template_id, version)

    def put_template(self, template_id: str, document: Mapping[str, Any]) -> Document:
        return self._templates.put(template_id, document)

    def delete_template(self, template_id: str) -> None:
        self._templates.delete(template_id)

    def template_versions(self, template_id: str, limit: int, cursor: str | None) -> Document:
        return self._templates.versions(template_id, limit, cursor)

    def preview_template(self, template_id: str, wanted: Mapping[str, Any]) -> Document:
        return self._templates.preview(template_id, wanted)

    def config(self) -> Document:
        return self._configuration.document()

    def patch_config(self, patch: Mapping[str, Any]) -> Document:
        return self._configuration.patch(patch)

    # -- insights, models --------------------------------------------------------------------------------------------

    def user_insights(self, user_id: str, include_predictions: bool = False) -> Document:
        return self._insights.user(user_id, include_predictions)

    def timeline(self, user_id: str, limit: int, cursor: str | None) -> Document:
        return self._insights.timeline(user_id, limit, cursor)

    def overview(self, since: int | None, until: int | None, timezone: str | None) -> Document:
        return self._insights.overview(since, until, timezone)

    def template_insights(self, template_id: str) -> Document:
        """What came of each variant, against the template's guardrails. Raises NotFound."""
        return self._outcomes.template(template_id)

    def analyze_behavior(self, user_id: str, analysis_type: str | None = None) -> Document:
        return self._insights.analysis(user_id, analysis_type)

    def analyze_sentiment(self, texts: Sequence[str], language: str | None = None) -> Document:
        """language: of all texts, told from each when None. Raises Invalid for one that CLDR does not know."""
        return analyzed(texts, language)

    # -- models ------------------------------------------------------------------------------------------------------

    def models(self, limit: int, cursor: str | None) -> Document:
        return self._models.listed(limit, cursor)

    def model(self, model_id: str) -> Document:
        return self._models.found(model_id)

    def model_versions(self, model_id: str, limit: int, cursor: str | None) -> Document:
        return self._models.versions(model_id, limit, cursor)

    def model_card(self, model_id: str) -> Document:
        return self._models.card(model_id)

    def train_model(self, model_id: str) -> Document:
        """Ask for a new version. Raises Conflict while one is being trained."""
        return self._models.train(model_id)

    def evaluate_model(self, model_id: str, version: int | None = None) -> Document:
        return self._models.evaluate(model_id, version)

    def promote_model(self, model_id: str, version: int | None = None, status: str = ModelStatus.LIVE) -> Document:
        """Raises PromotionRefused where the gate says no."""
        return self._models.promote(model_id, version, ModelStatus(status))

    def rollback_model(self, model_id: str) -> Document:
        """Raises Conflict where nothing served before."""
        return self._models.rollback(model_id)

    # -- for Python callers ------------------------------------------------------------------------------------------

    def personalize_notification(
        self,
        template: Any,
        user_id: str | None,
        context: Mapping[str, Any] | None = None,
        channels: Sequence[str] = (),
        message_id: str | None = None,
        escalate_after: str | None = None,
    ) -> Document:
        """The answer document, its text also under 'content' ({} when suppressed).

        template       : a stored template's id, anything with a `template_id`, or the parts of a message,
                         {"subject": …, "text": …}
        message_id     : your id of one message that may go out by several channels
        escalate_after : how long it stays unread before it goes by the next one, ISO 8601, such as "PT4H"
        """
        request = PersonalizationRequest(
            tenant_id=self.tenant_id,
            user_id=user_id,
            context=dict(context or {}),
            channels=tuple(channels),
            message_id=message_id,
            escalate_after=_length(escalate_after),
            **_message(template),
        )
        return _with_content(self.personalize(request).document)

    def personalize_campaign(
        self, template: Any, user_ids: Sequence[str], context: Mapping[str, Any] | None = None
    ) -> list[Document | PersonalizationError]:
        """One answer or error a user, in order, through the batch queue."""
        message = _message(template)
        requests = [
            PersonalizationRequest(tenant_id=self.tenant_id, user_id=user_id, context=dict(context or {}), **message)
            for user_id in user_ids
        ]
        answers: list[Document | PersonalizationError] = []
        for at in range(0, len(requests), 500):
            found = self.personalize_many(requests[at : at + 500], Queue.BATCH)
            answers.extend(one if isinstance(one, PersonalizationError) else _with_content(one.document) for one in found)
        return answers

    def get_user_profile(self, user_id: str) -> Document:
        return self.profile(user_id)

    def get_personalization_insights(self, user_id: str, include_predictions: bool = True) -> Document:
        return self.user_insights(user_id, include_predictions)

    def register_hook(self, name: str, callback: Callback) -> None:
        """Call `callback` at one of the four hooks. Raises Invalid for another name."""
        self.hooks.register(name, callback)

    def on(self, name: str) -> Callable[[Callback], Callback]:
        """A decorator: `@service.on('notification.engagement')`. The handler may be a coroutine function."""

        def registered(handler: Callback) -> Callback:
            self.hooks.register(name, _in_turn(handler))
            return handler

        return registered

    # -- inside ------------------------------------------------------------------------------------------------------

    def profiles_learned(self, profiles: Sequence[PersonalizationProfile]) -> None:
        """The projector's word that behaviour changed these; those with due triggers go to the hook."""
        due = [profile for profile in profiles if profile.due_triggers()]
        if due and self.hooks.listening(Hook.PROFILE_UPDATED):
            names = self._storage.users.reveal(self.tenant_id, [profile.user_ref for profile in due])
            for profile in due:
                triggers = [str(trigger) for trigger in profile.due_triggers()]
                self.hooks.tell(Hook.PROFILE_UPDATED, {"user_id": names.get(profile.user_ref), "triggers": triggers})

    def _ask(self, request: PersonalizationRequest) -> Ask:
        level = self._configuration.current().service_level
        return Ask(request=request, level=level, capabilities=SERVICE_LEVELS[level], arrived=self._clock.monotonic())

    def _told(self, answer: PersonalizationResponse) -> PersonalizationResponse:
        """The answer once the hooks have seen it; a repeated one they have seen before."""
        if not answer.created:
            return answer
        if answer.quality_failed:
            self.hooks.tell(Hook.QUALITY_THRESHOLD_FAILED, answer.document)
        if not self.hooks.listening(Hook.POST_PERSONALIZATION):
            return answer
        return PersonalizationResponse(self.hooks.amend(Hook.POST_PERSONALIZATION, answer.document))

    def _declared(self, document: Document, trigger: PersonalizationTrigger) -> None:
        self.hooks.tell(Hook.PROFILE_UPDATED, {"user_id": document["user_id"], "triggers": [str(trigger)]})

    def _recorded(self, events: Sequence[EngagementEvent]) -> None:
        for event in events:
            self.hooks.engaged(event)


class _Coroutines:
    """The same service for programs that await: every method as a coroutine, run off the event loop."""

    def __init__(self, service: PersonalizationService) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._service, name)

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(method, *args, **kwargs)

        return awaited


def _message(template: Any) -> dict[str, Any]:
    """Which message is meant, as fields of a request."""
    if isinstance(template, str):
        return {"template_id": template}
    if isinstance(template, Mapping):
        if "template_id" in template:
            return {"template_id": template["template_id"]}
        if "variants" in template:
            return {"variants": tuple(_variant(one) for one in template["variants"])}
        return {"content": dict(template)}
    if getattr(template, "template_id", None):
        return {"template_id": template.template_id}
    raise Invalid.field("template", "must be a template's id, an object with a template_id, or the parts of a message")


def _length(duration: str | None) -> int | None:
    """Raises Invalid."""
    try:
        return None if duration is None else length_of(duration)
    except ValueError as wrong:
        raise Invalid.field("escalate_after", str(wrong)) from wrong


def _variant(document: Mapping[str, Any]) -> Variant:
    content = document["content"]
    by_locale = content if all(isinstance(parts, Mapping) for parts in content.values()) else {ANY_LOCALE: content}
    return Variant(variant_id=document["variant_id"], content=by_locale, features=document.get("features") or {})


def _with_content(document: Mapping[str, Any]) -> Document:
    return {**document, "content": document["personalized_content"] or {}}


def _in_turn(handler: Callback) -> Callback:
    """A coroutine function run to its end, on the thread that tells it."""
    if not asyncio.iscoroutinefunction(handler):
        return handler
    return lambda subject: asyncio.run(handler(subject))
